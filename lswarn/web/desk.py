"""The duty desk: alerts, messages as they were sent, what a person decides about them, and reported landslides.

Drafts are seen by whoever holds a token with scope `review`; for everybody else they are not there yet.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict

from lswarn import release
from lswarn.db import bulletins, reports
from lswarn.db.engine import Connection, Engine, transaction
from lswarn.errors import DatabaseDown, DatabaseError, NotMigrated
from lswarn.web.answers import ALWAYS, Page, problems
from lswarn.web.asked import NAME, WORDS, AnyRegion, Key, Limit, Offset, Person, Said, iso_day
from lswarn.web.deps import Clock, Config, Database, Reading
from lswarn.web.photo import plain_jpeg
from lswarn.web.problems import Problem
from lswarn.web.security import Credentials, Reporter, Reviewer, holder_by

router = APIRouter(tags=["alerts"], responses=ALWAYS)
log = logging.getLogger(__name__)

MAX_PHOTO = 5_000_000
"""Bytes."""

MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""A message brings its own styles, as mails do, and runs nothing."""


class Decision(BaseModel):
    """Who decides about a draft, and why; both are kept, and told."""

    model_config = ConfigDict(extra="forbid")

    by: Person
    reason: Said = ""


class Refusal(Decision):
    """Why a draft is held back."""

    reason: Person


@dataclass(frozen=True)
class AlertHistory:
    """An alert and everything that was said of it, the oldest first."""

    alert: bulletins.AlertSummary
    messages: list[bulletins.Bulletin]


def sees_drafts(request: Request, settings: Config, now: Clock, given: Credentials) -> bool:
    """Whether who asks may see what was not let out."""
    return given is not None and "review" in holder_by(request, settings, now, given, None).scopes


Drafts = Annotated[bool, Depends(sees_drafts)]


