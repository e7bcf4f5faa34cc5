"""The page of an evaluation, of as many models as there are."""

import re
from base64 import b64decode

import numpy as np
import pytest
from scipy.special import logit

from lswarn.evaluation import MODELS
from lswarn.model.folds import cluster_hot_spots, make_folds
from lswarn.model.report import COLOURS, Facts, _look, write_report
from lswarn.model.samples import Observed
from lswarn.model.skill import Counted, Tally, model_skill

NAMES = (*MODELS, "unet-monotone-no-physics")


@pytest.fixture(scope="module")
def page(world, tmp_path_factory):
    """Of ten models, each a little better than the one before."""
    grid, at = world.factors.grid, Observed(world.snapshot, world.factors.grid).cells_of
    folds, spots = make_folds("strips:3", grid, at, guard=10, phase=1), cluster_hot_spots(grid, at)
    rng = np.random.default_rng(0)
    truth = logit(0.02) + 1.5 * rng.standard_normal((4, len(spots) + 1, 3000))
    label = (rng.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(float)

    def model(number, name):
        score = truth + (len(NAMES) - number) * 0.2 * rng.standard_normal(truth.shape)
        facts = {"steps": 120.0, "base_width": 8, "depth": 3} if "unet" in name else {}
        counted = [
            Counted(tuple(map(Tally.of, s, c, c)), Tally.of(s, c, c), (0.01, 0.03, 0.1, 0.3), 9.0, facts)
            for s, c in zip(score, label, strict=True)
        ]
        return model_skill(name, counted[:3], counted[3]), [one.facts for one in counted[:3]]

    judged = {name: model(number, name) for number, name in enumerate(NAMES)}
    facts = Facts(
        region="made", title="Made <valley>", made="", snapshot_id="5" * 16, software="lswarn",
        made_at="2026-03-14T00:00", cell_m=30.0, storms=2, quiet=1, dated_landslides=len(at), undated_landslides=0,
        first_day="2024-05-01", last_day="2024-05-19", measure="sum", danger="that are in danger",
        negatives="Only <given> places.", folds="strips:3", guard_cells=10, fold_landslides=folds.landslides,
        hot_spots=tuple((spot.name, spot.landslides) for spot in spots),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "evaluation.html"
    write_report(
        path, facts, [skill for skill, _ in judged.values()], folds, spots, grid, at,
        pairs=[("unet-monotone", "unet-monotone-no-physics")], said=["First & foremost.", "The choice."],
        trainings={name: told for name, (_, told) in judged.items()},
    )  # fmt: skip
    return path.read_text("utf-8")


def test_every_model_is_on_the_page(page):
    pictures = [b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([\w+/=]+)", page)]
    assert len(pictures) == 5
    for name in NAMES:
        assert page.count(f"<td>{name}</td>") >= 2  # in the table of all and fold by fold
    assert page.count("120 steps, 8 channels, 3 levels") == 3 * 3
    assert "1 of 3)" in page or "3 of 3)" in page


def test_what_is_said_and_the_rule_are_there_and_escaped(page):
    for said in ("<li>First &amp; foremost.</li>", "<strong>The choice.</strong>", "Only &lt;given&gt; places.",
                 "10° that are in danger", "Made &lt;valley&gt;", "λ = 0"):  # fmt: skip
        assert said in page


def test_no_two_lines_look_alike():
    looks = [(look["color"], look["linestyle"]) for look in map(_look, range(3 * len(COLOURS)))]
    assert len(set(looks)) == len(looks)
