"""The ten days on one page: maps, the table, and what was said (door: disk). One HTML file that needs nothing else."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LightSource, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling

from lswarn.alerts.policy import Kind, Level
from lswarn.hazard.classes import UNKNOWN_HATCH, Class
from lswarn.hazard.critical import NEVER, UNKNOWN
from lswarn.rain.grade import Grade

LEVEL_COLOURS = {Level.NONE: "#e6ece8", Level.ORANGE: "#f39c12", Level.RED: "#c0182b"}
RAIN_MM = (0, 10, 25, 50, 75, 100, 130, 160, 200, 250, 300, 400)
RAIN_COLOURS = (
    "#f7fbff", "#e3eef9", "#cfe1f2", "#b0d2e7", "#89bedc", "#60a6d1", "#3d8bc3", "#2070b4",
    "#0a539e", "#083a7a", "#3f1f69",
)  # fmt: skip
CRITICAL_MM = (0, 50, 100, 150, 200, 250, 300, 400)
CRITICAL_COLOURS = ("#720d3d", "#a8323f", "#d4593d", "#ef8a47", "#f7b267", "#fbd58f", "#fdf0c4")
NEVER_COLOUR = "#e8efe9"
_INK, _ROAD, _HIT, _OVER = "#1b1f24", "#4b5563", "#0057e7", "#d6006c"
_WIDE = 520  # pixels that a map is read at, out of the rasters' overviews
_HALO = [withStroke(linewidth=2.5, foreground="white")]


@dataclass(frozen=True)
class ReportDay:
    """What one day of the demo came to.

    Attributes:
        classes: the day's class raster.
        rain, critical: of the 7-day window, mm, (lat, lon).
        zones, exceedances: as in `hazard.assess.Assessment`.
        levels: alert level of each warning area (by id) after the day's decision; areas left out have none.
        road_km, people: in very-high zones.
        note: what was special, such as a file that came late; may be empty.
    """

    day: date
    grade: Grade
    classes: Path
    rain: xr.DataArray
    critical: xr.DataArray
    zones: gpd.GeoDataFrame
    exceedances: gpd.GeoDataFrame
    levels: Mapping[str, Level]
    road_km: float
    people: int
    note: str = ""


@dataclass(frozen=True)
class ReportMessage:
    """One message that was sent.

    Attributes:
        day: whose run it came from; `outlook`: it speaks of a later one.
        area_id: None for one about the whole region.
    """

    day: date
    area_id: str | None
    kind: Kind
    level: Level
    subject: str
    outlook: bool = False

    @property
    def word(self) -> str:
        """What kind of message it is, in a word or two."""
        return "outlook" if self.outlook else self.kind.replace("_", " ")


def write_report(
    path: Path,
    *,
    title: str,
    made: str,
    dem: Path,
    areas: gpd.GeoDataFrame,
    roads: gpd.GeoDataFrame,
    settlements: gpd.GeoDataFrame,
    days: Sequence[ReportDay],
    messages: Sequence[ReportMessage],
    critical: Path | None = None,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file; replaced whole.
        made: what of it is made up; heads the page.
        dem: terrain, for the shading.
        areas: `id`, `name`, geometry. roads: geometry. settlements: `name`, geometry. Any CRS.
        days: oldest first. messages: in the order they were sent.
        critical: the layer of critical rainfall for being in a very-high zone; left out: it is not drawn.
    """
    land = _read_land(dem, areas, roads, settlements)
    env = Environment(
        loader=PackageLoader("lswarn.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = env.get_template("report.html.j2").render(
        title=title,
        made=made,
        areas=list(zip(areas["id"], areas["name"], strict=True)),
        days=[
            {
                "facts": day,
                "rain_mm": float(day.rain.max()) if day.rain.notnull().any() else None,
                "very_high": int((day.zones["class"] == Class.VERY_HIGH).sum()),
                "picture": _picture(day, land),
            }
            for day in days
        ],
        said={(m.area_id, m.day): m.word for m in messages},
        messages=messages,
        critical=_critical_picture(critical, land) if critical else "",
        colours={level: LEVEL_COLOURS[level] for level in Level},
        calm=Level.NONE,
    )
    part = path.with_name(path.name + ".part")
    part.write_text(page, "utf-8")
    part.rename(path)


@dataclass(frozen=True)
class _Land:
    """What all maps share, in the raster's CRS: shading 0..1, its extent (left, right, bottom, top), and vectors."""

    crs: str
    shade: NDArray[np.float64]
    extent: tuple[float, float, float, float]
    areas: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    settlements: gpd.GeoDataFrame


def _read_land(dem: Path, *vectors: gpd.GeoDataFrame) -> _Land:
    with rasterio.open(dem) as file:
        step = max(1, file.width // _WIDE)
        shape = file.height // step, file.width // step
        height = file.read(1, out_shape=shape, resampling=Resampling.average, masked=True).filled(np.nan)
        left, bottom, right, top = file.bounds
        crs = str(file.crs)
    height = np.where(np.isnan(height), np.nanmean(height), height)
    shade = LightSource(azdeg=315, altdeg=40).hillshade(
        height, vert_exag=2, dx=(right - left) / shape[1], dy=(top - bottom) / shape[0]
    )
    return _Land(crs, shade, (left, right, bottom, top), *(vector.to_crs(crs) for vector in vectors))


def _picture(day: ReportDay, land: _Land) -> str:
    """Both maps of a day side by side, as a data URI. WebP: a tenth of the size of a PNG of shaded relief."""
    left, right, bottom, top = land.extent
    wide, head, foot, gap = 6.4, 0.3, 0.5, 0.1  # inches
    high = wide * (top - bottom) / (right - left)
    width, height = 2 * wide + gap, high + head + foot
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    for x, draw in ((0, _class_map), (wide + gap, _rain_map)):
        axes = figure.add_axes((x / width, foot / height, wide / width, high / height))
        draw(axes, day, land)
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], xlabel="", ylabel="", aspect="auto")
        axes.spines[:].set_color("#c3c8ce")
        _scale_bar(axes, land)
    image = io.BytesIO()
    figure.savefig(image, format="webp", pil_kwargs={"quality": 85})
    return "data:image/webp;base64," + base64.b64encode(image.getvalue()).decode()


