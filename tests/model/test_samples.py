import json
from dataclasses import replace
from datetime import UTC, date, datetime

import geopandas as gpd
import numpy as np
import pytest
from shapely import Polygon, box

from lswarn.errors import GridMismatch, TrainingError
from lswarn.grid import Block, sample
from lswarn.model.samples import Observed, Scene, Snapshot, load_snapshot, rule_in_words, save_snapshot
from lswarn.sections import FACTORS, Negatives

WHOLE = Block(0, 0, 96, 130)


@pytest.fixture
def observed(world):
    return Observed(world.snapshot, world.factors.grid)


def with_scenes(world, *scenes):
    return replace(world.snapshot, scenes=scenes)


def cells(world, row, col, height, width):
    x, y = world.factors.grid.transform @ (col, row)
    return box(x, y - 30 * height, x + 30 * width, y)


def labels(world, *scenes, block=WHOLE, numbers=None, **rule):
    snapshot = replace(with_scenes(world, *scenes), negatives=Negatives(**rule))
    observed = Observed(snapshot, world.factors.grid)
    return observed.at(block, world.factors.read(block), range(len(scenes)) if numbers is None else numbers).label


def scene(field_of, *landslides, day=date(2024, 5, 1), rain=100.0):
    return Scene(day, field_of(rain), field_of(120.0), landslides)


def test_cells_whose_centre_is_inside(world, field_of):
    label = labels(world, scene(field_of, cells(world, 10, 20, 3, 5)))[0]
    assert np.array_equal(np.argwhere(label == 1), [(r, c) for r in range(10, 13) for c in range(20, 25)])
    assert (label[label != 1] == 0).all()


def test_a_tiny_landslide_does_not_vanish(world, field_of):
    x, y = world.factors.grid.transform @ (7, 5)
    tiny = Polygon([(x + 2, y - 2), (x + 6, y - 2), (x + 2, y - 6)])
    assert np.argwhere(labels(world, scene(field_of, tiny))[0] == 1).tolist() == [[5, 7]]


def test_a_slope_that_slid_in_another_dated_scene_held_in_this(world, field_of):
    slid = scene(field_of, cells(world, 10, 20, 2, 2))
    other = scene(field_of, cells(world, 50, 60, 2, 2), day=date(2024, 6, 1))
    label = labels(world, slid, other)
    assert (label[0, 50:52, 60:62] == 0).all()
    assert (label[1, 10:12, 20:22] == 0).all()


def test_dated_and_undated_are_unknown_in_each_others_rain(world, field_of):
    dated = scene(field_of, cells(world, 10, 20, 2, 2))
    undated = scene(field_of, cells(world, 50, 60, 2, 2), cells(world, 10, 21, 2, 2), day=None)
    label = labels(world, dated, undated)
    assert np.isnan(label[0, 50:52, 60:62]).all()
    assert np.isnan(label[1, 10:12, 20]).all()
    assert (label[0, 10:12, 20:22] == 1).all()  # what is known to have slid has slid
    assert (label[1, 10:12, 21:23] == 1).all()
    assert np.isnan(label).sum() == 4 + 2 + 2


