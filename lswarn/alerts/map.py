"""The picture in a warning: zones, roads and settlements of one warning area. Pure.

Drawn for a mail 600 pixels wide that is also read on a telephone: few things, large letters, and colours that differ in
lightness, so that they hold for the colour-blind and on a grey print.
"""

import io
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font, get_font_names
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform
from pyproj import Geod
from shapely.geometry.base import BaseGeometry

from lswarn.alerts.words import one_line
from lswarn.hazard.classes import UNKNOWN_HATCH, Class

WHOLE_DEG = 0.3
"""Degrees of longitude or latitude that are shown at the least."""

Box = tuple[float, float, float, float]
Look = dict[str, Any]

_DPI, _WIDTH_IN, _MAP_IN, _MARGIN_IN = 220, 5.2, 5.04, 0.08
_MAP_HEIGHT_IN = (1.9, 4.6)
_INK, _PAPER, _OUTSIDE, _QUIET, _CALM = "#1b1f24", "#fbfaf6", "#e9ebee", "#868c96", "#d9dce1"
_AREA_LINE: Look = {"color": _INK, "linewidth": 1.0, "linestyle": (0, (5, 2.5))}
_MAX_LABELS = 24


def area_map(
    area: BaseGeometry,
    zones: gpd.GeoDataFrame,
    roads: gpd.GeoDataFrame,
    settlements: gpd.GeoDataFrame,
    *,
    title: str,
    made: str = "",
) -> bytes:
    """Draw one warning area.

    Everything is in EPSG:4326, may be empty, and may reach beyond the area. Names may hold anything; one that no
    installed font can write, or that has no room, is left out.

    Args:
        area: polygons. The map shows all of it; of an area larger than `WHOLE_DEG`, what lies around anything exposed.
        zones: `class` (0..5) and polygons.
        roads: `name`, `ref`, `exposed` and lines.
        settlements: `name`, `exposed` and polygons or points.
        title: heads the picture.
        made: what of it is made up; printed on a band of its own.

    Returns:
        PNG, 1144 pixels wide.
    """
    frame, stretch = _frame(area, [*_split(settlements)[0].geometry, *_split(roads)[0].geometry])
    west, south, east, north = frame
    zones, roads, settlements = (_seen(layer, frame) for layer in (zones, roads, settlements))
    map_in = _MAP_IN * (north - south) / ((east - west) * stretch)
    title = _folded(title, 50)
    band = _folded(f"Made-up data: {made}", 88) if made else ""
    title_in = 0.12 + 0.2 * len(title.splitlines())
    band_in = 0.1 + 0.13 * len(band.splitlines()) if made else 0.0
    entries = _legend(zones, roads, settlements)
    legend_in = 0.12 + 0.16 * math.ceil(len(entries) / 3)
    height_in = title_in + band_in + map_in + legend_in

    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    _write(figure, title, at=(_MARGIN_IN / _WIDTH_IN, 1 - 0.07 / height_in), size=11.5, weight="bold", va="top")
    if made:
        middle = 1 - (title_in + band_in / 2) / height_in
        shape = (0, middle - band_in / 2 / height_in, 1, band_in / height_in)
        figure.add_axes(shape, facecolor="#ffe9a8", xticks=[], yticks=[]).spines[:].set_visible(False)
        _write(figure, band, at=(_MARGIN_IN / _WIDTH_IN, middle), size=7, weight="bold", va="center")
    side = _MARGIN_IN / _WIDTH_IN
    axes = figure.add_axes((side, legend_in / height_in, 1 - 2 * side, map_in / height_in), facecolor=_OUTSIDE)
    axes.set(xlim=(west, east), ylim=(south, north), aspect="auto", xticks=[], yticks=[])
    axes.spines[:].set_color("#b9bec6")
    figure.legend(handles=entries, loc="lower center", ncols=3, fontsize=7.5, frameon=False, borderaxespad=0.3)

    _draw(axes, area, zones, roads, settlements)
    taken = [_scale_bar(axes, frame), _north_arrow(axes)]
    _label(figure, axes, frame, [text.get_window_extent(canvas.get_renderer()) for text in taken], roads, settlements)
    png = io.BytesIO()
    canvas.print_png(png, metadata={"Software": "lswarn"})
    return png.getvalue()


