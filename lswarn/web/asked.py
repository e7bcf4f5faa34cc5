"""What may be asked: the parameters of the routes, each with what is possible in it."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints

from lswarn.db.engine import Connection
from lswarn.db.features import EVERYWHERE, Box
from lswarn.db.shown import ShownRun, find_region_names, find_shown_run
from lswarn.web.problems import Problem

MOST = 1000
"""Of a page."""

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
LINE = r"^[^\x00-\x1f\x7f]+$"
WORDS = r"^[^\x00]*$"


def iso_day(value: Any) -> Any:
    """Refuse what is no day as ISO 8601 writes it."""
    # A bare number would be taken for a time in seconds.
    if isinstance(value, str) and value != "newest" and (len(value) != 10 or value[4] + value[7] != "--"):
        raise ValueError("must be a day such as 2026-03-18, or newest")
    return value


def _box(value: str) -> str:
    parts = value.split(",")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError as error:
        raise ValueError("must be west,south,east,north in degrees") from error
    if not (-1e6 < west <= east < 1e6 and -1e6 < south <= north < 1e6):
        raise ValueError("must be west,south,east,north in degrees, west <= east and south <= north")
    return value


RegionName = Annotated[str, Query(pattern=NAME, description="Name of a region, as /api/regions has it")]
AnyRegion = Annotated[str | None, Query(pattern=NAME, description="Only of this region; left out: of all")]
Day = Annotated[
    date | Literal["newest"],
    BeforeValidator(iso_day),
    Query(description="UTC day, such as 2026-03-18, or `newest`; an outlook is asked for by its day"),
]
WarnedClass = Annotated[
    Literal["4", "5"] | None, Query(alias="class", description="Only class 4 (high) or 5 (very high)")
]
BoxText = Annotated[
    str | None,
    AfterValidator(lambda value: value if value is None else _box(value)),
    Query(
        pattern=r"^-?\d+(\.\d+)?(,-?\d+(\.\d+)?){3}$",
        max_length=120,
        description="Only where it meets this: west,south,east,north in degrees",
        examples=["-84.4,36.1,-84.1,36.4"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Leave out so many at the beginning")]
Key = Annotated[int, Path(ge=1, le=2**53)]
Lon = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]
Lat = Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)]
Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=LINE)]
Said = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=WORDS)]


def box_of(written: str | None) -> Box:
    """A box as it was asked for; the whole world where it was not."""
    if written is None:
        return EVERYWHERE
    west, south, east, north = (float(part) for part in written.split(","))
    return west, south, east, north


def run_of(conn: Connection, region: str, day: date | Literal["newest"]) -> ShownRun:
    """The run that is shown for a day.

    Raises:
        Problem: 404: there is no such region, or no run of that day.
    """
    if (found := find_shown_run(conn, region, None if day == "newest" else day)) is not None:
        return found
    region_of(conn, region)
    if day == "newest":
        raise Problem(404, f"nothing has been published of {region} yet; the first run does it")
    raise Problem(
        404, f"there is no run of {region} for {day}, so nothing is known of it; /api/runs?region={region} lists them"
    )


def kept_run_of(conn: Connection, region: str, day: date | Literal["newest"]) -> ShownRun:
    """As `run_of`, of a day whose findings are kept.

    Raises:
        Problem: 404; 410: they were deleted for their age.
    """
    found = run_of(conn, region, day)
    if found.pruned_at is not None:
        raise Problem(
            410, f"what was found of {region} on {found.valid_day} was deleted for its age; it was not nothing"
        )
    return found


def region_of(conn: Connection, region: str) -> str:
    """The name of a region that is there.

    Raises:
        Problem: 404.
    """
    if not find_region_names(conn, region):
        raise Problem(404, f"there is no region {region}; there are {', '.join(find_region_names(conn)) or 'none yet'}")
    return region
