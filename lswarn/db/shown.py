"""Which regions and runs there are, for whoever looks at them from outside."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

SHOWN = """
    id AS run_id, region, valid_day, kind, lead_days, status, grade, model_id, published_at, superseded_at, pruned_at,
    rasters, missing,
    ARRAY(SELECT jsonb_build_object('day', day, 'product', product, 'version', version)
          FROM jsonb_to_recordset(rain) AS used (day date, product text, version text) ORDER BY day) AS rain"""


@dataclass(frozen=True)
class RainUsed:
    """Which rain stands for one of the seven days; product and version are None on a day without rain."""

    day: date
    product: str | None
    version: str | None


@dataclass(frozen=True)
class ShownRegion:
    """A region and its newest observed day.

    Attributes:
        bbox: west, south, east, north, degrees.
        made: what of the inputs is made up; empty for a real region.
        run_id, newest_day, status, grade, published_at: None before the first run.
        outlook_days: days ahead of which there is an outlook.
    """

    name: str
    title: str
    bbox: tuple[float, float, float, float]
    made: str
    run_id: int | None
    newest_day: date | None
    status: str | None
    grade: str | None
    published_at: datetime | None
    outlook_days: tuple[date, ...]


@dataclass(frozen=True)
class ShownRun:
    """A run.

    Attributes:
        kind: observed, outlook or hindcast.
        status: complete; lower_bound or modelled, under which nothing follows from a zone's absence; unknown.
        rain: the days of its window whose rain is known; missing: the others.
        superseded_at: None while it counts. pruned_at: when what it found was deleted for its age; None while it is
            kept.
        rasters: paths on the server, by name; for our own use.
    """

    run_id: int
    region: str
    valid_day: date
    kind: str
    lead_days: int
    status: str
    grade: str
    model_id: str | None
    published_at: datetime
    superseded_at: datetime | None
    pruned_at: datetime | None
    rasters: dict[str, dict[str, str]]
    missing: tuple[date, ...]
    rain: tuple[RainUsed, ...]


def find_shown_regions(conn: Connection) -> list[ShownRegion]:
    """Every recorded region, by name."""
    query = text("""
        SELECT region.name, title, made, run.id AS run_id, valid_day AS newest_day, status, grade, published_at,
               ARRAY[ST_XMin(geometry), ST_YMin(geometry), ST_XMax(geometry), ST_YMax(geometry)] AS bbox,
               ARRAY(SELECT ahead.valid_day FROM lswarn.outlook_run AS ahead
                     WHERE ahead.region = region.name ORDER BY 1) AS outlook_days
        FROM lswarn.region AS region
        LEFT JOIN lswarn.current_run AS run ON run.region = region.name
        ORDER BY region.name""")
    return [
        ShownRegion(**{**row, "bbox": tuple(row["bbox"]), "outlook_days": tuple(row["outlook_days"])})
        for row in conn.execute(query).mappings()
    ]


def find_shown_run(conn: Connection, region: str, day: date | None) -> ShownRun | None:
    """The run that is shown for a day: the observed one, else the outlook of a day that is still ahead.

    Args:
        day: None = the newest observed day.

    Returns:
        None where there is no such run.
    """
    which = "id = (SELECT id FROM lswarn.current_run WHERE region = :region)"
    if day is not None:
        which = """id = coalesce(
            (SELECT id FROM lswarn.run AS seen
             WHERE seen.region = :region AND seen.valid_day = :day AND seen.kind = 'observed'
               AND seen.superseded_at IS NULL),
            (SELECT id FROM lswarn.outlook_run AS ahead WHERE ahead.region = :region AND ahead.valid_day = :day))"""
    query = text(f"SELECT {SHOWN} FROM lswarn.run WHERE {which}")  # noqa: S608 (of our own words alone)
    row = conn.execute(query, {"region": region, "day": day}).mappings().one_or_none()
    return None if row is None else _run(dict(row))


def find_shown_runs(
    conn: Connection, *, region: str | None, kind: str | None, limit: int, offset: int
) -> tuple[list[ShownRun], int]:
    """Runs, the newest day first and of a day the newest run, superseded ones too; and how many there are in all.

    Args:
        region, kind: only of these; None = of all.
    """
    where = """WHERE (CAST(:region AS text) IS NULL OR region = :region)
                 AND (CAST(:kind AS text) IS NULL OR kind = :kind)"""
    facts = {"region": region, "kind": kind, "limit": limit, "offset": offset}
    query = text(f"""SELECT {SHOWN} FROM lswarn.run {where}
                     ORDER BY valid_day DESC, id DESC LIMIT :limit OFFSET :offset""")  # noqa: S608
    total = conn.execute(text(f"SELECT count(*) FROM lswarn.run {where}"), facts).scalar_one()  # noqa: S608
    return [_run(dict(row)) for row in conn.execute(query, facts).mappings()], total


def find_one_run(conn: Connection, region: str, run_id: int) -> ShownRun | None:
    """A run of a region by its number, superseded or not; None where there is none."""
    query = text(f"SELECT {SHOWN} FROM lswarn.run WHERE region = :region AND id = :run_id")  # noqa: S608
    row = conn.execute(query, {"region": region, "run_id": run_id}).mappings().one_or_none()
    return None if row is None else _run(dict(row))


def find_region_names(conn: Connection, region: str | None = None) -> list[str]:
    """Names of the recorded regions; of one, its name or nothing."""
    query = text("""SELECT name FROM lswarn.region
                    WHERE CAST(:region AS text) IS NULL OR name = :region ORDER BY name""")
    return list(conn.execute(query, {"region": region}).scalars())


def _run(row: dict) -> ShownRun:
    rain = tuple(RainUsed(**{**each, "day": date.fromisoformat(each["day"])}) for each in row["rain"])
    return ShownRun(**{**row, "rain": rain, "missing": tuple(row["missing"])})