def _frame(area: BaseGeometry, exposed: list[BaseGeometry]) -> tuple[Box, float]:
    """Box of degrees to show, and how much shorter a degree of longitude is there than one of latitude."""
    corners = np.reshape(area.bounds, (2, 2))
    within = shapely.total_bounds(shapely.intersection(exposed, shapely.box(*area.bounds))) if exposed else np.nan
    low, high = np.where(np.isnan(within), area.bounds, within).reshape(2, 2)
    half = np.maximum(0.7 * (high - low), WHOLE_DEG / 2)
    low, high = np.maximum(corners[0], (low + high) / 2 - half), np.minimum(corners[1], (low + high) / 2 + half)
    lon, lat = (low + high) / 2
    width, height = 1.06 * (high - low)
    stretch = math.cos(math.radians(lat))
    height = max(height, width * stretch * _MAP_HEIGHT_IN[0] / _MAP_IN)
    width = max(width, height / stretch * _MAP_IN / _MAP_HEIGHT_IN[1])
    return (lon - width / 2, lat - height / 2, lon + width / 2, lat + height / 2), stretch


def _draw(
    axes: Axes, area: BaseGeometry, zones: gpd.GeoDataFrame, roads: gpd.GeoDataFrame, settlements: gpd.GeoDataFrame
) -> None:
    hit, calm = _split(settlements)
    _fill(axes, [area], facecolor=_PAPER, edgecolor="none", zorder=1)
    _fill(axes, settlements.geometry, facecolor=_CALM, edgecolor=_QUIET, linewidth=0.6, zorder=2)
    for number in sorted(set(zones["class"])):
        # The edge in the zone's own colour keeps a zone of few cells visible on the map of a large area.
        edge: Look = {"edgecolor": Class(number).colour, "linewidth": 0.5}
        if number == 0:
            edge = {"edgecolor": "#6f757e", "linewidth": 0.0, "hatch": UNKNOWN_HATCH}
        _fill(axes, zones.geometry[zones["class"] == number], facecolor=Class(number).colour, zorder=3, **edge)
    _fill(axes, hit.geometry, facecolor="none", edgecolor="white", linewidth=3.2, zorder=4)
    _fill(axes, hit.geometry, facecolor="none", edgecolor=_INK, linewidth=1.6, zorder=5)
    for towns, colour, size in ((calm, _CALM, 4), (hit, _INK, 6)):
        dots = shapely.get_coordinates(_parts(towns.geometry, 0))
        axes.plot(*dots.T, "o", color=colour, markersize=size, markeredgecolor=_QUIET, zorder=6)
    hit, calm = _split(roads)
    _stroke(axes, calm.geometry, color="white", linewidth=2.0, zorder=7)
    _stroke(axes, calm.geometry, color=_QUIET, linewidth=0.9, zorder=8)
    _stroke(axes, hit.geometry, color="white", linewidth=4.6, zorder=9)
    _stroke(axes, hit.geometry, color=_INK, linewidth=2.4, zorder=10)
    _stroke(axes, [area.boundary], **_AREA_LINE, zorder=11)


def _seen(layer: gpd.GeoDataFrame, frame: Box) -> gpd.GeoDataFrame:
    """What of a layer lies in the frame."""
    west, south, east, north = frame
    return layer.cx[west:east, south:north]


