from datetime import UTC, date, datetime

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr

from lswarn.hazard.exceedance import area_rain, find_cells, forecast_part
from lswarn.rain.grade import Grade
from lswarn.rain.measures import SUM, WINDOW_DAYS, effective
from lswarn.rain.window import RainDay, RainWindow, rain_window, window_days

DAY = date(2026, 3, 9)


def field(values):
    return xr.DataArray(
        np.array(values, dtype=float),
        dims=("lat", "lon"),
        coords={"lat": [36.15, 36.25], "lon": [-84.45, -84.35, -84.25]},
    )


def window(total, known_days=WINDOW_DAYS):
    days = tuple(rain_day(day, 0 * field(total)) for day in window_days(DAY))
    return RainWindow(DAY, SUM, field(total), field(np.broadcast_to(known_days, (2, 3))), days, (), Grade.A)


def rain_day(day, rain, product="IMERG-Late"):
    return RainDay(day, rain, product, "V07C", "http://one/", "ab", None, datetime(2026, 3, 10, tzinfo=UTC))


def areas(**boxes):
    return gpd.GeoDataFrame({"area_id": list(boxes)}, geometry=[shapely.box(*b) for b in boxes.values()], crs=4326)


SOUTH_WEST = areas(south_west=(-84.47, 36.13, -84.43, 36.17))


class TestCells:
    def test_only_those_above_their_threshold(self):
        found = find_cells(window([[100, 120, 121], [0, 240, 50]]), field([[120] * 3] * 2))
        assert found.rain_mm.tolist() == [121, 240]
        assert found.safety_factor.tolist() == [120 / 121, 0.5]
        assert not found.lower_bound.any()
        assert np.allclose(found.geometry.iloc[1].bounds, (-84.4, 36.2, -84.3, 36.3))

    def test_unknown_rain_or_threshold_is_not_an_exceedance(self):
        found = find_cells(window([[np.nan, 500, 500], [0, 0, 0]], 6), field([[120, np.nan, 120], [120] * 3]))
        assert found.rain_mm.tolist() == [500]

    def test_each_cell_says_whether_it_is_a_lower_bound(self):
        found = find_cells(window([[500, 500, 500], [0, 0, 0]], [[7, 6, 7], [6, 7, 7]]), field([[120] * 3] * 2))
        assert found.lower_bound.tolist() == [False, True, False]


class TestAreaRain:
    def test_the_most_there_and_what_is_critical_where_it_fell(self):
        [row] = area_rain(window([[30, 40, 90], [10, 50, 99]]), field([[1, 2, 3], [4, 5, 6]]), SOUTH_WEST).itertuples()
        assert (row.rain_mm, row.critical_mm, row.forecast_mm, row.known, row.lower_bound) == (30, 1, 0, True, False)

    @pytest.mark.parametrize(("gap", "known"), [((1, 1), False), ((0, 2), True)])
    def test_a_hole_next_door_reaches_into_the_area(self, gap, known):
        """Rain is interpolated between centres, so a hole in one day of the next cell is a lower bound here too."""
        days = np.full((2, 3), WINDOW_DAYS)
        days[gap] = WINDOW_DAYS - 1
        [row] = area_rain(window([[30, 40, 90], [10, 50, 99]], days), field([[1] * 3] * 2), SOUTH_WEST).itertuples()
        assert (row.known, row.lower_bound) == (known, not known)

    def test_modelled_rain_is_no_lower_bound_and_not_known_either(self):
        rain = window([[30] * 3] * 2)
        modelled = RainWindow(
            DAY, SUM, rain.total, rain.known_days, (rain_day(DAY, rain.total, "ERA5-Land"),), (), Grade.E
        )
        [row] = area_rain(modelled, field([[1] * 3] * 2), SOUTH_WEST).itertuples()
        assert (row.known, row.lower_bound) == (False, False)

    def test_nothing_known_is_nothing_said(self):
        found = area_rain(window(np.full((2, 3), np.nan), 0), field([[1] * 3] * 2).assign_attrs(source="s"), SOUTH_WEST)
        assert found[["rain_mm", "critical_mm", "forecast_mm"]].isna().all(axis=None)
        assert found.critical_source.tolist() == [""]
        assert found.lower_bound.all()

    def test_a_place_beyond_the_rain_is_not_known(self):
        far = areas(far=(10, 50, 11, 51))
        assert not area_rain(window([[30] * 3] * 2), field([[1] * 3] * 2), far)["known"].any()

    def test_the_source_of_the_threshold_is_that_of_the_wettest_cell(self):
        limit = field([[1, 2, np.nan], [4, 5, 6]]).assign_attrs(source="everywhere")
        corners = areas(a=(-84.47, 36.13, -84.43, 36.17), b=(-84.27, 36.13, -84.23, 36.17))
        assert area_rain(window([[30] * 3] * 2), limit, corners).critical_source.tolist() == ["everywhere", ""]
        zoned = limit.assign_coords(source=(("lat", "lon"), [["zone 1, 2019-05-01", "", ""], [""] * 3]))
        assert area_rain(window([[30] * 3] * 2), zoned, corners).critical_source[0] == "zone 1, 2019-05-01"


class TestForecastPart:
    @pytest.mark.parametrize(("measure", "part"), [(SUM, 5.0), (effective(0.5), 2 + 1.5)])
    def test_it_is_what_the_days_ahead_add(self, measure, part):
        days = {day: rain_day(day, field([[n / 2] * 3] * 2)) for n, day in enumerate(reversed(window_days(DAY)))}
        days[DAY] = rain_day(DAY, field([[2, 2, 2], [2, 2, np.nan]]), "GFS")
        days[window_days(DAY)[5]] = rain_day(window_days(DAY)[5], field([[3] * 3] * 2), "GFS")
        ahead = rain_window(DAY, days, measure=measure, observed_to=window_days(DAY)[4])
        assert ahead.lead_days == 2
        found = forecast_part(ahead)
        assert found[0, 0].item() == pytest.approx(part)
        assert (found <= ahead.total).all()

    def test_an_observed_window_has_none(self):
        found = forecast_part(window([[30, np.nan, 90], [10, 50, 99]]))
        assert found.fillna(-1).values.tolist() == [[0, -1, 0], [0, 0, 0]]
