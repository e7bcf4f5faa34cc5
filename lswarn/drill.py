"""A drill: a warning that goes the whole way and says at every step that it is a test.

It is opened, updated and ended, reviewed where the real one would be, put into CAP with status Test, and delivered to
whoever would be told: what is not used every month does not work on the day it is needed. The state of no real alert is
touched, and no run is needed: a drill works in the dry season too.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lswarn import release
from lswarn.alerts.message import compose
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level
from lswarn.db import alerts
from lswarn.db.engine import open_database, transaction
from lswarn.region import Region
from lswarn.settings import Settings

_ROAD = Hit("road", "drill-road", "Test Road (no real road)", "T 1", 1200.0, 0, 0.8)
_OTHER = Hit("road", "drill-other", "Other Test Road (no real road)", "T 2", 300.0, 0, 0.7)
_TOWN = Hit("settlement", "drill-town", "Test Town (no real settlement)", "", 0.0, 25, 0.9)

STEPS = (
    (Kind.OPEN, Level.NONE, Level.RED, (_ROAD, _TOWN), (_ROAD, _TOWN)),
    (Kind.UPDATE, Level.RED, Level.RED, (_ROAD, _OTHER, _TOWN), (_OTHER,)),
    (Kind.CLEAR, Level.RED, Level.NONE, (), ()),
)
"""Kind, level before and after, what is hit, and what of it is new."""


def drill(region: Region, settings: Settings, area_id: str, *, by: str, now: datetime, status: str = "test") -> int:
    """Give a warning that is none, for one warning area, and take it through its life; what is queued is not yet sent.

    Drafts are asked about as real ones are, and let out in the name of whoever drills.

    Args:
        by: who drills, or what.
        status: `test` or `exercise`.

    Returns:
        How many messages were released.

    Raises:
        DatabaseError: there is no such warning area.
    """
    engine = open_database(settings)
    day = (now.astimezone(UTC) - timedelta(days=1)).date()
    nothing = alerts.NewestRun(0, day, "E", [], [], "")
    released = 0
    with transaction(engine, region) as conn:
        alerts.record_drill(conn, region, area_id, status, day)
    for number, (kind, before, after, hits, new) in enumerate(STEPS):
        at = now + timedelta(seconds=number)  # documents of one second could not be told apart by their time
        change = AlertChange(area_id, day, kind, before, after, hits, frozenset(hit.key for hit in new))
        with transaction(engine, region) as conn:
            about = replace(release.brief(conn, region, area_id, nothing, at), opened_on=day, status=status)
            queued = release.queue(conn, region, settings, [compose(change, about)], at)
        for message_id in queued.waiting:
            release.approve(region.name, settings, message_id, by=by, reason=f"a {status}", now=at)
        released += len(queued.released) + len(queued.waiting)
    with transaction(engine, region) as conn:
        alerts.close_drill(conn, region, area_id, status)
    release.save_files(settings, region.name, now)
    return released
