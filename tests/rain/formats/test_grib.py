from datetime import date, timedelta

import eccodes
import numpy as np
import pytest

from lswarn.demo.layouts import ecmwf, gfs
from lswarn.errors import CorruptGranule, SourceUnavailable
from lswarn.rain.formats import grib, messages
from lswarn.rain.formats.grib import decode_ecmwf, decode_gfs, read_totals, total_field

BOX = (-1.0, 46.0, 2.0, 48.0)
WHOLE = (-3.0, 43.0, 7.3, 50.8)
"""With its margin exactly where rain is given."""
STEPS = (6, 12, 18, 24)


@pytest.fixture(scope="module")
def rain(make_rain):
    return make_rain(0.25, 42.0, -4.0).fillna(2.5)  # across 0°; a forecast knows no holes


def split(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[8:16], "big")
        found.append(data[:length])
        data = data[length:]
    return found


def changed(message: bytes, turn=lambda values: values, **keys: object) -> bytes:
    handle = eccodes.codes_new_from_message(message)
    try:
        values = eccodes.codes_get_values(handle)
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, np.ascontiguousarray(turn(values.reshape(721, 1440))).ravel())
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


@pytest.fixture(scope="module")
def buckets(day, rain):
    """The four files, of which the n-th bucket holds n times the rain."""
    wet = {step: rain * n for n, step in enumerate(STEPS, 1)}
    return {f"gfs.t00z.pgrb2.0p25.f{step:03d}": gfs(day, {s: wet[s] for s in STEPS if s <= step})[0] for step in STEPS}


class TestGfs:
    @pytest.fixture
    def parts(self, buckets, as_part):
        return [as_part(name, data) for name, data in buckets.items()]

    def test_a_day_is_its_four_buckets_whatever_else_stands_in_the_files(self, parts, day, rain, same):
        same(decode_gfs(parts, day, WHOLE), 10 * rain)

    def test_one_message_each_by_its_bytes(self, buckets, as_part, day, rain, same):
        parts = [as_part(name, split(data)[1]) for name, data in buckets.items()]
        read = decode_gfs(parts, day, BOX)
        assert (read["lon"].values[[0, -1]] == [-2.0, 3.0]).all()
        same(read, 10 * rain.sel(lat=slice(45, 49), lon=slice(-2, 3)))

    def test_as_noaa_packs_it(self, buckets, as_part, day, rain, same):
        packed = {"packingType": "grid_complex_spatial_differencing"}
        parts = [as_part(name, changed(split(data)[1], **packed)) for name, data in buckets.items()]
        same(decode_gfs(parts, day, WHOLE), 10 * rain, 0.01)

    @pytest.mark.parametrize("change", [lambda p: p[:3], lambda p: [*p[:3], p[0]]])
    def test_a_bucket_that_is_not_there(self, parts, day, change):
        with pytest.raises(
            CorruptGranule, match=r"holds rain of 2026-01-31 00 to .* which does not make up 2026-01-31"
        ):
            decode_gfs(change(parts), day, BOX)

    def test_another_day(self, parts, day):
        with pytest.raises(CorruptGranule, match="does not make up 2026-02-01"):
            decode_gfs(parts, day + timedelta(days=1), BOX)

    def test_buckets_of_two_runs_are_not_mixed(self, parts, as_part, day, rain):
        other = as_part(parts[3].name, gfs(day - timedelta(days=1), {48: rain})[0])
        with pytest.raises(CorruptGranule, match="does not make up"):
            decode_gfs([*parts[:3], other], day, BOX)

    def test_what_makes_eccodes_end_its_process_ends_only_that(self, buckets, as_part, day):
        """Widths of groups that reach beyond the message: an assertion in ecCodes fails, and with it the process."""
        message = bytearray(changed(split(buckets["gfs.t00z.pgrb2.0p25.f006"])[1], packingType="grid_complex"))
        message[_section(message, 5) + 36] = 200  # bits of a group's width
        with pytest.raises(CorruptGranule, match="ecCodes ended over it"):
            decode_gfs([as_part("gfs.t00z.pgrb2.0p25.f006", bytes(message))], day, BOX)

    def test_a_reader_that_does_not_start_is_no_fault_of_the_file(self, parts, day, tmp_path, monkeypatch):
        monkeypatch.setattr(grib, "READER", tmp_path / "gone.py")
        with pytest.raises(SourceUnavailable, match=r"the reader of GRIB files failed \(.*gone\.py"):
            decode_gfs(parts, day, BOX)

    def test_a_reader_that_does_not_end(self, parts, day, monkeypatch):
        monkeypatch.setattr(grib, "LONGEST_S", 0.05)
        with pytest.raises(CorruptGranule, match="not readable as GRIB2"):
            decode_gfs(parts, day, BOX)


