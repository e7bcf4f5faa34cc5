from dataclasses import replace
from datetime import date

import pytest
from shapely import box

from lswarn.model.newest import newest_year, other_scenes

SLIDE = box(750_000, 3_980_000, 750_030, 3_980_030)


@pytest.fixture
def snapshot_of(world):
    """`snapshot_of({"2024-05-01": 30, None: 5})`: landslides by day."""
    like = world.snapshot.scenes[0]

    def make(landslides):
        scenes = tuple(
            replace(like, day=day and date.fromisoformat(day), landslides=(SLIDE,) * number)
            for day, number in landslides.items()
        )
        return replace(world.snapshot, scenes=scenes)

    return make


@pytest.mark.parametrize(
    ("landslides", "held"),
    [
        ({"2022-05-01": 40, "2023-05-01": 30, "2023-09-01": 10, "2024-02-02": 0}, (1, 2)),  # a quiet year has no say
        ({"2021-05-01": 60, "2022-12-31": 15, "2023-01-01": 8}, (1, 2)),  # too few: the year before joins
        ({"2021-05-01": 60, "2022-05-01": 15, "2023-01-01": 4}, ()),  # still too few; with all three years none is left
        ({"2022-05-01": 20, "2023-05-01": 21}, ()),  # less than half would be left
        ({"2022-05-01": 20, "2023-05-01": 20}, (1,)),
        ({"2023-05-01": 20, None: 30}, (0,)),  # those without a date teach as well
        ({None: 100}, ()),
        ({"2020-01-01": 0, None: 100}, ()),
        ({"2020-01-01": 3, "2021-01-01": 4, None: 100}, (0, 1)),  # all there are
    ],
)
def test_which_scenes_are_kept(snapshot_of, landslides, held):
    assert newest_year(snapshot_of(landslides)) == held


def test_all_others_teach(snapshot_of):
    snapshot = snapshot_of({"2022-05-01": 40, "2023-05-01": 30, "2024-01-01": 0, None: 3})
    held = newest_year(snapshot)
    assert sorted((*held, *other_scenes(snapshot, held))) == [0, 1, 2, 3]
    assert other_scenes(snapshot, ()) == (0, 1, 2, 3)
