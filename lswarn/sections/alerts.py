"""[alerts] and [[subscribers]]: when to warn, and whom."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lswarn.sections.strict import Strict


class Alerts(Strict):
    """When to warn.

    Attributes:
        min_zone_m2: smaller zones are not zones.
        red_people: an alert is red once so many people live in very-high zones, orange below.
        clear_after_days: complete days below a level before an alert steps down from it.
    """

    min_zone_m2: float = Field(3600.0, ge=0)
    red_people: int = Field(1, ge=1)
    clear_after_days: int = Field(2, ge=1)


class Subscriber(Strict):
    """Somebody who is told.

    Attributes:
        channel: `email` (address is a mail address) or `webhook` (address is a URL).
        areas: ids of warning areas; empty means all.
    """

    name: str
    channel: Literal["email", "webhook"]
    address: str
    areas: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        if self.channel == "email" and ("@" not in self.address or any(c.isspace() for c in self.address)):
            raise ValueError(f"{self.address!r} is not a mail address")
        if self.channel == "webhook" and not self.address.startswith(("http://", "https://")):
            raise ValueError(f"{self.address!r} is not an http(s) address")
        return self
