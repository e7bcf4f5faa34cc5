"""Which zone comes from which: zones of one run held against those of an earlier one."""

from typing import Any

from sqlalchemy import Connection, text

# Equal geometries hash alike, so that the same shape is found without looking at any place.
KEEP = """
    CREATE TEMPORARY TABLE kept ON COMMIT DROP AS
    SELECT zone.id AS zone_id, min(earlier.id) AS earlier_id
    FROM lswarn.susceptibility_zone AS zone
    JOIN lswarn.susceptibility_zone AS earlier ON earlier.geometry = zone.geometry
    WHERE zone.run_id = :run_id AND earlier.run_id = :earlier_id
    GROUP BY zone.id"""

FRESH = """
    SELECT id FROM lswarn.susceptibility_zone AS zone
    WHERE run_id = :run_id AND NOT EXISTS (SELECT FROM kept WHERE kept.zone_id = zone.id)"""

# Of an unknown day nothing is known, neither what came from it nor what went.
EARLIER = """
    SELECT earlier.id FROM lswarn.run AS earlier
    JOIN lswarn.run AS run ON run.id = :run_id
    WHERE earlier.region = run.region AND earlier.kind = 'observed' AND earlier.valid_day < run.valid_day
      AND earlier.superseded_at IS NULL AND earlier.pruned_at IS NULL AND earlier.model_id IS NOT NULL
      AND run.kind = 'observed' AND run.model_id IS NOT NULL
    ORDER BY earlier.valid_day DESC
    LIMIT 1"""

LATER = """
    SELECT later.id FROM lswarn.run AS later
    JOIN lswarn.run AS run ON run.id = :run_id
    WHERE later.region = run.region AND later.kind = 'observed' AND later.valid_day > run.valid_day
      AND later.superseded_at IS NULL AND later.pruned_at IS NULL AND later.model_id IS NOT NULL
      AND run.kind = 'observed'
    ORDER BY later.valid_day
    LIMIT 1"""

SAME = """
    INSERT INTO lswarn.zone_lineage (run_id, zone_id, earlier_zone_id, overlap_m2)
    SELECT :run_id, zone.id, kept.earlier_id, zone.area_m2
    FROM kept JOIN lswarn.susceptibility_zone AS zone ON zone.id = kept.zone_id"""

# Zones of one run do not overlap: one that changed can lie only where another one changed or went. The index of all
# zones would find those of every day of the year.
CHANGED = """
    CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
    SELECT id, geometry FROM lswarn.susceptibility_zone AS earlier
    WHERE run_id = :earlier_id AND NOT EXISTS (SELECT FROM kept WHERE kept.earlier_id = earlier.id)"""

# Zones are small: the share of their area in degrees is the share of their area. Less than a square metre is rounding.
OVERLAP = """
    INSERT INTO lswarn.zone_lineage (run_id, zone_id, earlier_zone_id, overlap_m2)
    SELECT :run_id, zone.id, earlier.id, overlap_m2
    FROM lswarn.susceptibility_zone AS zone
    JOIN changed AS earlier ON ST_Intersects(zone.geometry, earlier.geometry)
    CROSS JOIN LATERAL (
        SELECT zone.area_m2 * ST_Area(ST_Intersection(zone.geometry, earlier.geometry)) / ST_Area(zone.geometry)
               AS overlap_m2
    ) AS measure
    WHERE zone.id = ANY(CAST(:fresh AS bigint[])) AND overlap_m2 > 1"""


def keep_shapes(conn: Connection, run_id: int, earlier_id: int | None) -> list[int] | None:
    """Find the zones that an earlier run had too, in the very same shape; they lie in `kept` until the next call.

    Returns:
        Keys of the others; None where that is all of them.
    """
    facts = {"run_id": run_id, "earlier_id": earlier_id}
    conn.execute(text("DROP TABLE IF EXISTS pg_temp.kept"))
    conn.execute(text(KEEP), facts)
    # However few rows the planner expects of a run that is new, it is never to compare each with each.
    conn.execute(text("CREATE INDEX ON kept (zone_id); CREATE INDEX ON kept (earlier_id); ANALYZE kept"))
    if not conn.execute(text("SELECT EXISTS (SELECT FROM kept)")).scalar():
        return None
    return list(conn.execute(text(FRESH), facts).scalars())


def record_lineage(conn: Connection, run_id: int) -> None:
    """Write down which zones of the observed day before lay where the zones of an observed run lie.

    The day after, where it is there already, is held against this run instead of an older one.
    """
    for each in (run_id, conn.execute(text(LATER), {"run_id": run_id}).scalar()):
        if each is not None:
            _compare(conn, each)


def _compare(conn: Connection, run_id: int) -> None:
    facts: dict[str, Any] = {"run_id": run_id}
    facts["earlier_id"] = earlier = conn.execute(text(EARLIER), facts).scalar()
    conn.execute(text("UPDATE lswarn.run SET earlier_run_id = :earlier_id WHERE id = :run_id"), facts)
    conn.execute(text("DELETE FROM lswarn.zone_lineage WHERE run_id = :run_id"), facts)
    if earlier is None:
        return
    fresh = keep_shapes(conn, run_id, earlier)
    if fresh is None:
        query = text("SELECT id FROM lswarn.susceptibility_zone WHERE run_id = :run_id")
        fresh = list(conn.execute(query, facts).scalars())
    conn.execute(text(SAME), facts)
    conn.execute(text("DROP TABLE IF EXISTS pg_temp.changed"))
    conn.execute(text(CHANGED), facts)
    conn.execute(text("CREATE INDEX ON changed USING gist (geometry)"))
    conn.execute(text("ANALYZE changed"))
    conn.execute(text(OVERLAP), facts | {"fresh": fresh})