def _split(assets: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    exposed = assets["exposed"].astype(bool)
    return assets[exposed], assets[~exposed]


def _parts(geometries: Iterable[BaseGeometry], dimension: int) -> list[BaseGeometry]:
    """The simple points (0), lines (1) or polygons (2) these are made of."""
    # Twice, because a collection may hold multi-geometries.
    simple = shapely.get_parts(shapely.get_parts(list(geometries)))
    return [part for part in simple if not part.is_empty and shapely.get_dimensions(part) == dimension]


def _fill(axes: Axes, geometries: Iterable[BaseGeometry], **look: Any) -> None:
    # Holes stay open because they turn the other way than their shell.
    shapes = shapely.orient_polygons(_parts(geometries, 2))
    rings, of_shape = shapely.get_rings(shapes, return_index=True)
    points, of_ring = shapely.get_coordinates(rings, return_index=True)
    if not len(points):
        return
    ends = of_ring[1:] != of_ring[:-1]
    codes = np.full(len(points), Path.LINETO)
    codes[np.r_[True, ends]], codes[np.r_[ends, True]] = Path.MOVETO, Path.CLOSEPOLY
    starts = np.flatnonzero(np.diff(of_shape[of_ring])) + 1
    paths = [Path(*part) for part in zip(np.split(points, starts), np.split(codes, starts), strict=True)]
    axes.add_collection(PathCollection(paths, **look))


def _stroke(axes: Axes, geometries: Iterable[BaseGeometry], **look: Any) -> None:
    lines = [shapely.get_coordinates(part) for part in _parts(geometries, 1)]
    axes.add_collection(LineCollection(lines, capstyle="round", joinstyle="round", **look))


def _legend(zones: gpd.GeoDataFrame, roads: gpd.GeoDataFrame, settlements: gpd.GeoDataFrame) -> list[Patch | Line2D]:
    """What is on this map, and nothing else."""
    entries: list[Patch | Line2D] = []
    for number in sorted(set(zones["class"]), reverse=True):
        look: Look = {"hatch": UNKNOWN_HATCH, "edgecolor": "#6f757e"} if number == 0 else {}
        label = f"{Class(number).label} susceptibility"
        entries.append(Patch(facecolor=Class(number).colour, label=label, **look))
    for assets, word in ((roads, "road"), (settlements, "settlement")):
        for exposed in sorted(set(assets["exposed"].astype(bool)), reverse=True):
            label = f"{'affected' if exposed else 'other'} {word}"
            if word == "road":
                line: Look = {"color": _INK, "linewidth": 2.4} if exposed else {"color": _QUIET, "linewidth": 0.9}
                entries.append(Line2D([], [], label=label, **line))
            else:
                face, edge, width = ("white", _INK, 1.6) if exposed else (_CALM, _QUIET, 0.6)
                entries.append(Patch(facecolor=face, edgecolor=edge, linewidth=width, label=label))
    return [*entries, Line2D([], [], label="warning area", **_AREA_LINE)]


def _scale_bar(axes: Axes, frame: Box) -> Text:
    """A round number of metres, at most a quarter of the width; drawn at the lower left."""
    west, south, east, north = frame
    middle = (south + north) / 2
    _, _, width_m = Geod(ellps="WGS84").inv(west, middle, east, middle)
    power = 10 ** math.floor(math.log10(width_m / 4))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= width_m / 4)
    start, end = 0.03, 0.03 + length_m / width_m
    ends: Look = {"transform": axes.transAxes, "zorder": 20, "solid_capstyle": "butt"}
    axes.plot([start, end], [0.035, 0.035], color="white", linewidth=5.5, **ends)
    axes.plot([start, end], [0.035, 0.035], color=_INK, linewidth=2.5, **ends)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    return axes.text(start, 0.055, label, size=8, color=_INK, transform=axes.transAxes, zorder=20, path_effects=_halo())


def _north_arrow(axes: Axes) -> Text:
    return axes.text(
        0.975, 0.97, "▲\nN", size=9, color=_INK, ha="right", va="top", linespacing=0.9, multialignment="center",
        transform=axes.transAxes, zorder=20, path_effects=_halo(),
    )  # fmt: skip