class TestNegatives:
    def test_only_given_places_are_stable(self, world, field_of):
        slid, held = cells(world, 10, 20, 3, 5), cells(world, 40, 50, 2, 2)
        label = labels(world, replace(scene(field_of, slid), stable=(held,)), rule="given")[0]
        assert (label[10:13, 20:25] == 1).all()
        assert (label[40:42, 50:52] == 0).all()
        assert np.isfinite(label).sum() == 15 + 4

    def test_a_given_place_is_stable_in_its_scene_alone(self, world, field_of):
        held = cells(world, 40, 50, 2, 2)
        undated = replace(scene(field_of, cells(world, 10, 20, 2, 2), day=None), stable=(held,))
        label = labels(world, scene(field_of), undated, rule="given")
        assert np.isnan(label[0]).all()
        assert (label[1, 40:42, 50:52] == 0).all()

    def test_a_tiny_given_place_does_not_vanish(self, world, field_of):
        x, y = world.factors.grid.transform @ (7, 5)
        tiny = box(x + 2, y - 6, x + 5, y - 2)
        label = labels(world, replace(scene(field_of), stable=(tiny,)), rule="given")[0]
        assert np.argwhere(np.isfinite(label)).tolist() == [[5, 7]]

    def test_what_slid_did_not_hold(self, world, field_of):
        """Where an inventory contradicts itself: 1 in the landslide's own scene, unknown in the other kind's."""
        here = cells(world, 10, 20, 2, 2)
        dated, undated = scene(field_of, here), replace(scene(field_of, day=None), stable=(here,))
        for rule in ("given", "elsewhere"):
            label = labels(world, replace(dated, stable=(here,)), undated, rule=rule)
            assert (label[0, 10:12, 20:22] == 1).all()
            assert np.isnan(label[1, 10:12, 20:22]).all()

    def test_close_to_a_landslide_is_unknown(self, world, field_of):
        slid, held = cells(world, 10, 20, 2, 2), cells(world, 11, 22, 1, 1)
        label = labels(world, replace(scene(field_of, slid), stable=(held,)), buffer_m=31)[0]
        unknown = np.isnan(label)
        assert (label[10:12, 20:22] == 1).all()
        assert unknown[10, [19, 22]].all()
        assert label[11, 22] == 0  # given as stable
        assert unknown.sum() == 2 * 4 + 4 - 1  # 15 m from the edge, and 21 m at the corners; 45 m is too far
        assert np.isnan(labels(world, scene(field_of, slid), buffer_m=20)[0]).sum() == 2 * 4

    def test_the_buffer_of_a_landslide_just_outside_the_block(self, world, field_of):
        slid = scene(field_of, cells(world, 10, 20, 2, 2))
        whole = labels(world, slid, buffer_m=70)
        for block in (Block(0, 0, 10, 130), Block(10, 22, 20, 30), Block(12, 0, 84, 130)):
            part = labels(world, slid, block=block, buffer_m=70)
            assert np.array_equal(part, whole[(slice(None), *block.slices())], equal_nan=True)

    def test_close_to_what_slid_at_an_unknown_time_is_unknown_too(self, world, field_of):
        dated = scene(field_of, cells(world, 60, 60, 2, 2))
        undated = scene(field_of, cells(world, 10, 20, 2, 2), day=None)
        other = scene(field_of, day=date(2024, 6, 1))
        label = labels(world, dated, undated, other, buffer_m=31)
        assert np.isnan(label[0, 9:13, 19:23]).all()
        assert np.isnan(label[1, 59:63, 59:63]).all()
        assert (label[2, 59:63, 59:63] == 0).all()  # under another dated rain it is known to have held

    def test_flat_ground_is_not_asked(self, world, field_of):
        slope = world.factors.values[FACTORS.index("slope")]
        label = labels(world, scene(field_of, cells(world, 0, 0, 96, 65)), min_slope_deg=15)[0]
        assert np.array_equal(np.isnan(label), slope < 15)
        assert np.isnan(label).any()

    def test_the_rule_is_part_of_the_snapshot(self, world, field_of, tmp_path):
        held = (cells(world, 40, 50, 2, 2), cells(world, 50, 50, 2, 2))
        first, *others = world.snapshot.scenes
        given = replace(with_scenes(world, replace(first, stable=held), *others), negatives=Negatives(rule="given"))
        back = load_snapshot(save_snapshot(given, tmp_path))
        assert back.id == given.id
        assert back.negatives == given.negatives
        assert [s.stable for s in back.scenes] == [held, (), ()]
        assert [s.landslides for s in back.scenes] == [s.landslides for s in world.snapshot.scenes]
        assert len({given.id, replace(given, negatives=Negatives()).id, world.snapshot.id}) == 3
        assert replace(world.snapshot, negatives=Negatives(buffer_m=10)).id != world.snapshot.id

    def test_nothing_said_is_as_it_always_was(self, world, tmp_path):
        """Ids and files from before there was a rule stay good."""
        rain = world.snapshot.scenes[0].rain.copy(data=np.arange(20.0).reshape(4, 5))
        old = Scene(date(2024, 5, 1), rain, rain + 1, (box(0, 0, 30, 30),))
        snapshot = Snapshot("EPSG:32616", (old,), "made", datetime(2025, 1, 1, tzinfo=UTC))
        assert snapshot.id == "c2168cab33c31315"
        folder = save_snapshot(snapshot, tmp_path)
        manifest = json.loads((folder / "snapshot.json").read_text())
        del manifest["negatives"]
        (folder / "snapshot.json").write_text(json.dumps(manifest))
        places = gpd.read_file(folder / "landslides.gpkg").drop(columns="slid")
        places.to_file(folder / "landslides.gpkg", engine="pyogrio", promote_to_multi=False)
        assert load_snapshot(folder).scenes[0].landslides == old.landslides

    def test_the_rule_in_words(self, world, field_of):
        plain = rule_in_words(world.snapshot)
        assert plain.startswith("All known ground outside the landslides of a storm counts as stable under its rain. A")
        held = replace(world.snapshot.scenes[0], stable=(cells(world, 40, 50, 2, 2),))
        strict = Negatives(rule="given", buffer_m=150, min_slope_deg=7.5)
        told = rule_in_words(replace(with_scenes(world, held), negatives=strict))
        assert told.startswith("Only the 1 places that the inventory gives as not having slid count as stable")
        assert "within 150 m of a landslide" in told
        assert "flatter than 7.5° is unknown" in told
        assert ", 1 places that the inventory gives as stable among it" in rule_in_words(with_scenes(world, held))


def test_unknown_factor_or_rain_is_an_unknown_label(world, field_of):
    known = scene(field_of)
    holes = replace(known, rain=field_of(np.where(np.arange(5) < 2, np.nan, 100.0)))
    observed = Observed(with_scenes(world, known, holes), world.factors.grid)
    factors = world.factors.values.copy()
    factors[FACTORS.index("rainfall"), 4, 9] = np.nan
    found = observed.at(WHOLE, factors, (0, 1))
    assert np.argwhere(np.isnan(found.label[0])).tolist() == [[4, 9]]
    assert np.isnan(found.label[1]).any()
    assert np.array_equal(np.isnan(found.label[1]), np.isnan(found.rain[1]) | np.isnan(factors).any(0))


