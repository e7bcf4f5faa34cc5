import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import CorruptGranule, GridMismatch
from lswarn.rain.formats.field import MARGIN_DEG, Axis, axis, cut, gather, rain_field, reading, require_land

GLOBE = Axis(-179.5, 1.0, 360)
GLOBE_FROM_0 = Axis(0.5, 1.0, 360)
ON_THE_LINE = Axis(0.0, 0.25, 1440)  # cell centres on whole degrees, as GFS has them
NORTH_FIRST = Axis(89.5, -1.0, 180)
BOX = (10.2, 40.0, 12.0, 42.5)


def numbers(lat: Axis, lon: Axis):
    """A reader of a file whose values say where they lie: latitude × 1000 + longitude of 0..360."""
    lats = lat.first + lat.step * np.arange(lat.cells)
    lons = (lon.first + lon.step * np.arange(lon.cells)) % 360
    return lambda rows, cols: 1000 * lats[rows][:, None] + lons[cols][None]


def expected(cells):
    return 1000 * cells.lat[:, None] + (cells.lon % 360)[None]


class TestAxis:
    def test_of_single_precision(self):
        made = axis(np.arange(-179.95, 180, 0.1).astype(np.float32), "x")
        assert (made.first, made.cells) == (-179.95, 3600)
        assert made.step == pytest.approx(0.1, abs=1e-9)

    @pytest.mark.parametrize(
        "centres", [[1.0], [1, 1], [1, 2, 4], [1, np.nan, 3], [[1, 2], [3, 4]], np.geomspace(1, 5, 9), [1, 2, 1, 2, 3]]
    )
    def test_no_axis(self, centres):
        with pytest.raises(CorruptGranule, match=r"^x: its"):
            axis(centres, "x")


class TestCut:
    @given(
        lat=st.sampled_from([NORTH_FIRST, Axis(-89.5, 1.0, 180), Axis(90.0, -0.25, 721)]),
        lon=st.sampled_from([GLOBE, GLOBE_FROM_0, ON_THE_LINE, Axis(-180.0, 0.25, 1440)]),
        west=st.floats(-180, 179), south=st.floats(-89, 88), width=st.floats(0.01, 180), height=st.floats(0.01, 30),
    )  # fmt: skip
    def test_every_cell_stands_at_its_own_place_whatever_the_file(self, lat, lon, west, south, width, height):
        box = west, south, min(west + width, 180.0), min(south + height, 89.9)
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        cells = cut(lat, lon, box, "x")
        np.testing.assert_allclose(gather(cells, numbers(lat, lon)), expected(cells), atol=1e-6)
        for centres, low, high in ((cells.lon, box[0], box[2]), (cells.lat, box[1], box[3])):
            half = (centres[1] - centres[0]) / 2
            assert np.allclose(np.diff(centres), 2 * half)
            assert centres[0] - half <= low + 1e-4
            assert centres[-1] + half >= high - 1e-4

    def test_the_margin_is_a_degree(self):
        cells = cut(Axis(-89.95, 0.1, 1800), Axis(-179.95, 0.1, 3600), (10.0, 40.0, 11.0, 41.0), "x")
        assert (cells.lat[0], cells.lat[-1]) == (39.05, 41.95)
        assert (cells.lon[0], cells.lon[-1]) == (9.05, 11.95)
        assert cells.own == (slice(10, 20), slice(10, 20))
        assert MARGIN_DEG == 1.0

    def test_or_two_cells_where_that_is_more(self):
        cells = cut(NORTH_FIRST, GLOBE, BOX, "x")
        assert (cells.lat[0], cells.lat[-1]) == (38.5, 44.5)
        assert (cells.lon[0], cells.lon[-1]) == (8.5, 13.5)

    def test_and_ends_where_the_file_does(self):
        cells = cut(Axis(40.5, 1.0, 3), Axis(10.5, 1.0, 4), (10.0, 40.0, 11.0, 41.0), "x")
        assert (cells.lat.tolist(), cells.lon.tolist()) == ([40.5, 41.5, 42.5], [10.5, 11.5, 12.5])

    def test_a_box_across_the_seam_is_read_in_two_pieces(self):
        cells = cut(NORTH_FIRST, GLOBE_FROM_0, (-1.0, 40.0, 1.0, 41.0), "x")
        assert cells.lon.tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]
        assert cells.cols == (slice(357, 360), slice(0, 3))

    def test_at_the_date_line_the_margin_goes_on_beyond_it(self):
        cells = cut(NORTH_FIRST, GLOBE, (178.0, -18.0, 180.0, -16.0), "x")
        assert cells.lon.tolist() == [176.5, 177.5, 178.5, 179.5, 180.5, 181.5]

    @pytest.mark.parametrize("lon", [GLOBE, GLOBE_FROM_0, Axis(-0.5, 1.0, 361)])
    def test_without_a_box_all_there_is_from_west_to_east(self, lon):
        cells = cut(NORTH_FIRST, lon, None, "x")
        assert len(cells.lon) == 360
        assert -180 <= cells.lon[0] < cells.lon[-1] < 180
        assert (cells.lat[0], cells.lat[-1]) == (-89.5, 89.5)

    def test_the_whole_world_as_a_box(self):
        cells = cut(Axis(90.0, -0.25, 721), ON_THE_LINE, (-180.0, -89.0, 180.0, 89.0), "x")
        assert (cells.lon[0], cells.lon[-1]) == (-180, 180)

    @pytest.mark.parametrize(
        ("first", "box"), [(270.5, (-89.0, 40.0, -87.0, 41.0)), (-89.5, (-89.0, 40.0, -87.0, 41.0))]
    )
    def test_a_part_of_the_globe_in_either_count(self, first, box):
        cells = cut(NORTH_FIRST, Axis(first, 1.0, 5), box, "x")
        assert cells.lon.tolist() == [-89.5, -88.5, -87.5, -86.5, -85.5]
        assert cut(NORTH_FIRST, Axis(first, 1.0, 5), None, "x").lon[0] == -89.5

    @pytest.mark.parametrize("box", [(9.9, 40.5, 11.0, 41.0), (10.2, 39.9, 11.0, 41.0), (10.2, 40.5, 14.1, 41.0)])
    def test_a_box_beyond_the_file(self, box):
        with pytest.raises(GridMismatch, match=r"^x: l.. runs from .* and does not cover"):
            cut(Axis(42.5, -1.0, 3), Axis(10.5, 1.0, 4), box, "x")

    @pytest.mark.parametrize(
        ("lat", "lon"),
        [(Axis(-179.5, 1, 360), GLOBE), (Axis(89.5, 1, 5), GLOBE), (NORTH_FIRST, Axis(10, -1, 5)),
         (NORTH_FIRST, Axis(0, 1, 500)), (NORTH_FIRST, Axis(1000, 1, 5))],
    )  # fmt: skip
    def test_no_globe(self, lat, lon):
        with pytest.raises(CorruptGranule):
            cut(lat, lon, None, "x")


