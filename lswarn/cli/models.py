"""`lswarn train`, `lswarn evaluate`, `lswarn models …`: what is trained, and what it is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lswarn.cli.options import Json, RegionPath, clock, region_of
from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.settings import load_settings
from lswarn.terminal import progress, say, show_facts, show_table

AnyModel = Annotated[
    str | None, typer.Argument(help="Its id, or the beginning of it; left out: the champion.", show_default=False)
]

ASKED = (
    *("slope", "logistic", "boosting-monotone", "unet-monotone", "unet-monotone-no-physics", "unet-channel"),
    *("bpnn", "resnet", "blend", "ensemble"),
)
"""Models that are evaluated where none is named."""

app = typer.Typer(help="Models: what has been trained, and which is in use.", no_args_is_help=True)


def train(region: RegionPath = None, as_json: Json = False) -> None:
    """Retrain: snapshot, train, evaluate, and promote the candidate if it is no worse than the champion."""
    from lswarn import retraining

    settings = load_settings()
    found = region_of(region, settings)
    taken = retraining.snapshot(found, settings, clock())
    with progress("training", None) as advance:
        model_id = retraining.train(
            found,
            settings,
            taken,
            lambda step, steps, losses: advance(step, f"loss {losses['total']:.3f}", steps),
        )
    scores = retraining.evaluate(found, settings, taken, model_id, clock())
    promotion = retraining.promote(found, settings, taken, model_id, scores)
    told = {"model": model_id, "promoted": promotion.promoted, "reason": promotion.reason}
    if promotion.drift:
        told["drift"] = promotion.drift
    show_facts(told | _figures(scores.as_dict()) | {"card": promotion.card}, as_json)


def evaluate(
    region: RegionPath = None,
    models: Annotated[
        str,
        typer.Option(
            help="Names, with commas: slope, logistic, boosting, boosting-monotone, unet-monotone, unet-channel, bpnn, "
            "resnet, blend, ensemble; those with a network also as NAME-no-physics."
        ),
    ] = ",".join(ASKED),
    folds: Annotated[
        str, typer.Option(help="blocks:N (scattered), strips:N, or a vector file with a polygon a fold.")
    ] = "blocks:5",
    hot_spots: Annotated[
        Path | None,
        typer.Option(
            help="Vector file with a polygon a hot spot; left out: clusters of the inventory.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """What models are worth on ground they have never seen: spatial folds, a report in HTML. May be stopped; goes on.

    Every model is trained once for each fold and once more for a random split: count on N + 1 trainings a model.

    Example: lswarn evaluate region.toml --models unet-monotone,unet-channel --folds strips:4
    """
    from lswarn import evaluation, retraining

    settings = load_settings()
    found = region_of(region, settings)
    names = list(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    evaluation.require_models(names, found)
    taken = retraining.snapshot(found, settings, clock())
    with progress("evaluation", None) as advance:
        done = evaluation.evaluate(
            found,
            settings,
            taken,
            models=names,
            folds=folds,
            hot_spots=hot_spots,
            now=clock(),
            on_progress=lambda steps, total, note: advance(steps, note, total),
        )
    if as_json:
        show_facts(done.told | {"report": done.html_path}, as_json)
        return
    show_table([_row(each) for each in done.told["models"]], False)
    for sentence in done.said:
        say(sentence)
    say(f"Report: {done.html_path}")


@app.command("list")
def models_list(region: RegionPath = None, as_json: Json = False) -> None:
    """Every model of the region: its role, its snapshot, its scores on ground it had not seen."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        rows = [vars(row) for row in inputs.find_models(conn, found)]
    if not as_json:
        rows = [{name: row[name] for name in ("id", "role", "made_at")} | _figures(row["metrics"]) for row in rows]
    show_table(rows, as_json)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    region: RegionPath = None,
    as_json: Json = False,
) -> None:
    """All that is known of one model."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        facts = vars(inputs.find_model(conn, found, model))
    if not as_json:
        verdict = {"reason": found_fit["reason"]} if (found_fit := facts["metrics"].get("verdict")) else {}
        facts = {name: facts[name] for name in facts if name != "metrics"} | _figures(facts["metrics"]) | verdict
    show_facts(facts, as_json)


@app.command()
def drift(model: AnyModel = None, region: RegionPath = None, as_json: Json = False) -> None:
    """How far the region's factors and its newest year of rain have moved from what a model learnt from."""
    from lswarn import upkeep
    from lswarn.model.drift import in_words

    settings = load_settings()
    told = upkeep.drift(region_of(region, settings), settings, clock(), model)
    if as_json:
        shifts = [vars(each) | {"psi": each.psi if each.cells else None, "word": each.word} for each in told.shifts]
        show_facts({"model": told.model_id, "drift": shifts}, as_json)
        return
    rows = [
        {"subject": each.subject, "of": each.of, "psi": f"{each.psi:.3f}", "values": each.cells, "": each.word}
        for each in sorted(told.shifts, key=lambda each: -each.psi)
    ]
    show_table(rows, as_json)
    say(f"Against what model {told.model_id} learnt from: {in_words(told.shifts)}")
    say("By convention a PSI below 0.1 is little, above 0.25 much; a whole year is drier than the storms learnt from.")


@app.command()
def card(model: AnyModel = None, region: RegionPath = None) -> None:
    """Write a model's card anew, and print where it lies: what it is, what it is worth, where it ends."""
    from lswarn import upkeep

    settings = load_settings()
    say(str(upkeep.write_card(region_of(region, settings), settings, model)))


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")], region: RegionPath = None
) -> None:
    """Make a model the champion by hand, whatever its scores; `lswarn models rollback` takes it back."""
    from lswarn import retraining

    settings = load_settings()
    say(f"{retraining.promote_by_hand(region_of(region, settings), settings, model)} is the champion")


@app.command()
def rollback(region: RegionPath = None) -> None:
    """Put the champion back in use that was before the present one."""
    from lswarn import retraining

    settings = load_settings()
    say(f"{retraining.roll_back(region_of(region, settings), settings)} is the champion again")


def _figures(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Those a person asks for first; None: not told."""
    names = ("auc", "newest_auc", "average_precision", "brier_skill", "calibration_error", "physics_consistency")
    return {name: scores.get(name) for name in names}


def _row(model: Mapping[str, Any]) -> dict[str, Any]:
    overall = model["overall"]
    return {
        "model": model["name"],
        "auc_of_folds": model["fold_auc"],
        "auc_at_random": model["random"]["auc"],
        "spread": model["spread"],
        **{name: overall[name] for name in ("average_precision", "brier_skill", "physics_consistency", "rises")},
    }
