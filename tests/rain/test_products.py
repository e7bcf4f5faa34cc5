import io
from datetime import UTC, date, datetime

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import CorruptGranule, GridMismatch, NotYetPublished, RegionError
from lswarn.rain.products import (
    PRODUCTS,
    decode_imerg_daily,
    due_at,
    find_product,
    granule_folder,
    newest_granule,
    parse_granule,
    version_rank,
)
from lswarn.region import RainSource

DAY = date(2026, 1, 31)
LATE = PRODUCTS["IMERG-Late"]


def name(run: str = "-L", day: str = "20260131", version: str = "V07C", suffix: str = "nc4") -> str:
    return f"3B-DAY{run}.MS.MRG.3IMERG.{day}-S000000-E235959.{version}.{suffix}"


def source(at: str, product: str = "IMERG-Late", latency_h: float = 14.75) -> RainSource:
    return RainSource(product=product, at=at, latency_h=latency_h)


class TestWhatToAskFor:
    def test_the_folder_of_a_day(self):
        folder = granule_folder(
            source("https://rain.example/GPM_3IMERGDL.07/{year}/{month}/{day}/{doy}"), date(2026, 2, 3)
        )
        assert folder == "https://rain.example/GPM_3IMERGDL.07/2026/02/03/034"

    @pytest.mark.parametrize(
        "at", ["/rain/{yyyy}", "/rain/{", "/rain/{}", "/rain/{year.x}", "ftp://rain.example/{year}"]
    )
    def test_a_senseless_address_is_named(self, at):
        with pytest.raises(RegionError) as error:
            granule_folder(source(at), DAY)
        assert at in str(error.value)

    def test_an_unknown_product_is_named_with_those_known(self):
        with pytest.raises(
            RegionError, match=r"'IMERG-Latest' is unknown; use one of IMERG-Early, IMERG-Late, IMERG-Final"
        ):
            find_product("IMERG-Latest")

    def test_due_is_the_end_of_the_day_and_the_latency(self):
        assert due_at(source("/rain"), DAY) == datetime(2026, 2, 1, 14, 45, tzinfo=UTC)

    @pytest.mark.parametrize(("run", "product"), [("-E", "IMERG-Early"), ("-L", "IMERG-Late"), ("", "IMERG-Final")])
    def test_a_name_says_product_day_and_version(self, run, product):
        granule = parse_granule(name(run))
        assert (granule.product.name, granule.day, granule.version) == (product, DAY, "V07C")

    @pytest.mark.parametrize("odd", ["readme.txt", name() + ".xml", name("-F"), name(version="07C"), "x" + name()])
    def test_other_names_are_refused(self, odd):
        with pytest.raises(CorruptGranule, match="not the name of an IMERG daily file"):
            parse_granule(odd)

    def test_versions_are_ordered_by_number_then_letter(self):
        versions = ["V10A", "V08A", "V07C", "V06", "V08", "V07A", "V06B"]
        assert sorted(versions, key=version_rank) == ["V06", "V06B", "V07A", "V07C", "V08", "V08A", "V10A"]


class TestNewestGranule:
    def test_the_newest_version_of_the_right_run_and_day(self):
        there = [
            name(version="V07B"),
            name(version="V08A", suffix="RT-NC"),
            name(version="V07C"),
            name("-E", version="V09A"),
            name(day="20260130", version="V09A"),
            name(version="V09A") + ".xml",
            "index.html",
        ]
        assert newest_granule(there, LATE, DAY).name == name(version="V08A", suffix="RT-NC")

    def test_nothing_there(self):
        with pytest.raises(NotYetPublished, match=r"no IMERG-Late of 2026-01-31 \(there of that day: nothing\)"):
            newest_granule([name(day="20260130")], LATE, DAY)

    def test_what_is_there_instead_is_named(self):
        with pytest.raises(NotYetPublished) as error:
            newest_granule([name("-E"), name(suffix="zarr")], LATE, DAY)
        assert name("-E") in str(error.value)
        assert name(suffix="zarr") in str(error.value)