def test_outside_the_grid_is_unknown(world, field_of):
    block = Block(-3, 120, 20, 30)
    label = labels(world, scene(field_of), block=block)[0]
    assert np.isnan(label[:3]).all()
    assert np.isnan(label[:, 10:]).all()
    assert (label[3:, :10] == 0).all()


def test_any_block_and_any_choice_of_scenes_says_the_same(world, observed):
    whole = observed.at(WHOLE, world.factors.values, range(3))
    block = Block(13, 40, 50, 41)
    part = observed.at(block, world.factors.read(block), [2, 0])
    for name in ("rain", "label", "danger"):
        expected = getattr(whole, name)[(slice(None), *block.slices())][[2, 0]]
        assert np.allclose(getattr(part, name), expected, atol=1e-3)


def test_rain_is_what_the_grid_samples(world, field_of):
    rain = field_of(np.random.default_rng(0).uniform(0, 300, (4, 5)))
    observed = Observed(with_scenes(world, scene(field_of, rain=rain.values)), world.factors.grid)
    found = observed.at(WHOLE, world.factors.values, [0]).rain[0]
    assert np.allclose(found, sample(rain, world.factors.grid, WHOLE), atol=1e-3)


def test_landslides_in_another_crs(world):
    with pytest.raises(GridMismatch, match="EPSG:32633"):
        Observed(replace(world.snapshot, crs="EPSG:32633"), world.factors.grid)


def test_scenes_must_share_a_rain_grid(world, field_of):
    shifted = field_of(100.0).assign_coords(lat=field_of(0).lat + 0.05)
    with pytest.raises(GridMismatch, match="2024-05-01"):
        with_scenes(world, scene(field_of), replace(scene(field_of), rain=shifted))


def test_no_scene():
    with pytest.raises(TrainingError, match="no scene"):
        Snapshot("EPSG:32616", (), "made", datetime(2025, 1, 1, tzinfo=UTC))


def test_round_trip(world, field_of, tmp_path):
    hole = Polygon([(0, 0), (9, 0), (9, 9.1)], [[(7, 1), (8, 1), (8, 2)]])
    snapshot = with_scenes(world, *world.snapshot.scenes, scene(field_of, hole, day=None, rain=np.nan))
    folder = save_snapshot(snapshot, tmp_path)
    back = load_snapshot(folder)
    assert back.id == snapshot.id == folder.name
    assert back.made_at == snapshot.made_at
    assert [s.day for s in back.scenes] == [s.day for s in snapshot.scenes]
    assert [s.landslides for s in back.scenes] == [s.landslides for s in snapshot.scenes]
    assert np.isnan(back.scenes[-1].rain).all()
    assert save_snapshot(back, tmp_path) == folder
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_id_is_of_the_content_and_not_of_the_hour(world, field_of):
    assert replace(world.snapshot, made_at=datetime(2031, 1, 1, tzinfo=UTC)).id == world.snapshot.id
    first, *others = world.snapshot.scenes
    assert with_scenes(world, replace(first, day=None), *others).id != world.snapshot.id
    assert with_scenes(world, replace(first, landslides=first.landslides[1:]), *others).id != world.snapshot.id
    assert with_scenes(world, replace(first, rain=first.rain + 1), *others).id != world.snapshot.id
    assert replace(world.snapshot, factors_digest="other").id != world.snapshot.id


def test_the_measure_of_its_rain_is_part_of_it(world, tmp_path):
    other = replace(world.snapshot, measure="effective-0.84")
    assert other.id != world.snapshot.id
    assert load_snapshot(save_snapshot(other, tmp_path)).measure == "effective-0.84"


def test_a_snapshot_that_names_no_measure_holds_sums(world, tmp_path):
    folder = save_snapshot(world.snapshot, tmp_path)
    manifest = json.loads((folder / "snapshot.json").read_text())
    del manifest["measure"]
    (folder / "snapshot.json").write_text(json.dumps(manifest))
    assert load_snapshot(folder).measure == "sum"


@pytest.mark.parametrize("damage", ["snapshot.json", "rain.nc", "landslides.gpkg"])
def test_a_damaged_snapshot_is_refused(world, tmp_path, damage):
    folder = save_snapshot(world.snapshot, tmp_path)
    (folder / damage).write_bytes((folder / damage).read_bytes()[:50])
    with pytest.raises(TrainingError, match=folder.name):
        load_snapshot(folder)


def test_a_changed_snapshot_is_refused(world, tmp_path):
    folder = save_snapshot(world.snapshot, tmp_path)
    manifest = folder / "snapshot.json"
    manifest.write_text(manifest.read_text().replace("2024-05-01", "2024-05-02"))
    with pytest.raises(TrainingError, match="its content is"):
        load_snapshot(folder)