def _critical_picture(path: Path, land: _Land) -> str:
    """From how much rain on each slope is very high: one map, as a data URI."""
    left, right, bottom, top = land.extent
    wide, head, foot = 8.0, 0.3, 0.75  # inches
    high = wide * (top - bottom) / (right - left)
    figure = Figure(figsize=(wide, high + head + foot), dpi=100, facecolor="white")
    axes = figure.add_axes((0, foot / (high + head + foot), 1, high / (high + head + foot)))
    with rasterio.open(path) as file:
        shape = tuple(max(1, n * _WIDE // file.width) for n in file.shape)
        tenths = file.read(1, out_shape=shape, resampling=Resampling.nearest)
        west, south, east, north = file.bounds
    extent = (west, east, south, north)
    known = tenths < NEVER
    bands = np.digitize(tenths / 10, CRITICAL_MM[1:-1])
    palette = np.array([to_rgb(colour) for colour in (*CRITICAL_COLOURS, NEVER_COLOUR, Class.UNKNOWN.colour)])
    shown = np.where(known, bands, np.where(tenths == NEVER, len(CRITICAL_COLOURS), len(CRITICAL_COLOURS) + 1))
    axes.imshow(palette[shown], extent=extent, interpolation="nearest")
    axes.imshow(_shadow(land.shade), extent=land.extent)
    if (unknown := tenths == UNKNOWN).any():
        hatched = axes.contourf(
            unknown, levels=[0.5, 1.5], colors=["none"], hatches=[UNKNOWN_HATCH], extent=extent, origin="upper"
        )
        hatched.set(edgecolor="#7b828b", linewidth=0)
    land.roads.plot(ax=axes, color="white", linewidth=2.2)
    land.roads.plot(ax=axes, color=_ROAD, linewidth=1.1)
    land.settlements.boundary.plot(ax=axes, color="white", linewidth=3)
    land.settlements.boundary.plot(ax=axes, color=_INK, linewidth=1.3)
    land.areas.boundary.plot(ax=axes, color=_INK, linewidth=0.8, linestyle=(0, (6, 3)))
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], xlabel="", ylabel="", aspect="auto")
    axes.set_title("Rain of 7 days from which on a slope is very high, mm", fontsize=11, loc="left", color=_INK)
    axes.spines[:].set_color("#c3c8ce")
    _scale_bar(axes, land)
    steps = zip(CRITICAL_COLOURS, CRITICAL_MM[:-1], CRITICAL_MM[1:], strict=True)
    patches = [Patch(facecolor=each, edgecolor="#c3c8ce", label=f"{low} to {high_}") for each, low, high_ in steps]
    patches[-1].set_label(f"{CRITICAL_MM[-2]} and more")
    never = Patch(facecolor=NEVER_COLOUR, edgecolor="#c3c8ce", label="by no rain the model has seen")
    unknown_shown = Patch(facecolor=Class.UNKNOWN.colour, edgecolor="#7b828b", hatch=UNKNOWN_HATCH, label="unknown")
    _legend(axes, [*patches, never, unknown_shown], columns=5)
    image = io.BytesIO()
    figure.savefig(image, format="webp", pil_kwargs={"quality": 85})
    return "data:image/webp;base64," + base64.b64encode(image.getvalue()).decode()


