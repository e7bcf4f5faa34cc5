import errno
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest
import xarray as xr

from lswarn.errors import StorageFull
from lswarn.rain.archive import archived_products, iterate_days, load_archived, load_days, save_day

DAY = date(2026, 1, 31)
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
ORDER = ["IMERG-Final", "IMERG-Late", "IMERG-Early"]


def same(one, other):
    told = [{key: value for key, value in vars(rain).items() if key != "precipitation"} for rain in (one, other)]
    return told[0] == told[1] and one.precipitation.equals(other.precipitation)


@pytest.fixture
def rain(make_day):
    values = np.arange(12, dtype="f4").reshape(3, 4)
    values[1, 2] = np.nan
    return make_day(DAY, values)


def test_what_is_saved_is_loaded(tmp_path, rain):
    save_day(tmp_path, rain)
    loaded = load_days(tmp_path, [DAY, DAY + timedelta(1)], ORDER)
    assert list(loaded) == [DAY]
    assert same(loaded[DAY], rain)
    assert loaded[DAY].precipitation.attrs == rain.precipitation.attrs
    assert loaded[DAY].fetched_at.tzinfo is not None


def test_the_file_is_cf_and_says_where_it_came_from(tmp_path, rain):
    with xr.open_dataset(save_day(tmp_path, rain), engine="netcdf4") as dataset:
        assert dataset.attrs["Conventions"] == "CF-1.8"
        assert dataset.attrs["product"] == "IMERG-Late"
        assert dataset.attrs["product_version"] == "V07C"
        assert dataset.attrs["granule_uri"] == rain.uri
        assert dataset.attrs["granule_sha256"] == rain.sha256
        assert dataset["precipitation"].dims == ("lat", "lon")
        assert dataset["lat"].attrs["units"] == "degrees_north"
        assert dataset["time"].values == np.datetime64(DAY)


def test_the_same_granule_twice_is_one_file(tmp_path, rain, make_day):
    first = save_day(tmp_path, rain)
    written = first.stat().st_mtime_ns
    again = make_day(DAY, rain.precipitation.values, fetched_at=NOON + timedelta(days=9))
    assert save_day(tmp_path, again) == first
    assert first.stat().st_mtime_ns == written
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_product_gives_way_to_a_better_one_whatever_came_first(tmp_path, make_day):
    late = make_day(DAY, 1, product="IMERG-Late", version="V07B", fetched_at=NOON)
    early = make_day(DAY, 2, product="IMERG-Early", version="V07C", fetched_at=NOON + timedelta(days=1))
    for rain in (late, early):
        save_day(tmp_path, rain)
    assert same(load_days(tmp_path, [DAY], ORDER)[DAY], late)
    assert same(load_days(tmp_path, [DAY], ORDER[::-1])[DAY], early)
    assert load_days(tmp_path, [DAY], ["IMERG-Final"]) == {}
    assert [each.product for each in load_archived(tmp_path, [DAY])] == ["IMERG-Late", "IMERG-Early"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_version_gives_way_to_a_newer_one_and_then_to_what_came_last(tmp_path, make_day, order):
    days = [
        make_day(DAY, 1, version="V07C", sha256="a" * 64, fetched_at=NOON),
        make_day(DAY, 2, version="V07C", sha256="b" * 64, fetched_at=NOON + timedelta(hours=1)),
        make_day(DAY, 3, version="V07B", sha256="c" * 64, fetched_at=NOON + timedelta(hours=2)),
    ]
    for at in order:
        save_day(tmp_path, days[at])
    assert float(load_days(tmp_path, [DAY], ORDER)[DAY].precipitation[0, 0]) == 2
    assert len(load_archived(tmp_path, [DAY])) == 3


def test_after_a_change_of_bbox_the_same_granule_is_archived_anew(tmp_path, make_day):
    small = make_day(DAY, 1)
    save_day(tmp_path, small)
    part = small.precipitation[:, 1:]
    save_day(tmp_path, make_day(DAY, precipitation=part, fetched_at=NOON + timedelta(hours=1)))
    assert len(load_archived(tmp_path, [DAY])) == 2
    whole_box = (-85.0, 35.8, -84.6, 36.1)  # the outer edges of the cells
    assert load_days(tmp_path, [DAY], ORDER)[DAY].precipitation.equals(part)
    assert load_days(tmp_path, [DAY], ORDER, bbox=whole_box)[DAY].precipitation.equals(small.precipitation)
    assert load_days(tmp_path, [DAY], ORDER, bbox=(-85.1, 35.8, -84.6, 36.1)) == {}


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_named_and_not_used_and_saving_again_heals_it(tmp_path, rain, damage, make_day, caplog):
    path = save_day(tmp_path, rain)
    save_day(tmp_path, make_day(DAY, 1, product="IMERG-Early"))
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:100]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert load_days(tmp_path, [DAY], ORDER)[DAY].product == "IMERG-Early"
    assert [each.product for each in load_archived(tmp_path, [DAY])] == ["IMERG-Early"]
    assert f"{path}: damaged since it was archived" in caplog.text
    save_day(tmp_path, rain)
    assert same(load_days(tmp_path, [DAY], ORDER)[DAY], rain)


