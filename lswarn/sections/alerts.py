"""[alerts] and [[subscribers]]: when to warn, and whom."""

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from lswarn.sections.strict import Strict


class Cap(Strict):
    """[alerts.cap]: in whose name documents of the Common Alerting Protocol go out, and how far they may.

    Attributes:
        sender: who gives them, unique in the world, such as `landslides@example.org`.
        sender_name: the same for people.
        status: `Actual` once an authority has agreed to speak through this system; until then every document is a
            `Draft`. Tests are marked as tests either way.
        scope, restriction: who may see them; `Public` is only for what is `Actual`.
        expires_h: hours until a document loses force by itself, whether or not anything else is said.
        contact: how to reach the sender.
        oid: arc of the sender in the WMO register of alerting authorities, such as `2.49.0.0.380.1`; with it,
            documents are named as WMO names them.
    """

    sender: str = Field("lswarn@localhost", pattern=r"^[^\s,<&]+$")
    sender_name: str = "Automatic landslide early warning (lswarn)"
    status: Literal["Draft", "Actual"] = "Draft"
    scope: Literal["Restricted", "Public"] = "Restricted"
    restriction: str = Field("For the authority responsible for the area; not for the public.", min_length=1)
    expires_h: float = Field(168.0, ge=1)
    contact: str = ""
    oid: str = Field("", pattern=r"^([0-9]+(\.[0-9]+)+)?$")

    @model_validator(mode="after")
    def _drafts_stay_inside(self) -> Self:
        if self.scope == "Public" and self.status != "Actual":
            raise ValueError('scope "Public" needs status "Actual": a draft is not for the public')
        return self


class Alerts(Strict):
    """When to warn.

    Attributes:
        min_zone_m2: smaller zones are not zones.
        simplify_m: corners of a zone's outline are left out that make up less than about the square of this, and zones
            that touch still do; 0 = outlines follow the cells.
        red_people: an alert is red once so many people live in very-high zones, orange below.
        clear_after_days: complete days below a level before an alert steps down from it.
        stay_days: so many complete days more, at most, a level stays for places that it was given for and that lie in
            zones of high class still, though no longer in very-high ones; 0 = they do not count.
        cooldown_h: so long after a message, new places at a level in force are held back for the next one.
        review: levels whose messages wait for a person, given out and taken back alike.
        review_minutes: a message that nobody has decided on by then goes out, and says so.
        reviewers: names of subscribers who are asked.
        cap: in whose name CAP documents go out.
    """

    min_zone_m2: float = Field(3600.0, ge=0)
    simplify_m: float = Field(0.0, ge=0, allow_inf_nan=False)
    red_people: int = Field(1, ge=1)
    clear_after_days: int = Field(2, ge=1)
    stay_days: int = Field(7, ge=0)
    cooldown_h: float = Field(0.0, ge=0)
    review: tuple[Literal["orange", "red"], ...] = ()
    review_minutes: int = Field(60, ge=1)
    reviewers: tuple[str, ...] = ()
    cap: Cap = Cap()

    @model_validator(mode="after")
    def _somebody_reviews(self) -> Self:
        if self.review and not self.reviewers:
            raise ValueError("review needs reviewers: a draft that nobody is asked about would only be late")
        return self


class Subscriber(Strict):
    """Somebody who is told.

    Attributes:
        channel: `email`, `webhook`, `file` (a folder that messages are dropped into) or `apprise` (one of the
            many services Apprise speaks to).
        address: mail address, http(s) URL or absolute path; of `apprise` a tag, for the address itself holds secrets
            and stands in LSWARN_APPRISE or LSWARN_APPRISE_FILE.
        areas: ids of warning areas; empty means all.
        level: told from this level on, and of how it ends whatever he was told of.
        language: of subject and text.
        digest: the messages of one run come in one mail, or one notice; left out, so for `email`.
        allow_private: a webhook in a private network, or on this machine, is meant.
    """

    name: str
    channel: Literal["email", "webhook", "file", "apprise"]
    address: str
    areas: tuple[str, ...] = ()
    level: Literal["orange", "red"] = "orange"
    language: Literal["en", "es"] = "en"
    digest: bool | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        if problem := _ADDRESS_FAULTS[self.channel](self.address):
            raise ValueError(problem)
        if self.digest and self.channel not in ("email", "apprise"):
            raise ValueError(f"digest is for email and apprise: a {self.channel} gets every message by itself")
        if self.allow_private and self.channel != "webhook":
            raise ValueError(f"allow_private is for webhooks, not for {self.channel}")
        return self

    @property
    def one_mail(self) -> bool:
        """Whether the messages of one run come together."""
        return self.channel == "email" if self.digest is None else self.digest

    @property
    def lane(self) -> str:
        """What fails together with it: the mail relay, a webhook's host, a folder, an Apprise service."""
        if self.channel == "email":
            return "email"
        end = urlsplit(self.address).hostname if self.channel == "webhook" else self.address
        return f"{self.channel} {end}"


def _mail_fault(address: str) -> str:
    try:
        Address(addr_spec=address)
        fits = "@" in address and not any(c.isspace() or not c.isprintable() for c in address)
    except (HeaderParseError, ValueError, IndexError):
        fits = False
    return "" if fits else f"{address!r} is not a mail address"


def _url_fault(address: str) -> str:
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        user = parts.username is not None or parts.password is not None
    except ValueError:
        fits = user = False
    if user:
        return "a webhook's address must hold no user or password: it is signed with LSWARN_WEBHOOK_SECRET"
    return "" if fits and not any(c.isspace() for c in address) else f"{address!r} is not an http(s) address"


def _folder_fault(address: str) -> str:
    return "" if Path(address).is_absolute() else f"{address!r} is not the absolute path of a folder"


def _tag_fault(address: str) -> str:
    if "://" in address:  # not shown: it holds the secret
        return "an Apprise address holds secrets: write TAG=ADDRESS in LSWARN_APPRISE_FILE, and here the TAG alone"
    return "" if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", address) else f"{address!r} is not a tag of Apprise"


_ADDRESS_FAULTS = {"email": _mail_fault, "webhook": _url_fault, "file": _folder_fault, "apprise": _tag_fault}
