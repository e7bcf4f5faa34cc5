"""An evaluation on one page, for readers who did not make it (door: disk). One HTML file that needs nothing else."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, label

from lswarn.grid import Block, Grid
from lswarn.model.folds import Folds, HotSpot
from lswarn.model.skill import Curve, ModelSkill
from lswarn.model.verdict import folds_won

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito)."""
STYLES = ("-", "--", "-.", ":")
INSIDE = {"steps": "steps", "base_width": "channels", "depth": "levels", "trees": "trees", "leaves": "leaves"}
"""Figures of a training that inner held-out ground chose, and what they are called."""
FOLD_COLOURS = ("#cfe1f2", "#fde0c5", "#d5ead0", "#e6d8ee", "#f7f0c0", "#d0eceb", "#f3d0d7", "#dedede")
_INK, _SOFT = "#1b1f24", "#5b6470"
_HALO = [withStroke(linewidth=2.5, foreground="white")]
_MAP_CELLS = 300


@dataclass(frozen=True)
class Facts:
    """What an evaluation was made of.

    Attributes:
        made: what of the inputs is made up; empty for a real region.
        made_at: instant, ISO 8601.
        cell_m: side of a cell.
        storms, quiet: dated scenes with landslides, and without.
        dated_landslides, undated_landslides: how many are learnt from and judged by.
        first_day, last_day: of the dated scenes; empty where there is none.
        measure: what the rain is of seven days.
        danger: which cells on slopes should be of the class high or above, in words.
        negatives: the rule for them, in words.
        folds: as they were asked for.
        guard_cells: width of the band between training ground and judged ground.
        fold_landslides: how many lie in each fold.
        hot_spots: name and landslides of each.
    """

    region: str
    title: str
    made: str
    snapshot_id: str
    software: str
    made_at: str
    cell_m: float
    storms: int
    quiet: int
    dated_landslides: int
    undated_landslides: int
    first_day: str
    last_day: str
    measure: str
    danger: str
    negatives: str
    folds: str
    guard_cells: int
    fold_landslides: tuple[int, ...]
    hot_spots: tuple[tuple[str, int], ...]