def test_a_save_that_is_killed_leaves_no_file_and_can_be_repeated(tmp_path, rain, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            save_day(tmp_path, rain)
    assert load_archived(tmp_path, [DAY]) == []
    save_day(tmp_path, rain)
    assert same(load_days(tmp_path, [DAY], ORDER)[DAY], rain)


def test_an_archive_that_is_not_there_is_empty(tmp_path):
    assert load_days(tmp_path / "none", [DAY], ORDER) == {}
    assert load_archived(tmp_path / "none", [DAY]) == []
    assert archived_products(tmp_path / "none") == {}


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, rain, make_day, monkeypatch):
    save_day(tmp_path, rain)
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=r"No space left on device; make room under .* and fetch 2026-01-31 again"):
        save_day(tmp_path, make_day(DAY, 5, sha256="f" * 64))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_what_a_killed_fetch_left_is_swept_after_a_day(tmp_path, rain):
    folder = tmp_path / "2026"
    folder.mkdir()
    old, young = folder / ".old.part", folder / ".young.part"
    for draft in (old, young):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    save_day(tmp_path, rain)
    assert not old.exists()
    assert young.exists()


def test_two_who_save_the_same_day_at_once(tmp_path, rain):
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: save_day(tmp_path, rain), range(40)))
    assert len(paths) == 1
    assert len(list(tmp_path.rglob("*.*"))) == 1
    assert same(load_days(tmp_path, [DAY], ORDER)[DAY], rain)


def test_one_product_day_by_day(tmp_path, make_day):
    days = [DAY + timedelta(days=n) for n in range(4)]
    for day in (days[2], days[0]):
        save_day(tmp_path, make_day(day, 1))
    save_day(tmp_path, make_day(days[0], 2, version="V07D"))
    save_day(tmp_path, make_day(days[1], 3, product="IMERG-Early"))
    found = [(rain.day, float(rain.precipitation[0, 0])) for rain in iterate_days(tmp_path, "IMERG-Late", DAY, days[3])]
    assert found == [(days[0], 2), (days[2], 1)]
    assert archived_products(tmp_path) == {days[0]: {"IMERG-Late"}, days[1]: {"IMERG-Early"}, days[2]: {"IMERG-Late"}}


def test_what_is_not_wanted_is_passed_over(tmp_path, make_day):
    save_day(tmp_path, make_day(DAY, 1))
    save_day(tmp_path, make_day(DAY, 2, product="IMERG-Early"))
    early = load_days(tmp_path, [DAY], ORDER, wanted=lambda rain: rain.product != "IMERG-Late")
    assert early[DAY].product == "IMERG-Early"
