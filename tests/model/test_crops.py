from dataclasses import astuple

import numpy as np
import pytest

from lswarn.model import crops as module
from lswarn.model.crops import Crops
from lswarn.model.holdout import hold_out
from lswarn.model.samples import Observed
from lswarn.sections import Model

CONFIG = Model(network="unet", base_width=4, depth=1, batch=6, crop=33)


def crops_of(world, config=CONFIG):
    grid = world.factors.grid
    return Crops(world.factors, Observed(world.snapshot, grid), hold_out(grid, config), config, range(3))


def test_shapes_fit_the_network(world):
    batch = crops_of(world).draw()
    assert batch.factors.shape == (6, 10, 34, 34)  # 33 rounded up to what one halving needs
    assert batch.rain.shape == batch.label.shape == batch.danger.shape == (6, 3, 34, 34)


def test_same_seed_same_crops(world):
    one, two, other = crops_of(world), crops_of(world), crops_of(world, CONFIG.model_copy(update={"seed": 1}))
    for _ in range(3):
        drawn = one.draw()
        assert np.array_equal(drawn.factors, two.draw().factors, equal_nan=True)
        assert not np.array_equal(drawn.factors, other.draw().factors, equal_nan=True)


def test_landslides_on_training_ground_are_counted(world):
    held = hold_out(world.factors.grid, CONFIG).mask(world.factors.grid.whole)
    cells = Observed(world.snapshot, world.factors.grid).cells_of
    expected = sum(not held[row, col] for row, col in cells)
    assert 0 < expected < len(cells)
    assert crops_of(world).landslides == expected


def test_held_out_ground_has_no_label(world_of):
    """Mark each cell by its place, and see that no drawn label comes from held-out ground."""
    world = world_of(100, 140)
    grid = world.factors.grid
    place = np.arange(100 * 140, dtype=np.float32).reshape(100, 140)
    world.factors.values[7] = place
    held = hold_out(grid, CONFIG).mask(grid.whole)
    crops = crops_of(world)
    seen = np.zeros(place.size, bool)
    for _ in range(60):
        batch = crops.draw()
        labelled = ~np.isnan(batch.label).all(1)
        seen[batch.factors[:, 7][labelled].astype(int)] = True
    assert not seen[held.ravel()].any()
    assert seen[~held.ravel()].mean() > 0.99  # corners and borders too


def test_a_region_larger_than_memory_is_walked_through(world, monkeypatch):
    monkeypatch.setattr(module, "ROOM_CELLS", 24)
    monkeypatch.setattr(module, "ROOMS_IN_MEMORY", 2)
    reads = []

    class Counted:
        grid, digest = world.factors.grid, world.factors.digest

        def read(self, block):
            reads.append((block.row, block.col))
            return world.factors.read(block)

    observed = Observed(world.snapshot, world.factors.grid)
    crops = Crops(Counted(), observed, hold_out(world.factors.grid, CONFIG), CONFIG, range(3))
    for _ in range(40):
        crops.draw()
    assert len(reads) == 2 + 39  # filled once, then one a batch
    assert len(set(reads)) > 15


@pytest.mark.parametrize("storms", [1, 2])
def test_a_landslide_is_seen_in_its_own_scene(world, monkeypatch, storms):
    monkeypatch.setattr(module, "STORMS", storms)
    crops = crops_of(world)
    found = [np.nansum(crops.draw().label[::2, 0], axis=(1, 2)) > 0 for _ in range(10)]
    assert np.mean(found) > 0.9  # the centre is moved aside, and may leave a landslide on the border of held-out ground


def test_drawing_goes_on_where_it_was(world, monkeypatch):
    monkeypatch.setattr(module, "ROOM_CELLS", 24)
    monkeypatch.setattr(module, "ROOMS_IN_MEMORY", 2)
    one, two = crops_of(world), crops_of(world)
    for _ in range(5):
        one.draw()
    two.resume(one.state())
    for _ in range(20):  # once around the region, and on
        for part, same in zip(astuple(one.draw()), astuple(two.draw()), strict=True):
            assert np.array_equal(part, same, equal_nan=True)


def test_scenes_that_do_not_teach_are_not_seen(world):
    grid = world.factors.grid
    observed = Observed(world.snapshot, grid)
    crops = Crops(world.factors, observed, hold_out(grid, CONFIG), CONFIG, (0, 2))
    held = hold_out(grid, CONFIG).mask(grid.whole)
    assert crops.landslides == sum(
        not held[tuple(cell)] for cell in observed.cells_of[np.isin(observed.scene_of, (0, 2))]
    )
    for _ in range(5):
        batch = crops.draw()
        assert batch.rain.shape[1] == 2
        assert set(np.unique(batch.rain[~np.isnan(batch.rain)])) == {5.0, 150.0}