def write_report(
    path: Path,
    facts: Facts,
    models: Sequence[ModelSkill],
    folds: Folds,
    hot_spots: Sequence[HotSpot],
    grid: Grid,
    landslides: NDArray[np.int64],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    said: Sequence[str] = (),
    trainings: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file; replaced whole.
        models: in the order they are to be shown.
        landslides: row and column [n, 2] on the grid, for the map.
        pairs: names of models that differ in physics alone: with it, without it.
        said: what beats what, in sentences.
        trainings: by model, figures of its training without each fold.
    """
    by_name = {model.name: model for model in models}
    env = Environment(
        loader=PackageLoader("lswarn.model"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"n": _number, "percent": _percent, "signed": _signed}
    best = max(models, key=lambda model: np.nan_to_num(model.fold_auc, nan=-1.0))
    page = env.get_template("evaluation.html.j2").render(
        facts=facts,
        models=models,
        best=best,
        won={model.name: folds_won(best, model) for model in models},
        said=said,
        inside=[(name, words) for name, told in (trainings or {}).items() if any(words := _chosen(told))],
        pairs=[(by_name[one], by_name[other]) for one, other in pairs if {one, other} <= by_name.keys()],
        classes=("very low", "low", "moderate", "high", "very high"),
        fold_colours=FOLD_COLOURS,
        plan=_svg(_plan(folds, hot_spots, grid, landslides)),
        roc=_svg(_figure(models, _roc)),
        reliability=_svg(_figure(models, _reliability)),
        rates=_svg(_figure(models, _rates)),
        bars=_svg(_bars(models, [name for name, _ in facts.hot_spots])) if facts.hot_spots else "",
    )
    part = path.with_name(path.name + ".part")
    part.write_text(page, "utf-8")
    part.replace(path)


def _chosen(trainings: Sequence[Mapping[str, float]]) -> list[str]:
    """What inner held-out ground chose in each of some trainings, in words."""
    return [", ".join(f"{told[name]:g} {what}" for name, what in INSIDE.items() if name in told) for told in trainings]


def _number(value: float, form: str = ".3f") -> str:
    return format(value, form) if np.isfinite(value) else "–"


def _signed(value: float) -> str:
    return _number(value, "+.3f").replace("-", "−")


def _percent(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.3g} %" if value < 0.1 else f"{100 * value:.0f} %"


def _svg(figure: Figure) -> str:
    """A figure as a data URI."""
    image = io.BytesIO()
    figure.savefig(image, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(image.getvalue()).decode()


def _look(number: int) -> dict[str, Any]:
    """Of a line: another colour each, and where these begin anew another style."""
    style = STYLES[(number + number // len(COLOURS)) % len(STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style, "linewidth": 1.8}


def _figure(models: Sequence[ModelSkill], draw: Callable[[Axes, Sequence[ModelSkill]], None]) -> Figure:
    figure = Figure(figsize=(5.6, 5.0), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    draw(axes, models)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def _draw_curve(axes: Axes, curve: Curve, **look: Any) -> None:
    if curve.x:
        axes.plot(curve.x, curve.y, **look)


def _roc(axes: Axes, models: Sequence[ModelSkill]) -> None:
    for number, model in enumerate(models):
        named = f"{model.name} ({_number(model.overall.auc)})"
        _draw_curve(axes, model.overall.roc, label=named, **_look(number))
    axes.plot([0, 1], [0, 1], color="#b6bcc4", linewidth=1, label="chance (0.500)")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set(xlabel="share of other cells above the threshold", ylabel="share of landslide cells above it")


def _rates(axes: Axes, models: Sequence[ModelSkill]) -> None:
    for number, model in enumerate(models):
        _draw_curve(axes, model.overall.rate, label=model.name, **_look(number))
        _draw_curve(axes, model.trained.rate, **(_look(number) | {"alpha": 0.35, "linewidth": 1.2}))
    axes.plot([], [], color=_SOFT, alpha=0.5, linewidth=1.2, label="pale: ground trained on")
    axes.plot([0, 1], [0, 1], color="#b6bcc4", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set(xlabel="share of all cells, most probable first", ylabel="share of landslide cells in them")


def _reliability(axes: Axes, models: Sequence[ModelSkill]) -> None:
    told: list[float] = []
    for number, model in enumerate(models):
        rows = [row for row in model.overall.reliability if row.landslide_cells]
        said, came = [row.probability for row in rows], [row.rate for row in rows]
        axes.plot(said, came, marker="o", markersize=4.5, label=model.name, **_look(number))
        told += [*said, *came]
    ends = min(told, default=1e-3) / 2, min(1.0, 2 * max(told, default=1.0))
    axes.plot(ends, ends, color="#b6bcc4", linewidth=1, label="perfectly calibrated")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel="probability that was given", ylabel="share that slid")


def _bars(models: Sequence[ModelSkill], names: Sequence[str]) -> Figure:
    figure = Figure(figsize=(11.2, 3.6), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        heights = np.array([each.auc for each in model.hot_spots])
        at = np.arange(len(names)) + (number - (len(models) - 1) / 2) * width
        named = f"{model.name} (spread {_number(model.spread)})"
        hatch = "////" if number >= len(COLOURS) else None
        look: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "hatch": hatch,
            "edgecolor": "white",
            "linewidth": 0,
        }
        drawn = axes.bar(at, heights, 0.92 * width, label=named, **look)
        written = [_number(height, ".2f") for height in heights]
        axes.bar_label(drawn, written, fontsize=7, color=_SOFT, padding=2, rotation=90 if len(models) > 5 else 0)
    known = [each.auc for model in models for each in model.hot_spots if np.isfinite(each.auc)]
    axes.set(ylim=(min(0.5, *known) if known else 0.5, 1.0), ylabel="AUC", xlim=(-0.5, len(names) - 0.5))
    axes.set_xticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.04))
    return figure


def _plan(folds: Folds, hot_spots: Sequence[HotSpot], grid: Grid, landslides: NDArray[np.int64]) -> Figure:
    """Where the folds, the landslides and the hot spots are, north up, km."""
    step = max(1, max(grid.shape) // _MAP_CELLS)
    rows = [folds.cut.number(Block(row, 0, 1, grid.width))[0, ::step] for row in range(0, grid.height, step)]
    numbers = np.stack(rows)
    wide, high = grid.width * grid.resolution_m / 1000, grid.height * grid.resolution_m / 1000
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in (*FOLD_COLOURS, "#ffffff")])
    figure = Figure(figsize=(5.6, 5.6 * high / wide if high < 1.4 * wide else 7.8), facecolor="white")
    axes = figure.add_subplot()
    painted = colours[np.where(numbers < 0, -1, numbers % len(FOLD_COLOURS))]
    axes.imshow(painted, extent=(0, wide, 0, high), interpolation="nearest")
    on_grid = landslides[((landslides >= 0) & (landslides < grid.shape)).all(1)]
    cell = grid.resolution_m / 1000
    axes.plot(
        on_grid[:, 1] * cell, high - on_grid[:, 0] * cell, ".", color=_INK, markersize=1.6, alpha=0.6, rasterized=True
    )
    for fold in range(folds.count):
        parts, count = label(numbers == fold)
        for row, col in center_of_mass(parts > 0, parts, range(1, count + 1)):
            x, y = (col + 0.5) * step * cell, high - (row + 0.5) * step * cell
            axes.text(x, y, str(fold + 1), fontsize=12, color=_INK, ha="center", va="center", path_effects=_HALO)
    left, _, _, top = grid.bounds
    for spot in hot_spots:
        for part in getattr(spot.shape, "geoms", [spot.shape]):
            x, y = np.array(part.exterior.coords).T[:2]
            axes.plot((x - left) / 1000, high - (top - y) / 1000, color="#c0182b", linewidth=1.3)
        centre = spot.shape.representative_point()
        axes.text(
            (centre.x - left) / 1000,
            high - (top - centre.y) / 1000,
            spot.name[0],
            color="#c0182b",
            weight="bold",
            path_effects=_HALO,
        )
    axes.set(xlim=(0, wide), ylim=(0, high), xlabel="km", ylabel="km", aspect="equal")
    return figure
