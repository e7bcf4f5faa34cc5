"""Zones as outlines that a CAP document can carry: few, coarse, closed, and never smaller than the zones. Pure.

The protocol knows neither holes nor multipolygons. So every part becomes an outline of its own, holes are filled, parts
are taken together where they are too many, and what is simplified is first widened: an outline may warn of too much
ground, never of too little.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Ring = tuple[tuple[float, float], ...]
"""(latitude, longitude) pairs in degrees, the first again at the end."""

MAX_RINGS = 100
MAX_POINTS = 100
"""Of one outline: telephones and sirens refuse more."""

DECIMALS = 5
"""Of a degree: about a metre."""

_STEPS_M = (60, 120, 250, 500, 1000, 2000, 4000, 8000, 16000)
"""How far an outline is widened; the first that leaves few enough points is taken."""

_METRES_PER_DEG = 111_320.0
_WORLD = shapely.box(-180, -90, 180, 90)


def outward_rings(zones: BaseGeometry) -> tuple[Ring, ...]:
    """Outlines that hold all of the zones, at most `MAX_RINGS` of at most `MAX_POINTS` points each.

    Args:
        zones: any geometry, EPSG:4326, longitude first; lines and points count too. Beyond the 180th meridian nothing
            is known: zones on both sides of it come as two parts.

    Raises:
        ValueError: the geometry is empty.
    """
    if zones.is_empty:
        raise ValueError("nothing to draw an outline around")
    _, south, _, north = zones.bounds
    # Longitudes are drawn together, so that a distance is the same in every direction; near the poles not beyond use.
    shrink = max(math.cos(math.radians((south + north) / 2)), 0.05)
    plane = _stretched(valid(zones), 1 / shrink)
    parts = np.array([part for part in shapely.get_parts(plane, return_index=False) if not part.is_empty])
    groups = _grouped(shapely.bounds(parts))
    return tuple(_outline(_one(parts[members]), shrink) for members in groups)


def inside(zones: BaseGeometry, area: BaseGeometry) -> BaseGeometry:
    """What of some zones lies in an area: only those that lie across its border are cut."""
    parts, whole = shapely.get_parts(valid(zones)), valid(area)
    shapely.prepare(whole)
    within = shapely.contains_properly(whole, parts)
    cut = shapely.intersection(parts[~within & shapely.intersects(whole, parts)], whole)
    return shapely.geometrycollections([*parts[within], *shapely.get_parts(cut)])


def valid(shape: BaseGeometry) -> BaseGeometry:
    """A shape as it is, or mended."""
    return shape if shape.is_valid else shapely.make_valid(shape)


def _one(parts: NDArray[np.object_]) -> BaseGeometry:
    """A part as it is; of several the convex hull."""
    return parts[0] if len(parts) == 1 else shapely.convex_hull(shapely.geometrycollections(parts))


class _Group(NamedTuple):
    """Parts that share an outline, in the order in which they are best cut in two.

    Attributes:
        cut: how many come before the cut. `gain`: how much less ground two boxes hold than one.
    """

    members: NDArray[np.intp]
    cut: int
    gain: float


def _grouped(bounds: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Parts taken together into `MAX_RINGS` groups at most, so that boxes around them hold little ground.

    One group holds all at first; whichever gains most by it is cut in two, again and again.

    Args:
        bounds: west, south, east, north of every part, one a row.
    """
    if len(bounds) <= MAX_RINGS:
        return [np.array([part]) for part in range(len(bounds))]
    margin = _STEPS_M[0] / _METRES_PER_DEG
    wide = bounds + np.array([-margin, -margin, margin, margin])
    groups = [_best_cut(wide, np.arange(len(wide)))]
    while len(groups) < MAX_RINGS:
        at = max(range(len(groups)), key=lambda number: groups[number].gain)
        members, cut, _ = groups.pop(at)
        groups += [_best_cut(wide, members[:cut]), _best_cut(wide, members[cut:])]
    return [group.members for group in groups]


def _best_cut(bounds: NDArray[np.float64], members: NDArray[np.intp]) -> _Group:
    """The cut, west-east or south-north, after which two boxes hold least ground; of one part there is none."""
    if len(members) == 1:
        return _Group(members, 0, -math.inf)
    cuts = []
    for axis in (0, 1):
        order = members[np.argsort(bounds[members, axis] + bounds[members, axis + 2], kind="stable")]
        held = bounds[order]
        first = np.hstack([np.minimum.accumulate(held[:, :2]), np.maximum.accumulate(held[:, 2:])])
        back = held[::-1]
        last = np.hstack([np.minimum.accumulate(back[:, :2]), np.maximum.accumulate(back[:, 2:])])[::-1]
        both = _area(first[:-1]) + _area(last[1:])
        at = int(np.argmin(both))
        cuts.append(_Group(order, at + 1, float(_area(first[-1:])[0] - both[at])))
    return max(cuts, key=lambda group: group.gain)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def _outline(shape: BaseGeometry, shrink: float) -> Ring:
    """The closest outline around a shape of the plane that has few enough points when it is written down."""
    on_earth = shapely.intersection(_stretched(shape, shrink), _WORLD)
    for wide in _widened(shape):
        back = shapely.intersection(_stretched(wide, shrink), _WORLD)
        if isinstance(back, Polygon) and (ring := _ring(back)) is not None:
            # What is written down is what must hold the zone, rounding included.
            drawn = Polygon([(lon, lat) for lat, lon in ring])
            if drawn.is_valid and drawn.covers(on_earth):
                return ring
    west, south, east, north = on_earth.bounds
    box = shapely.box(_down(west), _down(south), -_down(-east), -_down(-north))
    return tuple((lat, lon) for lon, lat in box.exterior.coords)


def _widened(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    """Ever wider and coarser polygons around a shape, holes filled."""
    for step in (step_m / _METRES_PER_DEG for step_m in _STEPS_M):
        # A buffer of so few segments is up to 8 % narrower than it says; the simplification takes less than the rest.
        wide = shapely.buffer(shape, step, quad_segs=2)
        yield shapely.simplify(Polygon(wide.exterior), 0.7 * step)
    yield shapely.convex_hull(wide)


def _stretched(shape: BaseGeometry, shrink: float) -> BaseGeometry:
    return shapely.transform(shape, lambda lonlat: lonlat * (1 / shrink, 1.0))


def _ring(shape: Polygon) -> Ring | None:
    """The outline as it is written; None where it has too many points, or too few are left."""
    points = [(round(lat, DECIMALS), round(lon, DECIMALS)) for lon, lat in shape.exterior.coords]
    ring = (points[0], *(now for before, now in pairwise(points) if now != before))
    return ring if 4 <= len(ring) <= MAX_POINTS else None


def _down(degrees: float) -> float:
    return math.floor(degrees * 10**DECIMALS) / 10**DECIMALS