def _class_map(axes: Axes, day: ReportDay, land: _Land) -> None:
    with rasterio.open(day.classes) as file:
        shape = tuple(max(1, n * _WIDE // file.width) for n in file.shape)
        classes = file.read(1, out_shape=shape, resampling=Resampling.nearest)
        left, bottom, right, top = file.bounds
    extent = (left, right, bottom, top)
    palette = np.array([to_rgb(c.colour) for c in Class])
    axes.imshow(palette[classes], extent=extent, interpolation="nearest")
    axes.imshow(_shadow(land.shade), extent=land.extent)
    if (unknown := classes == Class.UNKNOWN).any():
        hatched = axes.contourf(
            unknown, levels=[0.5, 1.5], colors=["none"], hatches=[UNKNOWN_HATCH], extent=extent, origin="upper"
        )
        hatched.set(edgecolor="#7b828b", linewidth=0)
    zones = day.zones.to_crs(land.crs)
    worst = zones[zones["class"] == Class.VERY_HIGH]
    for warned in sorted(map(Class, set(zones["class"]))):
        # The edge keeps a zone of a few cells visible.
        zones[zones["class"] == warned].plot(ax=axes, facecolor=warned.colour, edgecolor=warned.colour, linewidth=0.6)
    land.settlements.boundary.plot(ax=axes, color="white", linewidth=3)
    land.settlements.boundary.plot(ax=axes, color=_INK, linewidth=1.3)
    land.roads.plot(ax=axes, color="white", linewidth=2.2)
    land.roads.plot(ax=axes, color=_ROAD, linewidth=1.1)
    if len(worst) and len(hit := land.roads.clip(worst.union_all(), keep_geom_type=True)):
        hit.plot(ax=axes, color="white", linewidth=8)
        hit.plot(ax=axes, color=_HIT, linewidth=5.5)
    for town in land.settlements.itertuples():
        at = town.geometry.representative_point()
        axes.annotate(
            town.name, (at.x, at.y), ha="center", fontsize=9, weight="bold", color=_INK, path_effects=_HALO, zorder=9
        )
    _draw_areas(axes, day, land)
    _name_areas(axes, day, land)
    axes.set_title(f"Susceptibility under the rain of the 7 days to {day.day}", fontsize=11, loc="left", color=_INK)
    classes_shown = [Patch(facecolor=c.colour, edgecolor="#c3c8ce", label=c.label) for c in reversed(Class) if c]
    unknown_shown = Patch(facecolor=Class.UNKNOWN.colour, edgecolor="#7b828b", hatch=UNKNOWN_HATCH, label="unknown")
    lines = [
        Line2D([], [], color=_ROAD, linewidth=1.3, label="road"),
        Line2D([], [], color=_HIT, linewidth=4, label="road in a very-high zone"),
        Line2D([], [], color=_INK, linewidth=1.3, label="town"),
    ]
    _legend(axes, [*classes_shown, unknown_shown, *lines], columns=5)


def _rain_map(axes: Axes, day: ReportDay, land: _Land) -> None:
    to_metres = Transformer.from_crs("EPSG:4326", land.crs, always_xy=True).transform
    rain = day.rain.transpose("lat", "lon")
    lon, lat = rain["lon"].values, rain["lat"].values
    corners = to_metres(*np.meshgrid(_edges(lon), _edges(lat)))
    colours = ListedColormap(list(RAIN_COLOURS)).with_extremes(bad=Class.UNKNOWN.colour)
    norm = BoundaryNorm(RAIN_MM, len(RAIN_COLOURS), clip=True)
    mesh = axes.pcolormesh(*corners, np.ma.masked_invalid(rain.values), cmap=colours, norm=norm)
    axes.imshow(_shadow(land.shade) * (1, 1, 1, 0.5), extent=land.extent)
    excess = (rain - day.critical.transpose("lat", "lon")).values
    if (excess > 0).any() and (excess < 0).any():
        axes.contour(*to_metres(*np.meshgrid(lon, lat)), excess, levels=[0], colors=[_OVER], linewidths=2.2)
    if len(day.exceedances):
        above = gpd.GeoSeries([day.exceedances.to_crs(land.crs).union_all().boundary])
        above.plot(ax=axes, color=_OVER, linewidth=1.3, linestyle=(0, (4, 3)))
    _write_totals(axes, rain, to_metres, land)
    land.settlements.boundary.plot(ax=axes, color=_INK, linewidth=1)
    _draw_areas(axes, day, land)
    axes.set_title(f"7-day rain, mm (grade {day.grade})", fontsize=11, loc="left", color=_INK)
    lines = [
        Line2D([], [], color=_OVER, linewidth=2.2, label="critical rainfall, between centres"),
        Line2D([], [], color=_OVER, linewidth=1.3, linestyle=(0, (4, 3)), label="rain cells above it"),
    ]
    _legend(axes, lines, columns=1, at=0.6)
    scale = axes.inset_axes((0.01, -0.03, 0.56, 0.02))
    colourbar = axes.figure.colorbar(mesh, cax=scale, orientation="horizontal", ticks=RAIN_MM)
    colourbar.outline.set_visible(False)
    scale.tick_params(labelsize=8.5, length=0, pad=2)


def _write_totals(axes: Axes, rain: xr.DataArray, to_metres: Callable[..., tuple[float, float]], land: _Land) -> None:
    """The number in each rain cell whose centre is on the map."""
    left, right, bottom, top = land.extent
    margin = 0.03 * (right - left)
    for lat in rain["lat"].values:
        for lon in rain["lon"].values:
            x, y = to_metres(lon, lat)
            if left + margin < x < right - margin and bottom + margin < y < top - margin:
                mm = float(rain.sel(lat=lat, lon=lon))
                label = "?" if np.isnan(mm) else f"{mm:.0f}"
                axes.text(
                    x, y, label, ha="center", va="center", fontsize=11, weight="bold", color=_INK, path_effects=_HALO
                )


def _draw_areas(axes: Axes, day: ReportDay, land: _Land) -> None:
    """Borders; where an alert is open, its colour just inside."""
    for area in land.areas.itertuples():
        level, inner = day.levels.get(area.id, Level.NONE), area.geometry.buffer(-180).boundary
        if level and not inner.is_empty:
            gpd.GeoSeries([inner]).plot(ax=axes, color=LEVEL_COLOURS[level], linewidth=4, zorder=6)
    land.areas.boundary.plot(ax=axes, color=_INK, linewidth=0.8, linestyle=(0, (6, 3)), zorder=7)


def _name_areas(axes: Axes, day: ReportDay, land: _Land) -> None:
    """Names where an area is widest, on its colour where an alert is open; a sliver has no room for one."""
    for area in land.areas[~land.areas.buffer(-400).is_empty].itertuples():
        level = day.levels.get(area.id, Level.NONE)
        x, y = shapely.maximum_inscribed_circle(area.geometry, tolerance=100).coords[0]
        pill = {"boxstyle": "round,pad=0.3", "facecolor": LEVEL_COLOURS[level] if level else "white", "alpha": 0.85}
        look: dict[str, Any] = {"fontsize": 9, "color": "white" if level is Level.RED else _INK, "zorder": 8}
        axes.text(x, y, area.name, ha="center", va="center", bbox=pill | {"edgecolor": "none"}, **look)


def _shadow(shade: NDArray[np.float64]) -> NDArray[np.float64]:
    """Black whose opacity is the darkness of the slope: laid over colours, it leaves their hue."""
    black = np.zeros((*shade.shape, 4))
    black[..., 3] = 0.5 * np.clip(1.15 * shade.mean() - shade, 0, 1) / max(float(shade.mean()), 0.1)
    return np.clip(black, 0, 1)


def _legend(axes: Axes, handles: Sequence[Patch | Line2D], *, columns: int, at: float = 0.0) -> None:
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(at, -0.005), ncols=columns, fontsize=8.5, frameon=False,
        handlelength=1.6, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def _scale_bar(axes: Axes, land: _Land) -> None:
    left, right, bottom, top = land.extent
    x, y = left + 0.03 * (right - left), bottom + 0.03 * (top - bottom)
    axes.plot([x, x + 5000], [y, y], color="white", linewidth=6, zorder=9, solid_capstyle="butt")
    axes.plot([x, x + 5000], [y, y], color=_INK, linewidth=3, zorder=10, solid_capstyle="butt")
    axes.text(x, y + 350, "5 km", fontsize=9, color=_INK, zorder=10, path_effects=_HALO)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    half = (centres[1] - centres[0]) / 2
    return np.append(centres - half, centres[-1] + half)
