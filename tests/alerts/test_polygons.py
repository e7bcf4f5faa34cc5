import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from lswarn.alerts.cap.polygons import MAX_POINTS, MAX_RINGS, Ring, outward_rings


def drawn(rings: tuple[Ring, ...]) -> BaseGeometry:
    return shapely.union_all([Polygon([(lon, lat) for lat, lon in ring]) for ring in rings])


cells = st.lists(
    st.tuples(st.integers(-1000, 1000), st.integers(-300, 300), st.integers(1, 60), st.integers(1, 60)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(cells, st.sampled_from([-89.0, -34.0, 0.0, 36.2, 71.0, 89.0]))
def test_outlines_hold_the_zones(corners: list[tuple[int, int, int, int]], lat: float) -> None:
    """Whatever is simplified, merged and rounded: no cell is left out, and every outline is one a program can draw."""
    zones = shapely.union_all([box(x, y, x + w, y + h) for x, y, w, h in corners])
    zones = shapely.transform(zones, lambda points: points * 0.0003 + (20.0, lat))
    rings = outward_rings(zones)
    assert shapely.covers(drawn(rings), zones)
    assert len(rings) <= MAX_RINGS
    for ring in rings:
        assert 4 <= len(ring) <= MAX_POINTS
        assert ring[0] == ring[-1]
        assert Polygon([(lon, lat) for lat, lon in ring]).is_valid
        assert all(abs(lat) <= 90 and abs(lon) <= 180 for lat, lon in ring)


def test_latitude_comes_first() -> None:
    (ring,) = outward_rings(box(20.4, -34.1, 20.5, -34.0))
    assert all(-34.2 < lat < -33.9 and 20.3 < lon < 20.6 for lat, lon in ring)


def test_parts_far_apart_stay_apart_and_holes_are_filled() -> None:
    hole = Polygon(box(0, 0, 0.3, 0.3).exterior.coords, [box(0.1, 0.1, 0.2, 0.2).exterior.coords])
    rings = outward_rings(MultiPolygon([hole, box(1, 1, 1.1, 1.1)]))
    assert len(rings) == 2
    assert drawn(rings).covers(Point(0.15, 0.15))


def test_not_much_more_than_the_zone() -> None:
    zone = box(20.4, -34.1, 20.5, -34.0)
    assert drawn(outward_rings(zone)).area < 1.05 * zone.area


def test_very_many_zones_become_few_outlines() -> None:
    grid = [box(x * 0.01, y * 0.01, x * 0.01 + 0.0003, y * 0.01 + 0.0003) for x in range(30) for y in range(30)]
    zones = shapely.union_all(grid)
    rings = outward_rings(zones)
    assert 1 <= len(rings) <= MAX_RINGS
    assert drawn(rings).covers(zones)


@pytest.mark.parametrize("thin", [Point(20.4, -34.1), LineString([(20.4, -34.1), (20.5, -34.0)])])
def test_a_point_and_a_line_have_an_outline_too(thin: BaseGeometry) -> None:
    assert drawn(outward_rings(thin)).covers(thin)


@pytest.mark.parametrize("edge", [box(179.99, -17, 180, -16), box(-180, 89.9, 180, 90), box(-180, -90, 180, 90)])
def test_at_the_edge_of_the_world(edge: Polygon) -> None:
    assert drawn(outward_rings(edge)).covers(edge)


def test_a_bow_tie_is_mended() -> None:
    tie = Polygon([(0, 0), (0.1, 0.1), (0.1, 0), (0, 0.1)])
    assert drawn(outward_rings(tie)).covers(shapely.make_valid(tie))


def test_nothing_has_no_outline() -> None:
    with pytest.raises(ValueError, match="nothing"):
        outward_rings(Polygon())
