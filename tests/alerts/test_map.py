import io
import warnings
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from lswarn.alerts import map as drawing
from lswarn.alerts.map import area_map
from lswarn.hazard.classes import Class

AREA = box(-84.3, 36.2, -84.1, 36.3)  # wider than high
BAND = "#ffe9a8"


def frame(rows: list[tuple[object, ...]], *columns: str) -> gpd.GeoDataFrame:
    data = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return gpd.GeoDataFrame(data, geometry=[row[-1] for row in rows], crs="EPSG:4326")


def zones(*rows: tuple[int, BaseGeometry]) -> gpd.GeoDataFrame:
    return frame(list(rows), "class")


def roads(*rows: tuple[str, str, bool, BaseGeometry]) -> gpd.GeoDataFrame:
    return frame(list(rows), "name", "ref", "exposed")


def towns(*rows: tuple[str, bool, BaseGeometry]) -> gpd.GeoDataFrame:
    return frame(list(rows), "name", "exposed")


def pixels(png: bytes) -> NDArray[np.float32]:
    return imread(io.BytesIO(png))[:, :, :3]


def coloured(image: NDArray[np.float32], colour: str) -> NDArray[np.bool_]:
    return np.abs(image - to_rgb(colour)).max(axis=2) < 0.01


def draw(
    found: gpd.GeoDataFrame | None = None,
    lines: gpd.GeoDataFrame | None = None,
    places: gpd.GeoDataFrame | None = None,
    **options: object,
) -> NDArray[np.float32]:
    layers = [zones() if found is None else found, roads() if lines is None else lines]
    layers.append(towns() if places is None else places)
    return pixels(area_map(options.pop("area", AREA), *layers, **({"title": "North, 5 October 2026"} | options)))


