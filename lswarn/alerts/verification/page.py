"""A verification on one page (door: disk). One HTML file that needs nothing else."""

import base64
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DayLocator, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from lswarn.alerts.message import LEVEL_COLOURS
from lswarn.alerts.policy import Level
from lswarn.alerts.verification.counts import FORMULAS
from lswarn.alerts.verification.edumap import CLASSES, CRITERION, GRADES, INDICATORS, LEVELS
from lswarn.alerts.verification.scorecard import Verification

DRAWN_AREAS = 40
"""So many warning areas are drawn day by day: those with most landslides and warnings."""

_INK, _SOFT, _QUIET, _BLANK = "#1b1f24", "#5b6470", "#eef1f4", "#c3c8cf"
_UNKNOWN = 3
_HATCHED: dict[str, Any] = {"facecolor": _BLANK, "edgecolor": "white", "hatch": "////", "linewidth": 0}
_GRADES = {"green": "#dcefe0", "yellow": "#fdf3c7", "red": "#f8d3c6", "purple": "#e3cfe9"}


def write_page(path: Path, found: Verification) -> None:
    """Write the page; the file is replaced whole."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"n": _number, "percent": _percent}
    page = env.get_template("verification.html.j2").render(
        v=found,
        formulas=FORMULAS,
        indicators=INDICATORS,
        levels=LEVELS,
        classes=CLASSES,
        criterion=CRITERION,
        grades=GRADES,
        grade_colours=_GRADES,
        calendar=_svg(_calendar(found)),
        performance=_svg(_figure(_performance, found)),
        reliability=_svg(_figure(_reliability, found)) if found.probabilities.landslide_cells else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(page, "utf-8")
    part.replace(path)


def _number(value: float | None, form: str = ".2f") -> str:
    return format(value, form).replace("-", "−") if value is not None and np.isfinite(value) else "–"


def _percent(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.3g} %" if value < 0.1 else f"{100 * value:.0f} %"


def _svg(figure: Figure) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(image.getvalue()).decode()


def _figure(draw: Callable[[Axes, Verification], None], found: Verification) -> Figure:
    figure = Figure(figsize=(5.6, 5.0), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    draw(axes, found)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    return figure


def _calendar(found: Verification) -> Figure:
    """What was in force where and when, and where landslides came."""
    names = {area_id: name for area_id, name, _ in found.alerts[0].areas}
    weight = dict.fromkeys(names, 0)
    for (area_id, _), level in found.levels.items():
        weight[area_id] = weight.get(area_id, 0) + level
    for slide in found.landslides:
        weight[slide.area] = weight.get(slide.area, 0) + 1000
    shown = sorted(sorted(names, key=lambda area: -weight[area])[:DRAWN_AREAS], key=lambda area: names[area])
    days = [date.fromordinal(found.start.toordinal() + n) for n in range(found.day_count)]
    painted = np.array(
        [[found.levels.get((a, d), 0) or (0 if (a, d) in found.known else _UNKNOWN) for d in days] for a in shown]
    )
    figure = Figure(figsize=(11.2, 1.3 + 0.3 * max(2, len(shown))), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    orange, red = LEVEL_COLOURS[Level.ORANGE], LEVEL_COLOURS[Level.RED]
    left, right = date2num(days[0]), date2num(days[-1]) + 1
    axes.imshow(
        painted,
        cmap=ListedColormap([_QUIET, orange, red, _BLANK]),
        vmin=0,
        vmax=_UNKNOWN,
        aspect="auto",
        interpolation="nearest",
        extent=(left, right, len(shown), 0),
    )
    for row, cells in enumerate(painted):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], cells == _UNKNOWN, [0]]).astype(int)))
        for first, end in edges.reshape(-1, 2):
            axes.add_patch(Rectangle((left + first, row), end - first, 1, **_HATCHED))
    for row, area_id in enumerate(shown):
        came = [date2num(slide.day) + 0.5 for slide in found.landslides if slide.area == area_id]
        axes.plot(came, [row + 0.5] * len(came), "o", color=_INK, markeredgecolor="white", markersize=6)
    axes.set_yticks(np.arange(len(shown)) + 0.5, [_short(names[area]) for area in shown])
    axes.hlines(np.arange(1, len(shown)), left, right, color="white", linewidth=1.5)
    axes.xaxis_date()
    locator = DayLocator() if found.day_count <= 14 else AutoDateLocator()  # which else would tell hours
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.spines[:].set_visible(False)
    axes.legend(
        handles=[
            Patch(color=_QUIET, label="nothing in force"),
            Patch(color=orange, label="orange"),
            Patch(color=red, label="red"),
            Patch(**_HATCHED, label="not known"),
            Line2D([], [], marker="o", color=_INK, linestyle="", label="landslide"),
        ],
        frameon=False,
        fontsize=9,
        ncols=5,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
    )
    return figure


def _performance(axes: Axes, found: Verification) -> None:
    """Detection over success, with curves of equal CSI; the better, the nearer to the upper right (Roebber 2009)."""
    success, detection = np.meshgrid(np.linspace(0.001, 1, 200), np.linspace(0.001, 1, 200))
    csi = 1 / (1 / success + 1 / detection - 1)
    lines = axes.contour(success, detection, csi, levels=np.arange(0.1, 1, 0.1), colors="#d5d9de", linewidths=0.8)
    axes.clabel(lines, fmt="%.1f", fontsize=7, colors=_SOFT)
    looks = {"orange": ("o", LEVEL_COLOURS[Level.ORANGE]), "red": ("s", LEVEL_COLOURS[Level.RED])}
    looks |= {"high": ("^", "#0072b2"), "very high": ("v", "#004466")}
    for kind, scores in (("alert", found.alerts), ("class", found.classes)):
        for score in scores:
            marker, colour = looks[score.name]
            pod, far = score.total.pod, score.total.far
            if np.isfinite(pod) and np.isfinite(far):
                named = f"{kind} {score.name} or above" if score.name in ("orange", "high") else f"{kind} {score.name}"
                axes.plot(1 - far, pod, marker, color=colour, markersize=9, label=named, clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="share of warned that was right (1 − FAR)", ylabel="share of landslides warned of (POD)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)


def _reliability(axes: Axes, found: Verification) -> None:
    rows = [row for row in found.probabilities.rows if row.landslide_cells]
    said, came = [row.probability for row in rows], [row.rate for row in rows]
    ends = min([*said, *came]) / 2, min(1.0, 2 * max([*said, *came]))
    axes.plot(said, came, "o-", color="#0072b2", label="cells of all complete days")
    axes.plot(ends, ends, color="#b6bcc4", linewidth=1, label="perfectly calibrated")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel="probability that was given", ylabel="share that slid")
    axes.grid(color="#e6e9ed", linewidth=0.8)
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _short(name: str) -> str:
    # matplotlib takes what stands between two dollars for a formula.
    return (name if len(name) <= 28 else name[:27] + "…").replace("$", r"\$")