class TestRainField:
    cells = cut(Axis(40.5, 1.0, 9), Axis(10.5, 1.0, 9), (12.0, 43.0, 15.0, 46.0), "x")  # its own cells: 2..5

    def make(self, mm, row=3, col=3):
        values = np.ones((len(self.cells.lat), len(self.cells.lon)))
        values[row, col] = mm
        return rain_field(self.cells, values, "x")

    def test_a_hurricane_is_believed(self):
        assert self.make(1258.0).max() == 1258

    def test_zero_is_not_missing_and_missing_is_not_zero(self):
        assert self.make(0.0).min() == 0
        assert int(self.make(np.nan).isnull().sum()) == 1

    def test_what_rounding_took_below_zero_is_zero(self):
        assert self.make(-0.01).min() == 0

    @pytest.mark.parametrize("mm", [5001, 9.97e36, np.inf, -1, -9999.9, -np.inf])
    def test_what_cannot_be_rain(self, mm):
        with pytest.raises(CorruptGranule, match=r"^x: holds .* mm in a day"):
            self.make(mm)

    def test_a_box_of_which_nothing_is_known_though_something_around_it_is(self):
        values = np.ones((len(self.cells.lat), len(self.cells.lon)))
        values[2:5, 2:5] = np.nan
        with pytest.raises(CorruptGranule, match=r"every cell of \(12\.0, 43\.0, 15\.0, 46\.0\) is missing"):
            rain_field(self.cells, values, "x")


class TestLand:
    lat, lon = Axis(59.75, -0.5, 240), Axis(-179.75, 0.5, 720)

    @staticmethod
    def land(lat, lon):
        """Eurasia without its shores."""
        return 20 < lat < 60 and 20 < (lon + 180) % 360 - 180 < 137

    def at(self, row, col):
        return self.lat.first + self.lat.step * row, self.lon.first + self.lon.step * col

    def test_as_it_should_be(self):
        require_land(self.lat, self.lon, lambda row, col: self.land(*self.at(row, col)), "x")

    @pytest.mark.parametrize(
        "turn", [lambda lat, lon: (-lat, lon), lambda lat, lon: (lat, lon + 180), lambda lat, lon: (lat, -lon)]
    )
    def test_upside_down_half_a_turn_off_or_mirrored(self, turn):
        with pytest.raises(CorruptGranule, match="is turned: rain is known at sea"):
            require_land(self.lat, self.lon, lambda row, col: self.land(*turn(*self.at(row, col))), "x")

    @pytest.mark.parametrize("known", [True, False])
    def test_what_proves_nothing_passes(self, known):
        require_land(self.lat, self.lon, lambda row, col: known, "x")

    def test_a_part_without_those_places_passes(self):
        require_land(Axis(10.0, 1.0, 5), Axis(10.0, 1.0, 5), lambda row, col: False, "x")


def test_a_foreign_error_names_the_file_and_our_own_passes():
    with (
        pytest.raises(CorruptGranule, match=r"^x: damaged or cut short: not readable as HDF5 \('oh'\); fetch it again"),
        reading("x", "HDF5"),
    ):
        raise KeyError("oh") from OSError()
    with pytest.raises(GridMismatch, match=r"^mine$"):  # noqa: SIM117
        with reading("x", "HDF5"):
            raise GridMismatch("mine")