def _label(
    figure: Figure,
    axes: Axes,
    frame: Box,
    taken: list[Bbox],
    roads: gpd.GeoDataFrame,
    settlements: gpd.GeoDataFrame,
) -> None:
    """Write names where there is room, what is exposed first; a name without room is left out."""
    room = axes.get_window_extent()
    for name, geometry, exposed in _names(frame, roads, settlements):
        if len(taken) > _MAX_LABELS or _families(name)[1]:
            continue
        text = _write(figure, name, at=(0, 0), size=8 if exposed else 7, weight="bold" if exposed else "normal")
        text.set(transform=IdentityTransform(), color=_INK if exposed else "#4a5058", path_effects=_halo(), zorder=30)
        box = text.get_window_extent()
        corners = axes.transData.transform(np.reshape(geometry.bounds, (2, 2)))
        for x, y in _spots(Bbox(corners), box.width, box.height):
            spot = Bbox.from_bounds(x, y, box.width, box.height)
            inside = room.x0 < spot.x0 and spot.x1 < room.x1 and room.y0 < spot.y0 and spot.y1 < room.y1
            if inside and not any(spot.overlaps(other) for other in taken):
                text.set_position((x - box.x0, y - box.y0))
                taken.append(spot.padded(2))
                break
        else:
            text.remove()


def _names(
    frame: Box, roads: gpd.GeoDataFrame, settlements: gpd.GeoDataFrame
) -> Iterator[tuple[str, BaseGeometry, bool]]:
    """Names to write, where, and whether exposed: most important first, each once."""
    view = shapely.box(*frame)
    towns = [(True, _split(settlements)[0]), (False, _split(settlements)[1])]
    for exposed, group in ((True, towns[0][1]), (True, _split(roads)[0]), (False, towns[1][1])):
        places: dict[str, BaseGeometry] = {}
        for row in group.itertuples():
            name = one_line(str(getattr(row, "ref", "") or row.name or ""))[:40]
            for part in shapely.get_parts(row.geometry.intersection(view)):
                # A road in pieces is named at its longest, in its middle.
                known = places.get(name)
                if name and (known is None or (part.length, part.area) > (known.length, known.area)):
                    places[name] = part
        for name, place in places.items():
            is_line = shapely.get_dimensions(place) == 1
            yield name, place.interpolate(0.5, normalized=True) if is_line else place, exposed


def _spots(around: Bbox, width: float, height: float) -> Iterator[tuple[float, float]]:
    """Lower left corners, in pixels, for a label of that size beside a feature: the best first."""
    gap = 9
    middle_x, middle_y = (around.x0 + around.x1 - width) / 2, (around.y0 + around.y1 - height) / 2
    left, right = around.x0 - width - gap, around.x1 + gap
    under, over = around.y0 - height - gap, around.y1 + gap
    yield from ((middle_x, over), (right, middle_y), (middle_x, under), (left, middle_y))
    yield from ((right, over), (left, over), (right, under), (left, under), (middle_x, middle_y))


def _write(figure: Figure, text: str, *, at: tuple[float, float], **look: Any) -> Text:
    families, missing = _families(text)
    writable = "".join(c for c in text if ord(c) not in missing)
    # Names are no formulas: a dollar sign in one must not start mathematics.
    return figure.text(*at, writable, color=_INK, parse_math=False, family=families, **look)


def _families(text: str) -> tuple[list[str], set[int]]:
    """Fonts that can write a text between them, and the characters that none has."""
    wanted = {ord(c) for c in text if not c.isspace()}
    families: list[str] = []
    noto = (name for name in sorted(get_font_names()) if name.startswith("Noto Sans"))
    for family in ("DejaVu Sans", *noto):
        has = {code for code in wanted if get_font(findfont(family)).get_char_index(code)}
        if has or not families:
            families.append(family)
        wanted -= has
        if not wanted:
            break
    return families, wanted


def _folded(text: str, columns: int) -> str:
    return textwrap.fill(one_line(text), columns, max_lines=4, placeholder=" …")


def _halo() -> list[withStroke]:
    return [withStroke(linewidth=2.4, foreground="white")]