def test_classes_darken_evenly() -> None:
    """Lightness (CIE L*) falls by at least 7 a class, so that hue is not needed to tell them apart."""
    linear = [[((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(Class(n).colour)] for n in range(1, 6)]
    lightness = [116 * (0.2126 * r + 0.7152 * g + 0.0722 * b) ** (1 / 3) - 16 for r, g, b in linear]
    assert all(light - dark >= 7 for light, dark in pairwise(lightness))


class TestAreaMap:
    def test_empty_area_is_a_map_all_the_same(self) -> None:
        image = draw()
        assert image.shape[1] == 1144
        assert not coloured(image, Class(5).colour).any()

    def test_north_is_up_and_east_is_right(self) -> None:
        image = draw(zones((5, box(-84.13, 36.27, -84.1, 36.3))))
        rows, cols = np.nonzero(coloured(image, Class(5).colour)[:, :])
        in_map = rows < image.shape[0] * 0.8  # the legend shows the colour too
        assert cols[in_map].min() > image.shape[1] / 2
        assert rows[in_map].max() < image.shape[0] / 2

    def test_distances_are_true_both_ways(self) -> None:
        # 0.02° of latitude, and as much on the ground of longitude: a square must look square.
        side = 0.02 / np.cos(np.radians(36.25))
        image = draw(zones((5, box(-84.2, 36.24, -84.2 + side, 36.26))))
        rows, cols = np.nonzero(coloured(image, Class(5).colour)[: int(image.shape[0] * 0.8)])
        assert np.ptp(rows) == pytest.approx(np.ptp(cols), rel=0.02)

    def test_hole_stays_open(self) -> None:
        ring = box(-84.25, 36.22, -84.15, 36.28)
        hole = [(-84.22, 36.24), (-84.18, 36.24), (-84.18, 36.26), (-84.22, 36.26)]
        whole = coloured(draw(zones((5, ring))), Class(5).colour).sum()
        for turn in (hole, hole[::-1]):
            share = coloured(draw(zones((5, Polygon(ring.exterior.coords, [turn])))), Class(5).colour).sum() / whole
            assert share == pytest.approx(1 - 0.0008 / 0.006, abs=0.02)

    def test_one_cell_is_seen_in_a_large_area(self) -> None:
        large = box(-86, 35, -83, 37)
        cell = box(-84.2, 36.2, -84.1997, 36.2003)
        image = draw(zones((5, cell)), area=large)
        in_map = image[: int(image.shape[0] * 0.85)]
        assert (np.abs(in_map - to_rgb(Class(5).colour)).max(axis=2) < 0.25).any()

    def test_large_area_is_shown_around_what_is_exposed(self) -> None:
        large, town = box(-86, 35, -83, 37), box(-84.2, 36.2, -84.1, 36.3)
        zone = zones((5, town))
        near = coloured(draw(zone, places=towns(("T", True, town)), area=large), Class(5).colour).sum()
        far = coloured(draw(zone, places=towns(("T", False, town)), area=large), Class(5).colour).sum()
        assert near > 5 * far

    def test_made_is_on_a_band(self) -> None:
        assert not coloured(draw(), BAND).any()
        assert coloured(draw(made="Rain and roads."), BAND)[:, 0].sum() > 20

    def test_unknown_is_hatched(self) -> None:
        image = draw(zones((0, AREA)))
        middle = image[len(image) // 3 : len(image) // 2, 300:700]
        assert 0.3 < coloured(middle, Class(0).colour).mean() < 0.97

    def test_exposed_road_stands_out(self) -> None:
        line = LineString([(-84.35, 36.25), (-84.05, 36.25)])
        ink = [coloured(draw(lines=roads(("", "", hit, line))), "#1b1f24").sum() for hit in (False, True)]
        assert ink[1] > ink[0] + 3000

    def test_odd_geometries(self) -> None:
        line = LineString([(-84.25, 36.25), (-84.15, 36.26)])
        odd = GeometryCollection([Point(-84.2, 36.2), MultiPolygon([box(-84.2, 36.22, -84.19, 36.23)]), line])
        image = draw(
            zones((5, odd), (4, Polygon())),
            roads(("A", "", True, odd), ("B", "", False, LineString()), ("C", "", True, Point(-84.2, 36.25))),
            towns(("D", True, odd), ("E", False, Point(-84.12, 36.22)), ("F", True, Polygon())),
        )
        assert coloured(image, Class(5).colour).any()

    @pytest.mark.parametrize("name", ["$x$", "a$b", "\\frac{", "सिन्धु 山", "ירושלים", "<b>\n\t&", "", "x" * 500])
    def test_any_name(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = draw(
                lines=roads((name, name, True, AREA.exterior)),
                places=towns((name, True, box(-84.2, 36.22, -84.19, 36.23))),
                title=name,
                made=name,
            )
        assert image.shape[1] == 1144

    def test_same_input_same_bytes(self) -> None:
        layers = zones((5, box(-84.2, 36.22, -84.19, 36.23))), roads(), towns(("T", True, Point(-84.2, 36.25)))
        assert area_map(AREA, *layers, title="T") == area_map(AREA, *layers, title="T")


def test_labels_do_not_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty names on one spot: some are written, none over another or over the edge, those exposed first."""
    places = towns(*((f"Town {i}", i >= 30, Point(-84.2, 36.25).buffer(0.002)) for i in range(40)))
    kept: list[drawing.Text] = []
    label = drawing._label

    def spy(figure: drawing.Figure, axes: drawing.Axes, *rest: object) -> None:
        before = set(figure.texts)
        label(figure, axes, *rest)
        kept.extend(text for text in figure.texts if text not in before)
        boxes = [text.get_window_extent() for text in kept]
        room = axes.get_window_extent()
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(room.x0 <= b.x0 and b.x1 <= room.x1 and room.y0 <= b.y0 and b.y1 <= room.y1 for b in boxes)

    monkeypatch.setattr(drawing, "_label", spy)
    area_map(AREA, zones(), roads(), places, title="T")
    assert 4 <= len(kept) < 40
    assert kept[0].get_text() == "Town 30"