@router.get("/alerts")
def alerts(
    conn: Reading,
    drafts: Drafts,
    region: AnyRegion = None,
    state: Annotated[Literal["open", "easing", "unknown", "closed"] | None, Query()] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[bulletins.AlertSummary]:
    """Alerts, the open ones first; `status` tells drills from the real thing."""
    found, total = bulletins.find_alert_summaries(
        conn, drafts=drafts, region=region, state=state, limit=limit, offset=offset
    )
    return Page(found, total, limit, offset)


@router.get("/alerts/{alert_id}", responses=problems(404))
def alert(conn: Reading, drafts: Drafts, alert_id: Key) -> AlertHistory:
    """An alert, from its first message to its last."""
    found, _ = bulletins.find_alert_summaries(conn, drafts=drafts, alert_id=alert_id)
    if not found:
        raise Problem(404, f"there is no alert {alert_id}; /api/alerts lists those there are")
    said, _ = bulletins.find_bulletins(
        conn, drafts=drafts, alert_id=alert_id, oldest_first=True, limit=10_000, offset=0
    )
    return AlertHistory(found[0], said)


@router.get("/messages")
def messages(
    conn: Reading,
    drafts: Drafts,
    region: AnyRegion = None,
    approval: Annotated[Literal["auto", "waiting", "approved", "rejected", "timed_out"] | None, Query()] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[bulletins.Bulletin]:
    """Messages, the newest first, those about missing rain too."""
    found, total = bulletins.find_bulletins(
        conn, drafts=drafts, region=region, approval=approval, limit=limit, offset=offset
    )
    return Page(found, total, limit, offset)


@router.get("/messages/{message_id}", responses=problems(404))
def message(conn: Reading, drafts: Drafts, message_id: Key) -> bulletins.FullBulletin:
    """A message as it was sent, in all its languages."""
    return _bulletin(conn, message_id, drafts)


@router.get(
    "/messages/{message_id}/page",
    response_class=Response,
    responses=problems(404) | {200: {"description": "The message", "content": {"text/html": {}}}},
)
def message_page(
    conn: Reading, drafts: Drafts, message_id: Key, lang: Annotated[Literal["en", "es"] | None, Query()] = None
) -> Response:
    """A message as its readers see it, for a frame of its own; in its first language where it has no other."""
    found = _bulletin(conn, message_id, drafts)
    html = found.translations[lang].html if lang in found.translations else found.html
    html = html.replace("cid:map", f"/api/messages/{message_id}/map.png")
    # The frame it is shown in is ours: that of the map.
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


@router.get(
    "/messages/{message_id}/map.png",
    response_class=Response,
    responses=problems(404) | {200: {"description": "Its map", "content": {"image/png": {}}}},
)
def message_map(conn: Reading, drafts: Drafts, message_id: Key) -> Response:
    """The map in a message."""
    png = bulletins.find_map_png(conn, message_id, drafts=drafts)
    if png is None:
        raise Problem(404, f"there is no message {message_id} with a map")
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/messages/{message_id}/approve", responses=problems(403, 404, 409))
def approve(
    who: Reviewer, settings: Config, engine: Database, now: Clock, message_id: Key, decision: Decision
) -> bulletins.FullBulletin:
    """Let a draft out; scope review. Delivery follows by itself."""
    region = _waiting(engine, message_id)
    with _decided(message_id):
        release.approve(region, settings, message_id, by=decision.by, reason=decision.reason, now=now)
    log.info("message %d approved by %r with token %s", message_id, decision.by, who.name)
    return _after(engine, message_id)


@router.post("/messages/{message_id}/reject", responses=problems(403, 404, 409))
def reject(
    who: Reviewer, settings: Config, engine: Database, now: Clock, message_id: Key, decision: Refusal
) -> bulletins.FullBulletin:
    """Hold a draft back for good; scope review. The next run that calls for the warning asks anew."""
    region = _waiting(engine, message_id)
    with _decided(message_id):
        release.reject(region, settings, message_id, by=decision.by, reason=decision.reason, now=now)
    log.info("message %d rejected by %r with token %s", message_id, decision.by, who.name)
    return _after(engine, message_id)


@router.post("/messages/{message_id}/acknowledge", responses=problems(403, 404, 409))
def acknowledge(
    who: Reviewer, engine: Database, now: Clock, message_id: Key, decision: Decision
) -> bulletins.FullBulletin:
    """Say that a message has been taken note of; scope review. The first one counts."""
    with transaction(engine) as conn:
        if not bulletins.mark_acknowledged(conn, message_id, by=decision.by, said=decision.reason, at=now):
            found = _bulletin(conn, message_id, True)
            if found.issued_at is None:
                raise Problem(409, f"message {message_id} was not let out: it is {found.approval}")
            raise Problem(
                409,
                f"message {message_id} was acknowledged by {found.acknowledged_by} at "
                f"{found.acknowledged_at:%Y-%m-%d %H:%M} UTC",
            )
    log.info("message %d acknowledged by %r with token %s", message_id, decision.by, who.name)
    return _after(engine, message_id)


# ── landslides ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("/events", status_code=201, responses=problems(403, 404, 415), tags=["landslides"])
def report(
    who: Reporter,
    engine: Database,
    now: Clock,
    response: Response,
    lon: Annotated[float, Form(ge=-180, le=180, allow_inf_nan=False)],
    lat: Annotated[float, Form(ge=-90, le=90, allow_inf_nan=False)],
    seen_on: Annotated[date, BeforeValidator(iso_day), Form(description="Day it was seen, or happened")],
    accuracy_m: Annotated[float, Form(gt=0, le=100_000, description="How far off the place may be")],
    note: Annotated[str, Form(max_length=2000, pattern=WORDS)] = "",
    region: Annotated[str | None, Form(pattern=NAME, description="Where several regions hold the place")] = None,
    photo: Annotated[UploadFile | None, File(description="JPEG, PNG or WebP, at most 5 MB")] = None,
) -> reports.Report:
    """Report a landslide; scope report. It teaches nothing before somebody has confirmed it.

    The same report again is answered with 200 and kept once. A photo is kept without what the camera wrote beside it.
    """
    if seen_on > now.date() + timedelta(days=1):
        raise Problem(422, f"seen_on: {seen_on} is still to come")
    data = photo.file.read(MAX_PHOTO + 1) if photo is not None else b""
    if len(data) > MAX_PHOTO:
        raise Problem(413, f"photo: it may have {MAX_PHOTO} bytes; make it smaller")
    plain = plain_jpeg(data) if data else None
    with transaction(engine) as conn:
        there = reports.find_regions_at(conn, lon, lat)
        if not there or (region is not None and region not in there):
            raise Problem(404, f"{lon}, {lat} is not in {region or 'any region'}; lon is east, lat is north")
        found, new = reports.record_report(
            conn,
            region or there[0],
            lon=lon,
            lat=lat,
            seen_on=seen_on,
            accuracy_m=accuracy_m,
            note=note.strip(),
            photo=plain,
            by=who.name,
            at=now,
        )
    response.status_code = 201 if new else 200
    log.info("landslide %s of %s reported with token %s", found.report_id, found.region, who.name)
    return found


@router.get("/events", responses=problems(403), tags=["landslides"])
def events(
    who: Reviewer, conn: Reading, region: AnyRegion = None, waiting: bool = True, limit: Limit = 100, offset: Offset = 0
) -> Page[reports.Report]:
    """Reported landslides, the newest first; scope review. `lswarn events confirm | dismiss` decides about them."""
    found, total = reports.find_reports(conn, region=region, waiting=waiting, limit=limit, offset=offset)
    return Page(found, total, limit, offset)


@router.get(
    "/events/{region}/{report_id}/photo.jpg",
    response_class=Response,
    responses=problems(403, 404) | {200: {"description": "The photo", "content": {"image/jpeg": {}}}},
    tags=["landslides"],
)
def photo(
    who: Reviewer,
    conn: Reading,
    region: Annotated[str, Path(pattern=NAME)],
    report_id: Annotated[str, Path(pattern=r"^report-[0-9a-f]{16}$")],
) -> Response:
    """The photo of a report; scope review."""
    found = reports.find_photo(conn, region, report_id)
    if found is None:
        raise Problem(404, f"{region} has no report {report_id} with a photo")
    return Response(found, media_type="image/jpeg", headers={"Cache-Control": "private, no-store"})


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bulletin(conn: Connection, message_id: int, drafts: bool) -> bulletins.FullBulletin:
    found = bulletins.find_bulletin(conn, message_id, drafts=drafts)
    if found is None:
        raise Problem(404, f"there is no message {message_id}; /api/messages lists those there are")
    return found


def _waiting(engine: Engine, message_id: int) -> str:
    """The region of a draft."""
    with transaction(engine) as conn:
        found = _bulletin(conn, message_id, True)
    if found.approval != "waiting":
        raise Problem(409, _settled(found))
    return found.region


def _settled(found: bulletins.FullBulletin) -> str:
    who = f" by {found.decided_by}" if found.decided_by else ""
    when = f" at {found.decided_at:%Y-%m-%d %H:%M} UTC" if found.decided_at else ""
    return f"message {found.message_id} does not wait for anybody: {found.approval.replace('_', ' ')}{who}{when}"


def _after(engine: Engine, message_id: int) -> bulletins.FullBulletin:
    with transaction(engine) as conn:
        return _bulletin(conn, message_id, True)


@contextmanager
def _decided(message_id: int) -> Iterator[None]:
    """Somebody else, or the clock, may have decided in the meantime."""
    try:
        yield
    except (DatabaseDown, NotMigrated):
        raise
    except DatabaseError as error:
        log.warning("%s", error)
        raise Problem(409, f"message {message_id} was decided about this moment; look again") from error
