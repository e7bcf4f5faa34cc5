#!/usr/bin/env python3
"""Is the day published that should be, and does what was said go out? Asked outside Prefect, by cron or a timer.

    .venv/bin/python ops/freshness.py my-valley other-valley

It asks the database itself, and knows from region.toml which day is due: so it notices a Prefect that is down, a worker
that hangs, a schedule that was paused. One line for each region, and an exit code as monitoring systems read it:

    0  fresh: the day that is due is published
    1  fresh, but a person should look: rain is missing, deliveries were given up, a lane fails, no heartbeat
    2  stale or mute: the day is not there, says nothing, or what was said lies still
    3  it could not be asked: settings, region.toml, this program

LSWARN_HEARTBEAT_URL is fetched at 0 and 1, and at nothing else: a dead-man's switch (healthchecks.io, Uptime Kuma and
their like) then raises the alarm when this machine itself is gone. What each line means, and what to do, stands in
ops/runbook.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import requests

from lswarn.db.engine import open_database
from lswarn.db.reading import reading
from lswarn.db.status import Status, find_status
from lswarn.db.unsent import Unsent, find_unsent
from lswarn.errors import DatabaseError, DeliveryError, LswarnError
from lswarn.rain.products import newest_due
from lswarn.region import Region, find_region
from lswarn.sections import RainSource
from lswarn.settings import Settings, load_settings

FRESH, WEAK, STALE, UNASKED = range(4)
WORDS = ("OK", "LOOK", "STALE", "UNKNOWN")
GRACE_H = 3.0
"""From the hour at which a day's rain is due to its publication: the shipped schedule's next run, and its retries."""
LIES_STILL = timedelta(minutes=30)
"""Deliveries are made every five minutes."""


@dataclass(frozen=True)
class Finding:
    """One thing that is so, and how bad that is; the name of its entry in ops/runbook.md where it is bad."""

    code: int
    sentence: str
    entry: str = ""


def due_day(sources: Sequence[RainSource], now: datetime, grace_h: float = GRACE_H) -> date:
    """The newest day that should be published: one of its products was due so many hours ago.

    A day is published with the first product there is, and again with every better one.
    """
    return newest_due(sources, now - timedelta(hours=grace_h))


def judge(status: Status, unsent: Unsent, due: date, now: datetime) -> Iterator[Finding]:
    """Everything that is to be said of a region; at least one thing."""
    last = status.last_run
    if last is None:
        yield Finding(STALE, f"nothing was ever published, and {due} is due", "the-day-is-not-published")
    elif last.valid_day >= now.astimezone(UTC).date():
        yield Finding(STALE, f"{last.valid_day} is published, and is not over: a clock is wrong", "a-clock-is-wrong")
    elif last.valid_day < due:
        behind = (due - last.valid_day).days
        told = f"{due} is due, and the newest published day is {last.valid_day}, {behind} d behind"
        yield Finding(STALE, told, "the-day-is-not-published")
    elif last.status == "unknown":
        told = f"{last.valid_day} is published, and nothing is known of it: its rain is missing"
        yield Finding(STALE, told, "rain-is-missing")
    elif last.grade in ("D", "E"):
        told = f"{last.valid_day} is published with rain of grade {last.grade}: nothing is called low by it"
        yield Finding(WEAK, told, "rain-is-missing")
    else:
        yield Finding(FRESH, f"{last.valid_day} is published, rain grade {last.grade}")
    if unsent.deliveries:
        told = f"{unsent.deliveries} deliveries lie still since {LIES_STILL.seconds // 60} minutes or longer"
        yield Finding(STALE, told, "deliveries-lie-still")
    if unsent.drafts:
        told = f"{unsent.drafts} drafts should have gone out unreviewed by now"
        yield Finding(STALE, told, "deliveries-lie-still")
    if status.dead_letters:
        yield Finding(WEAK, f"given up: {'; '.join(status.dead_letters)}", "deliveries-were-given-up")
    if status.failing_lanes:
        yield Finding(WEAK, f"failing: {'; '.join(status.failing_lanes)}", "a-lane-fails")


def ask(region: Region, settings: Settings, now: datetime, grace_h: float = GRACE_H) -> list[Finding]:
    """How a region stands. Database.

    A database that does not answer is a finding, not an error: nothing can be published either.
    """
    due = due_day(region.rain.sources, now, grace_h)
    try:
        with reading(open_database(settings)) as conn:
            status = find_status(conn, region.name)
            unsent = find_unsent(conn, region.name, now - LIES_STILL, now)
    except DatabaseError as error:
        return [Finding(STALE, str(error), "the-database-is-away")]
    return list(judge(status, unsent, due, now))


def line_of(name: str, findings: Sequence[Finding]) -> str:
    """All findings of a region as one line; the worst of them first."""
    worst_first = sorted(findings, key=lambda finding: -finding.code)
    told = "; ".join(
        finding.sentence.replace("\n", " ") + (f" (runbook: {finding.entry})" if finding.entry else "")
        for finding in worst_first
    )
    return f"{WORDS[worst_first[0].code]} {name}: {told}"


def send_heartbeat(url: str, timeout_s: float) -> None:
    """Tell the dead-man's switch that all is well.

    Raises:
        DeliveryError: it did not take it. The address is in no message: whoever has it can keep the switch quiet.
    """
    try:
        status = requests.get(url, timeout=timeout_s).status_code
    except requests.RequestException as error:
        raise DeliveryError(f"the heartbeat was not taken ({type(error).__name__}); see LSWARN_HEARTBEAT_URL") from None
    if status >= 300:
        raise DeliveryError(f"the heartbeat was not taken (HTTP {status}); see LSWARN_HEARTBEAT_URL")


def check(named: Sequence[Path], settings: Settings, now: datetime, grace_h: float) -> int:
    """Print a line for each region, and send the heartbeat where all is well.

    Args:
        named: region.toml files or their folders; none: the one of the environment.

    Returns:
        The exit code: the worst there is.
    """
    codes = []
    for path in named or [None]:
        try:
            region = find_region(path, settings.region)
            findings = ask(region, settings, now, grace_h)
            name = region.name
        except LswarnError as error:
            name, findings = str(path or settings.region or "region.toml"), [Finding(UNASKED, str(error))]
        print(line_of(name, findings))  # noqa: T201 (it is what cron mails)
        codes.append(max(finding.code for finding in findings))
    worst = max(codes)
    if worst < STALE and settings.heartbeat_url is not None:
        try:
            send_heartbeat(settings.heartbeat_url.get_secret_value(), settings.timeout_s)
        except DeliveryError as error:
            finding = Finding(WEAK, str(error), "no-heartbeat")
            print(line_of("heartbeat", [finding]))  # noqa: T201
            return WEAK
    return worst


def main() -> int:
    """Read the command line, the environment and the clock."""
    parser = argparse.ArgumentParser(description="Is the day published that should be, and does what was said go out?")
    parser.add_argument("region", nargs="*", type=Path, help="region.toml or its folder; left out: LSWARN_REGION")
    parser.add_argument(
        "--grace-h", type=float, default=GRACE_H, help="hours from when rain is due to its publication (%(default)s)"
    )
    try:
        given = parser.parse_args()
        return check(given.region, load_settings(), datetime.now(UTC), given.grace_h)
    except SystemExit as error:
        return UNASKED if error.code else FRESH  # argparse leaves with 2, which here means stale
    except Exception as error:  # whatever it is, it must not look like an answer
        print(f"{WORDS[UNASKED]} {type(error).__name__}: {error}")  # noqa: T201
        return UNASKED


if __name__ == "__main__":
    sys.exit(main())
