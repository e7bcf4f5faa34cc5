"""The card is for readers: what must stand in it, and that it is told of anything missing rather than making it up."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from lswarn.model.card import Facts, model_card, save_card
from lswarn.model.drift import GROUND, RAIN, Reference, Shift
from lswarn.model.evaluate import Evaluation
from lswarn.model.gate import better
from lswarn.model.skill import ClassRow
from lswarn.sections import Model

NOW = datetime(2026, 3, 14, 6, tzinfo=UTC)
ROWS = tuple(ClassRow(k + 1, (0.6, 0.2, 0.1, 0.07, 0.03)[k], 0.1 * (k + 1), k + 0.5, 0.01 * k, 0.01) for k in range(5))
JUDGED = Evaluation(
    *("m", "s", 0.91234, 0.1, 0.02, 0.05, 0.4, 120_000, 310, ROWS),
    calibration_error=0.003,
    newest_auc=0.88,
    newest_days=(date(2025, 5, 1), date(2025, 9, 30)),
    newest_landslide_cells=120,
)


@pytest.fixture
def facts(fresh, world, make_region, factors_of):
    region = make_region()
    sources = region.factors.model_copy(
        update={"dem": region.factors.dem.model_copy(update={"licence": "CC-BY 4.0, made for tests"})}
    )
    checkpoint = replace(
        fresh(),
        learnt_days=(world.snapshot.scenes[0].day,),
        calibration=((-8.0, -9.0), (0.0, -1.0)),
        reference=Reference.measured(factors_of(40, 50).reshape(10, -1), np.arange(200, dtype=np.float32)),
    )
    verdict = better(replace(JUDGED, brier=0.03), JUDGED).as_dict() | {"drift": "all stable"}
    return Facts(
        region=region.model_copy(update={"factors": sources}),
        model_id="0123456789abcdef",
        role="candidate",
        made_at=NOW,
        checkpoint=checkpoint,
        figures=JUDGED.as_dict() | {"verdict": verdict},
        snapshot=world.snapshot,
        drift=(
            Shift(GROUND, "slope", 0.01, 900),
            Shift("365 days to 2026-03-13", RAIN, 0.41, 88),
            Shift("2024", RAIN, 0.2, 88),
        ),
        software="lswarn 0.1",
    )


def test_it_tells_what_a_reader_asks(facts):
    card = model_card(facts)
    for told in (
        "# Model 0123456789abcdef: landslides in Test Land",
        "**Made up.** everything",
        "more rain can only raise the probability",
        "| AUC | 0.9123 |",
        "| AUC, newest year | 0.88 | on all ground, under rains it never saw: 2 of them, 120 cells that slid |",
        "| Cells judged | 120000 | of which 310 slid",
        "| very high | 3 % | 50 % |",
        "It was **not** found fit",
        "Brier score on held-out ground 0.03 (champion 0.02): worse by 0.01. **This holds it back.**",
        "held against what the champion before it learnt from: all stable.",
        "a curve of 2 corners",
        "source threshold, linear form, λ = 0.1",
        "| dem | dem.gpkg | CC-BY 4.0, made for tests |",
        "| slope | derived from the DEM | as the DEM |",
        "| rock type | rock.gpkg | not stated |",
        "| seismic intensity | constant 1 | – |",
        "| landslides | inventory.gpkg | not stated |",
        "| rain | IMERG-Late | not stated |",
        "In short: shifted: rain (0.41).",
        "Rain of more than 400 mm",
        "Seed | 0",
        "lswarn 0.1",
    ):
        assert told in card, told
    assert "and 0.1.\n\nBlocks of" in card
    assert "2024 | 0.2" not in card  # of the rain, the newest alone
    assert "\n\n\n\n" not in card


def test_classes_out_of_order_are_told_of(facts):
    assert "out of order" not in model_card(facts)
    rows = [vars(row) | {"frequency_ratio": 0.5} for row in ROWS]
    assert "**Here they do not**" in model_card(replace(facts, figures=facts.figures | {"class_table": rows}))
    empty = [vars(row) | ({"area_share": 0.0, "frequency_ratio": None} if row.number == 5 else {}) for row in ROWS]
    assert "out of order" not in model_card(replace(facts, figures=facts.figures | {"class_table": empty}))


def test_what_is_missing_is_not_made_up(facts, fresh):
    old = replace(facts, checkpoint=fresh(), figures={"auc": None}, snapshot=None, drift=())
    card = model_card(old)
    assert "| AUC | not told |" in card
    assert "| Cells judged | not told |" in card
    assert "No verdict is recorded" in card
    assert "Its snapshot is no longer there" in card
    assert "does not say how ground and rain were spread" in card
    assert "No further calibration" in card
    assert "| Class |" not in card


def test_whether_a_year_was_kept(facts, world, fresh):
    assert "No year was kept from it" in model_card(facts)
    assert "does not tell which of these rains" in model_card(replace(facts, checkpoint=fresh()))
    first, second, third = world.snapshot.scenes
    years = (replace(first, landslides=first.landslides * 20), replace(second, day=date(2025, 5, 2)), third)
    card = model_card(replace(facts, snapshot=replace(world.snapshot, scenes=years)))
    assert f"Kept from it: the newest rains with landslides, 2025-05-02 ({len(second.landslides)} landslides)" in card


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"network": "boosting", "rain": "channel"}, "None in the training: this kind of model"),
        ({"network": "unet", "physics_weight": 0.0}, "the weight of the penalty is 0"),
        (
            {
                "network": "resnet",
                "physics_source": "infinite-slope",
                "soil": {"cohesion": 0.1, "friction_deg": 31, "transmissivity_m2_day": 50},
            },
            "transmissivity 50 m²/day (source not stated)",
        ),
    ],
)
def test_physics_of_each_kind(facts, config, told):
    card = model_card(replace(facts, checkpoint=replace(facts.checkpoint, config=Model.model_validate(config))))
    assert told in card


def test_it_is_written_whole(facts, tmp_path):
    path = tmp_path / "models" / "m.md"
    for text in ("one", model_card(facts)):
        save_card(text, path)
        assert path.read_text("utf-8") == text
    assert list(path.parent.iterdir()) == [path]
