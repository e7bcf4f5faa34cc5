"""What is kept up of a model: its drift and its card."""

from datetime import UTC, datetime

import numpy as np
import pytest

from lswarn import upkeep
from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import CheckpointMismatch, NoModel
from lswarn.model.checkpoint import load_checkpoint
from lswarn.model.drift import GROUND, RAIN

NOW = datetime(2026, 3, 14, tzinfo=UTC)


@pytest.fixture
def champion(house):
    with transaction(open_database(house.settings)) as conn:
        return inputs.find_champion(conn, house.region)


def test_the_same_ground_has_not_moved_and_it_is_written_down(house, champion):
    told = upkeep.drift(house.region, house.settings, NOW)
    assert told.model_id == champion.id
    assert [each.psi for each in told.shifts if each.of == GROUND] == [0.0] * 10
    rain = next(each for each in told.shifts if each.subject == RAIN)
    assert rain.of.startswith("365 days to ") or rain.cells == 0
    with transaction(open_database(house.settings)) as conn:
        kept = inputs.find_drift(conn, house.region, champion.id)
    assert {(each.of, each.subject) for each in told.shifts} <= {(each.of, each.subject) for each in kept}
    card = upkeep.write_card(house.region, house.settings, champion.id[:6])
    assert card.name == f"{champion.id}.md"
    assert "| slope | ground | 0.000 | stable |" in card.read_text("utf-8")


def test_rain_of_another_measure_is_not_compared(house, champion):
    other = house.region.rain.model_copy(update={"measure": "ari"})
    told = upkeep.drift(house.region.model_copy(update={"rain": other}), house.settings, NOW, champion.id[:8])
    rain = next(each for each in told.shifts if each.subject == RAIN)
    assert np.isnan(rain.psi)
    assert rain.of == "ari, not sum of seven days"


def test_a_model_from_before_says_what_to_do(house, champion, monkeypatch):
    old = load_checkpoint(champion.path)
    object.__setattr__(old, "reference", None)
    monkeypatch.setattr(upkeep, "load_checkpoint", lambda path: old)
    with pytest.raises(CheckpointMismatch, match=r"does not tell how .* run `lswarn train`"):
        upkeep.drift(house.region, house.settings, NOW)


def test_nobodys_card(house):
    with pytest.raises(NoModel, match="nobody: not recorded"):
        upkeep.write_card(house.region, house.settings, "nobody")
