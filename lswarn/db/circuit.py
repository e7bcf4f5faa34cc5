"""Which lanes are closed for now because they failed too often; all workers share it.

A lane is what fails together: the mail relay, a webhook's host, an Apprise service. After `FAILURES` failures in a row
nothing is sent over it for `PAUSE`. Then it is tried again; another failure closes it at once, a success forgets it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

FAILURES = 5
PAUSE = timedelta(minutes=5)
LONGEST = timedelta(hours=1)
"""No lane is left alone for longer, whatever its other side asks for."""


@dataclass(frozen=True)
class Circuit:
    """A lane that has failed and taken nothing since.

    Attributes:
        failures: in a row.
        open_until: nothing is sent over it before; None where it is tried further.
        error: of the last one.
    """

    lane: str
    failures: int
    open_until: datetime | None
    error: str


def mark_lane_failed(
    conn: Connection, lane: str, at: datetime, error: str, *, until: datetime | None = None
) -> datetime | None:
    """Count a failure of a lane.

    Args:
        until: the other side asked for silence until then.

    Returns:
        Until when nothing is sent over it; None where it may be tried further.
    """
    query = text("""
        INSERT INTO lswarn.circuit AS known (lane, failures, failed_at, open_until, error)
        VALUES (:lane, 1, :at, :until, :error)
        ON CONFLICT (lane) DO UPDATE SET
            failures = known.failures + 1, failed_at = excluded.failed_at, error = excluded.error,
            open_until = greatest(
                CASE WHEN known.open_until <= :longest THEN known.open_until END,  -- else by a clock that was wrong
                excluded.open_until, CASE WHEN known.failures + 1 >= :most THEN :opened END)
        RETURNING open_until""")
    facts = {"lane": lane, "at": at, "until": until, "error": error, "most": FAILURES, "opened": at + PAUSE}
    facts |= {"longest": at + LONGEST}
    found: datetime | None = conn.execute(query, facts).scalar()
    return found


def find_failing_lanes(conn: Connection, region: str) -> list[Circuit]:
    """Lanes of a region's subscribers that have failed and taken nothing since."""
    query = text("""
        SELECT lane, failures, open_until, error FROM lswarn.circuit
        WHERE lane IN (SELECT lane FROM lswarn.subscriber WHERE region = :region AND retired_at IS NULL)
        ORDER BY lane""")
    return [Circuit(**row) for row in conn.execute(query, {"region": region}).mappings()]