class TestDecode:
    @pytest.fixture
    def decode(self, bbox):
        return lambda data, day=DAY: decode_imerg_daily(io.BytesIO(data), day, bbox, name="granule.nc4")

    @pytest.mark.parametrize(("variable", "units"), [("precipitation", "mm/day"), ("precipitationCal", "mm")])
    def test_the_box_and_two_cells_around_it(self, decode, make_granule, variable, units):
        rain = decode(make_granule(DAY, variable=variable, units=units))
        assert rain.dims == ("lat", "lon")
        assert rain.shape == (7, 9)
        assert rain.dtype == np.float32
        assert rain.attrs["units"] == "mm/day"
        assert (rain["lat"].values == [35.95, 36.05, 36.15, 36.25, 36.35, 36.45, 36.55]).all()
        assert (rain["lon"].values == [-84.65, -84.55, -84.45, -84.35, -84.25, -84.15, -84.05, -83.95, -83.85]).all()
        assert float(rain.sel(lat=36.15, lon=-84.45)) == 305  # row 3, column 5 of the file

    @pytest.mark.parametrize("axes", [("time", "lat", "lon"), ("lon", "lat", "time"), ("lat", "time", "lon")])
    def test_axes_are_told_by_their_names_not_their_order(self, decode, make_granule, axes):
        assert decode(make_granule(DAY, axes=axes)).equals(decode(make_granule(DAY)))

    def test_fills_are_unknown_and_zero_is_not(self, decode, make_granule):
        rain = np.ones((12, 15))
        rain[3, 5], rain[3, 6], rain[3, 7] = np.nan, 0, -1
        found = decode(make_granule(DAY, rain))
        assert found.sel(lat=36.15).values[2:6].tolist() == pytest.approx([np.nan, 0, np.nan, 1], nan_ok=True)
        assert int(found.isnull().sum()) == 2

    def test_a_declared_positive_fill_is_unknown(self, decode, make_granule):
        rain = np.ones((12, 15))
        rain[3, 5] = 9e30
        assert np.isnan(decode(make_granule(DAY, rain, fill=np.float32(9e30))).sel(lat=36.15, lon=-84.45))

    def test_a_hurricane_is_believed(self, decode, make_granule):
        assert float(decode(make_granule(DAY, np.full((12, 15), 1258.0))).max()) == 1258

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            ({"variable": "rain"}, "has no variable precipitation or precipitationCal, only"),
            ({"units": "mm/hr"}, "is in mm/hr, not in mm"),
            ({"units": None}, "is in no unit"),
            ({"times": 2}, "not one time, lon and lat"),
            ({"rain": np.full((12, 15), np.nan)}, "every cell of .* is missing"),
            ({"rain": np.full((12, 15), 9.96e36), "fill": None}, "more than can fall"),
            ({"rain": np.full((12, 15), np.inf)}, "more than can fall"),
            ({"lats": np.linspace(36.95, 35.85, 12)}, "lat: not evenly spaced and ascending"),
            ({"lons": -85 + np.geomspace(0.1, 2, 15)}, "lon: not evenly spaced and ascending"),
            ({"extra": {"scale_factor": 0.1}}, "is packed"),
        ],
    )
    def test_another_schema_is_refused(self, decode, make_granule, given, fault):
        with pytest.raises(CorruptGranule, match=rf"^granule.nc4.*{fault}.*; fetch it again"):
            decode(make_granule(DAY, **given))

    def test_another_day_is_refused(self, decode, make_granule):
        with pytest.raises(CorruptGranule, match=r"granule\.nc4: holds 2026-01-30, not 2026-01-31"):
            decode(make_granule(date(2026, 1, 30)))

    def test_a_variable_without_dimensions_is_refused(self, decode):
        file = io.BytesIO()
        with h5py.File(file, "w") as granule:
            granule["precipitation"] = np.ones((1, 15, 12))
            granule["time"] = [1.0]
        with pytest.raises(CorruptGranule, match="not one time, lon and lat"):
            decode(file.getvalue())

    def test_a_box_beyond_the_granule(self, decode, make_granule):
        with pytest.raises(GridMismatch, match=r"lat runs from 36.2 to 37.4 and does not cover 36.16 to 36.34"):
            decode(make_granule(DAY, lats=np.round(36.25 + 0.1 * np.arange(12), 2)))

    def test_the_margin_ends_where_the_granule_does(self, make_granule):
        rain = decode_imerg_daily(io.BytesIO(make_granule(DAY)), DAY, (-85.0, 35.8, -84.9, 36.0), name="x")
        assert rain.shape == (4, 3)

    @given(share=st.floats(0, 0.999))
    def test_a_cut_file_is_corrupt(self, granule, share):
        data = granule[: int(share * len(granule))]
        with pytest.raises(CorruptGranule, match=r"^x: .*; fetch it again"):
            decode_imerg_daily(io.BytesIO(data), DAY, (-84.41, 36.16, -84.07, 36.34), name="x")

    @given(
        west=st.integers(0, 9),
        south=st.integers(0, 7),
        width=st.integers(1, 5),
        height=st.integers(1, 4),
        shift=st.sampled_from([-1e-9, 0.0, 1e-9]),  # edges are seldom exact in floating point
    )
    def test_a_box_along_cell_edges_gets_exactly_its_cells_and_the_margin(
        self, granule, west, south, width, height, shift
    ):
        box = (-85 + west / 10, 35.8 + south / 10, -85 + (west + width) / 10, 35.8 + (south + height) / 10)
        rain = decode_imerg_daily(io.BytesIO(granule), DAY, tuple(edge + shift for edge in box), name="x")
        rows = np.arange(max(south - 2, 0), min(south + height + 2, 12))
        cols = np.arange(max(west - 2, 0), min(west + width + 2, 15))
        assert (rain.values == 100 * rows[:, None] + cols).all()
