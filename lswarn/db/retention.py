"""What the database forgets, and what it never does.

A map of a year ago is millions of vertices that nobody asks for. That there was a run, from which rain, how much of
each area was of which class, how many metres of road and people lay in zones, and what was said to
whom is kept for ever.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from lswarn.db import tables
from lswarn.db.store import FINDINGS
from lswarn.db.tiles import forget_orphans
from lswarn.db.zones import forget_shapes
from lswarn.region import Region

TOTALS = (tables.class_area, tables.exposure_total)
"""Few numbers a run, kept for ever: so much of each class, so much of it on roads and settlements."""

AGING = tuple(table for table in FINDINGS if table not in TOTALS)
"""What goes with its age, in an order in which it can be deleted."""


@dataclass(frozen=True)
class Pruned:
    """What was deleted: findings of so many runs, so many rows of them, and tiles and shapes that no run names now."""

    runs: int
    rows: int
    tiles: int
    shapes: int

    @property
    def sentence(self) -> str:
        """For people."""
        if not (self.runs or self.tiles or self.shapes):
            return "nothing is older than it may be"
        return f"{self.rows} rows of {self.runs} runs deleted, {self.shapes} outlines and {self.tiles} map tiles"


def prune(conn: Connection, region: Region, keep_days: int, now: datetime) -> Pruned:
    """Delete the class maps, zones, exceedances and exposure of a region's old runs; safe to repeat.

    The runs stay, marked by `pruned_at`, so that no view takes what was deleted for what was never there. The newest
    observed day keeps all it has, however old: it is what the views called "now" show.

    Args:
        conn: of a transaction that holds the region's lock.
        keep_days: days that a run keeps them from its publication on: of a hindcast too, however old its day.
        now: aware.
    """
    facts = {"region": region.name, "before": now - timedelta(days=keep_days), "now": now}
    old = """
        UPDATE lswarn.run SET pruned_at = :now
        WHERE region = :region AND published_at < :before AND pruned_at IS NULL
          AND id NOT IN (SELECT id FROM lswarn.current_run WHERE region = :region)
        RETURNING id"""
    runs = list(conn.execute(text(old), facts).scalars())
    rows = sum(conn.execute(table.delete().where(table.c.run_id.in_(runs))).rowcount for table in AGING)
    return Pruned(len(runs), rows, forget_orphans(conn), forget_shapes(conn, region))
