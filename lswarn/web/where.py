"""What is answered of a point."""

from dataclasses import dataclass

from lswarn.db.places import AreaThere, ExposedNear, ZoneThere
from lswarn.web.answers import RunSummary


@dataclass(frozen=True)
class Rising:
    """How much more rain until the cell is in a class.

    Attributes:
        warned_class: 4 high, 5 very high.
        status: reached; known; at_most: less may do; never: no rain that the model has seen; beyond_model: more than
            that has fallen; unknown.
        critical_mm, to_go_mm: rain of seven days from which on it is, and what is missing of it; None where there is
            none, see status.
    """

    warned_class: int
    status: str
    critical_mm: float | None
    to_go_mm: float | None


@dataclass(frozen=True)
class PointAnswer:
    """What is known of a point.

    Attributes:
        inside: it lies in the region's box.
        point_class: 1 very low to 5 very high, 0 unknown; None off the map, and where the map is not kept.
        rain_mm: of seven days; None = unknown. lower_bound: more may have fallen.
        rising: empty where the critical rainfall of that day is not kept.
        zone, area: None where there is none; the area as it stands now.
        near: what lies in zones within 500 m.
    """

    lon: float
    lat: float
    inside: bool
    run: RunSummary
    point_class: int | None
    rain_mm: float | None
    lower_bound: bool
    rising: list[Rising]
    zone: ZoneThere | None
    area: AreaThere | None
    near: tuple[ExposedNear, ...]