class TestEcmwf:
    def test_the_first_day_needs_no_earlier_step(self, as_part, day, rain, same):
        same(decode_ecmwf([as_part("a.grib2", ecmwf(day, {24: rain})[0])], day, WHOLE), rain)

    @pytest.mark.parametrize("unit", ["m", "mm"])
    def test_later_days_are_differences_in_the_unit_the_message_says(self, as_part, day, rain, same, unit):
        parts = [
            as_part(f"{step}.grib2", ecmwf(day, {step: wet}, unit=unit)[0])
            for step, wet in ((24, rain), (48, 3 * rain))
        ]
        same(decode_ecmwf(parts, day + timedelta(days=1), WHOLE), 2 * rain)

    def test_without_the_earlier_step_it_is_no_day(self, as_part, day, rain):
        with pytest.raises(CorruptGranule, match="holds rain of 2026-01-31 00 to 2026-02-02 00 UTC, which does not"):
            decode_ecmwf([as_part("a.grib2", ecmwf(day, {48: rain})[0])], day + timedelta(days=1), BOX)

    def test_a_total_that_shrinks_is_no_total(self, as_part, day, rain):
        parts = [as_part(f"{step}.grib2", ecmwf(day, {step: wet})[0]) for step, wet in ((24, 3 * rain), (48, rain))]
        with pytest.raises(CorruptGranule, match="less than none"):
            decode_ecmwf(parts, day + timedelta(days=1), BOX)


class TestMessages:
    """In this process: no message here is damaged as much as that."""

    @pytest.fixture
    def read(self, as_part):
        def totals(data):
            with as_part("f006", data).path.open("rb") as file:
                return list(messages.totals(file))

        return totals

    @pytest.mark.parametrize(
        ("which", "keys", "fault"),
        [
            (0, {}, r"holds no total precipitation \(tp\), only t$"),
            (1, {"typeOfStatisticalProcessing": 2}, "holds no total precipitation"),
            (1, {"parameterNumber": 7}, "holds no total precipitation"),
            (1, {"hourOfEndOfOverallTimeInterval": 3}, "says that it ends 2026-1-31 3"),
            (1, {"jScansPositively": 1}, "against the way it says that it scans"),
        ],
    )
    def test_a_message_that_is_something_else(self, buckets, read, which, keys, fault):
        with pytest.raises(messages.Fault, match=fault):
            read(changed(split(buckets["gfs.t00z.pgrb2.0p25.f006"])[which], **keys))

    @pytest.mark.parametrize("page", [b"", b"BUFR\0\0\0\4", b"GRIB", b"GRIB\0\0\0\1" + bytes(90)])
    def test_no_grib_2(self, read, page):
        with pytest.raises(messages.Fault, match=r"no message of GRIB edition 2|holds no total precipitation"):
            read(page)

    @pytest.mark.parametrize("cut", [lambda data: data[:-1], lambda data: data[:200], lambda data: data[:-4] + b"7778"])
    def test_cut_short(self, buckets, read, cut):
        with pytest.raises(messages.Fault, match=r"cut short|do not add up"):
            read(cut(split(buckets["gfs.t00z.pgrb2.0p25.f006"])[1]))

    def test_a_count_that_would_fill_the_memory(self, buckets, read):
        message = bytearray(split(buckets["gfs.t00z.pgrb2.0p25.f006"])[1])
        message[_section(message, 5) + 5] = 127  # of the number of values
        with pytest.raises(messages.Fault, match="announces more values than its 1440 x 721 cells"):
            read(bytes(message))

    @pytest.mark.parametrize(
        ("keys", "turn"),
        [
            ({"jScansPositively": 1, "latitudeOfFirst": -90, "latitudeOfLast": 90}, np.flipud),
            ({"iScansNegatively": 1, "longitudeOfFirst": 179.75, "longitudeOfLast": 180}, np.fliplr),
        ],
    )
    def test_whichever_way_a_message_scans(self, day, rain, read, keys, turn):
        message = split(ecmwf(day, {24: rain})[0])[1]
        (_, values), *_ = read(message)
        keys = {key + ("GridPointInDegrees" if "itude" in key else ""): value for key, value in keys.items()}
        (head, turned), *_ = read(changed(message, turn, **keys))
        rows, cols = (np.round(first + step * np.arange(cells), 4) for first, step, cells in (head["lat"], head["lon"]))
        assert (rows[0], rows[-1]) == ((-90, 90) if turn is np.flipud else (90, -90))
        assert (cols[0], cols[-1]) == (180, 539.75)
        np.testing.assert_array_equal(turned, values[::-1] if turn is np.flipud else values)


def _section(message: bytes, number: int) -> int:
    at = 16
    while message[at + 4] != number:
        at += int.from_bytes(message[at : at + 4], "big")
    return at


def test_every_total_of_a_file_is_told(as_part, rain):
    part = as_part("f012", gfs(date(2026, 1, 31), {6: rain, 12: rain})[0])
    totals = read_totals([part])
    assert [str(each) for each in totals] == [
        "2026-01-31 06 to 2026-01-31 12 UTC",
        "2026-01-31 00 to 2026-01-31 12 UTC",
    ]
    assert {each.centre for each in totals} == {"kwbc"}
    assert float(total_field(totals[1], BOX).max()) == pytest.approx(
        2 * float(total_field(totals[0], BOX).max()), abs=1e-3
    )
