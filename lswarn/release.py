"""How a message is let out: at once, by a person, or by the clock; and its CAP document with it.

Publishing a day leaves messages that go out at once and drafts that wait for a person (`[alerts] review`). A draft is
approved, or rejected, or its time runs out: then it goes out all the same, and says that nobody looked. Nothing is ever
dropped for want of a person.

A CAP document is made when its message goes out, in the same transaction. One that cannot be made holds up no warning:
it is logged, and the message goes out without it.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from lswarn.alerts.briefing import Briefing, RainInput
from lswarn.alerts.cap.check import check
from lswarn.alerts.cap.document import CapReference, cap_of, identifier_of, to_xml
from lswarn.alerts.cap.feed import FeedEntry, to_feed
from lswarn.alerts.cap.files import file_of, save_documents
from lswarn.alerts.cap.signature import Signer, load_signer, sign
from lswarn.alerts.message import AlertMessage, compose, with_approval
from lswarn.alerts.policy import AlertChange, Kind, Level
from lswarn.alerts.review import ask, tell_rejected
from lswarn.db import alerts, assets, drafts, outbox
from lswarn.db.engine import Connection, open_database, transaction
from lswarn.errors import CapError, DatabaseError, LswarnError, SettingsError
from lswarn.rain.products import grade_of
from lswarn.region import Region
from lswarn.settings import Settings

log = logging.getLogger(__name__)

LISTED = timedelta(days=30)
"""Documents given in so many days are written as files, and all that are in force."""


def queue(
    conn: Connection, region: Region, settings: Settings, messages: Iterable[AlertMessage], now: datetime
) -> alerts.Queued:
    """Queue what a run has to say: what goes out at once with its CAP document, what waits with a word to reviewers."""
    queued = alerts.queue_messages(conn, region, list(messages), now)
    _give_documents(conn, settings, queued.released)
    until = drafts.find_review_until(conn, queued.waiting)
    waiting = outbox.find_messages(conn, set(queued.waiting))
    for message_id in queued.waiting:
        asked = ask(waiting[message_id], message_id, until[message_id])
        drafts.queue_review(conn, message_id, asked, region.alerts.reviewers, now)
    return queued


def approve(region: str, settings: Settings, message_id: int, *, by: str, reason: str, now: datetime) -> AlertMessage:
    """Let a draft of a region out.

    Raises:
        DatabaseError: it does not wait.
    """
    with transaction(open_database(settings), region) as conn:
        draft = drafts.find_draft(conn, region, message_id)
        message = with_approval(draft, "approved", by)
        drafts.mark_released(conn, message_id, message, approval="approved", by=by, reason=reason, at=now)
        _give_documents(conn, settings, [message_id])
    save_files(settings, region, now)
    return message


def reject(region: str, settings: Settings, message_id: int, *, by: str, reason: str, now: datetime) -> AlertMessage:
    """Hold a draft of a region back, and tell whoever was asked about it.

    The alert goes back to what people have been told; the next run that calls for it asks anew.

    Raises:
        DatabaseError: it does not wait.
    """
    with transaction(open_database(settings), region) as conn:
        draft = drafts.find_draft(conn, region, message_id)
        drafts.mark_rejected(conn, message_id, by=by, reason=reason, at=now)
        said = tell_rejected(draft, message_id, by, reason)
        drafts.queue_review(conn, message_id, said, drafts.find_asked(conn, message_id), now)
    return draft


def cancel(region: Region, settings: Settings, area_id: str, *, by: str, reason: str, now: datetime) -> int:
    """Take back the warning in force in an area: whoever was told of it is told that, by whom, and why.

    Drafts of it are held back. The next run that calls for a warning there gives a new one.

    Returns:
        How many messages were queued: none where nobody had been told of the warning.

    Raises:
        DatabaseError: no warning is in force there.
    """
    with transaction(open_database(settings), region) as conn:
        before = alerts.find_alerts(conn, region)
        alert_id = alerts.find_alert_id(conn, region, area_id)
        if area_id not in before or alert_id is None:
            standing = ", ".join(before) or "nowhere"
            raise DatabaseError(f"no warning is in force in {area_id}; in force it is: {standing}")
        run = alerts.find_newest_run(conn, region)
        state = before[area_id]
        change = AlertChange(area_id, run.valid_day, Kind.CLEAR, state.level, Level.NONE, ())
        after = {other: kept for other, kept in before.items() if other != area_id}
        alerts.record_alerts(conn, region, before, after, [change], {run.valid_day: run.run_id}, run.valid_day)
        queued = alerts.Queued((), ())
        if drafts.mark_drafts_replaced(conn, alert_id, by=by, reason=reason, at=now):
            about = replace(
                brief(conn, region, area_id, run, now), opened_on=state.opened_on, withdrawn_by=by, reason=reason
            )
            queued = queue(conn, region, settings, [compose(change, about)], now)
            drafts.mark_decided(conn, queued.released, by=by, reason=reason)
    save_files(settings, region.name, now)
    return len(queued.released)


def brief(conn: Connection, region: Region, area_id: str, run: alerts.NewestRun, now: datetime) -> Briefing:
    """What a message says that no new run has led to: as much as the newest run knew of the rain as a whole."""
    names = dict(assets.find_warning_areas(conn, region)[["area_id", "name"]].to_numpy())
    rain = (
        RainInput(date.fromisoformat(each["day"]), each["product"], each["version"], grade_of(each["product"]))
        for each in run.rain
    )
    return Briefing(
        region=region.name,
        title=region.title,
        made=region.made,
        valid_day=run.valid_day,
        issued_at=now,
        grade=run.grade,
        rain=tuple(rain),
        missing=tuple(run.missing),
        model_id=run.model_id,
        clear_after_days=region.alerts.clear_after_days,
        area_name=names.get(area_id, area_id),
    )


def release_overdue(settings: Settings, now: datetime) -> int:
    """Let out every draft whose time is up, of all regions, marked as not reviewed.

    Returns:
        How many.
    """
    with transaction(open_database(settings)) as conn:
        overdue = drafts.find_overdue(conn, now)
        for message_id, draft in overdue.items():
            message = with_approval(draft, "timed_out")
            drafts.mark_released(conn, message_id, message, approval="timed_out", by="", reason="", at=now)
            log.error("message %d went out unreviewed: %s", message_id, draft.subject)
        _give_documents(conn, settings, overdue)
        regions = drafts.find_regions_of(conn, tuple(overdue))
    for region in regions:
        save_files(settings, region, now)
    return len(overdue)


def save_files(settings: Settings, region: str, now: datetime) -> Path:
    """Write the region's CAP documents that are no files yet, and its feed. Repeated, it heals what was cut short.

    A full disk is logged: the documents are in the database, and are written the next time.

    Returns:
        The folder, which may be served as it is.
    """
    folder = settings.region_dir(region) / "cap"
    with transaction(open_database(settings)) as conn:
        given = drafts.find_documents(conn, region, now - LISTED)
    feed = feed_of(region, given, now)
    try:
        save_documents(folder, {each.identifier: each.xml for each in given}, feed)
    except LswarnError as error:
        log.error("%s", error)
    return folder


def feed_of(region: str, given: Sequence[drafts.Document], now: datetime, self_url: str = "") -> bytes:
    """The Atom feed of some CAP documents, each beside it under the name of its file.

    Args:
        self_url: where the feed lies; empty where nobody knows.
    """
    entries = [
        FeedEntry(each.identifier, each.subject, "", each.released_at, each.expires_at, file_of(each.identifier))
        for each in given
    ]
    about = {"feed_id": f"urn:lswarn:{region}:cap", "title": f"lswarn {region}", "author": "lswarn"}
    return to_feed(entries, **about, now=now, self_url=self_url)


def _give_documents(conn: Connection, settings: Settings, message_ids: Iterable[int]) -> None:
    """Make the CAP documents of messages that have just been released, in the order they were queued."""
    for message_id in sorted(message_ids):
        if (sent := drafts.find_sent(conn, message_id)) is None:
            continue
        try:
            _give_document(conn, message_id, sent, _signer(settings))
        except CapError as error:
            log.error("message %d goes out without a CAP document: %s", message_id, error)


def _give_document(conn: Connection, message_id: int, sent: drafts.Sent, signer: Signer | None) -> None:
    document = cap_of(
        sent.message,
        sent.rules,
        identifier=identifier_of(sent.rules, sent.region, message_id, sent.released_at),
        sent_at=sent.released_at,
        area=sent.area,
        zones=sent.zones,
        references=[CapReference(*each) for each in sent.references],
        run_id=sent.run_id,
    )
    xml = to_xml(document)
    check(xml)
    drafts.record_document(
        conn,
        message_id,
        identifier=document.identifier,
        sent=document.sent,
        expires_at=document.expires_at,
        references=" ".join(f"{each.sender},{each.identifier},{each.sent}" for each in document.references),
        xml=sign(xml, signer) if signer else xml,
    )


def _signer(settings: Settings) -> Signer | None:
    """A key that cannot be used holds up no document: an unsigned one is valid, and better than none."""
    try:
        return load_signer(settings)
    except SettingsError as error:
        log.error("CAP documents go out unsigned: %s", error)
        return None
