import errno
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.errors import AccessDenied, IncompleteWindow, StorageFull
from lswarn.rain import climatology, spool
from lswarn.rain.archive import save_day
from lswarn.rain.climatology import WHOLE_YEAR, find_season, measured, quantiles, save_climatology
from lswarn.rain.measures import ARI, SUM, effective
from lswarn.rain.spool import spooled
from lswarn.rain.thresholds import critical_rainfall
from lswarn.rain.window import rain_window, window_days
from lswarn.sections import Threshold

FIRST, DAYS = date(2025, 5, 20), 40
LAST = FIRST + timedelta(DAYS - 1)
SHAPE = 3, 4


@pytest.fixture(scope="module")
def record():
    """Forty days: [days, rows, cols]."""
    return np.random.default_rng(3).gamma(0.4, 12, (DAYS, *SHAPE)).astype("f4")


@pytest.fixture(scope="module")
def archive(make_day, record, tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    for n, rain in enumerate(record):
        save_day(root, make_day(FIRST + timedelta(n), rain, published_at=None))
    return root


@pytest.fixture
def ask(archive, tmp_path):
    """One call, all of whose arguments may be other ones."""

    def ask(**other):
        usual = {"root": archive, "out": tmp_path / "rc.tif", "product": "IMERG-Late", "measure": SUM}
        return save_climatology(**usual | {"percentile": 90, "first": FIRST, "last": LAST} | other)

    return ask


def read(path):
    """Row 0 in the south, as fields have it."""
    with rasterio.open(path) as file:
        return file.read(1)[::-1]


class TestSeasons:
    @pytest.mark.parametrize(
        ("text", "months"),
        [
            ("6-9", {6, 7, 8, 9}),
            ("11-3", {11, 12, 1, 2, 3}),
            ("5", {5}),
            (" 4-6, 9-11 ", {4, 5, 6, 9, 10, 11}),
            ("", set(range(1, 13))),
            ("1-12", set(range(1, 13))),
            ("7-6", set(range(1, 13))),
        ],
    )
    def test_as_people_write_them(self, text, months):
        assert find_season(text).months == months

    def test_all_months_are_the_whole_year_however_it_is_said(self):
        assert find_season("") == find_season("1-12") == find_season("4-9,10-3") == WHOLE_YEAR

    @pytest.mark.parametrize("text", ["0-3", "6-13", "June", "6..9", "-3"])
    def test_no_season(self, text):
        with pytest.raises(ValueError, match="is no season; say months, such as 6-9"):
            find_season(text)


@pytest.fixture
def of(make_day, tmp_path):
    """Percentiles and samples of days from `FIRST` on; None is a day that is missing."""

    def of(rain, measure=SUM, percentile=90, season=WHOLE_YEAR):
        days = (
            make_day(FIRST + timedelta(n), each, published_at=None) for n, each in enumerate(rain) if each is not None
        )
        with spooled(days, FIRST, FIRST + timedelta(len(rain) - 1), tmp_path) as spooled_days:
            return climatology._percentiles(spooled_days, FIRST, measure, percentile, season)

    return of


class TestPercentiles:
    @pytest.mark.parametrize("measure", [SUM, ARI, effective(0.84)])
    @pytest.mark.parametrize("percentile", [50, 90, 96.5])
    def test_they_are_those_of_the_windows_that_are_watched(self, of, record, measure, percentile):
        values, samples = of(record, measure, percentile)
        windows = [np.tensordot(measure.weights, record[n - 6 : n + 1][::-1].astype(float), 1) for n in range(6, DAYS)]
        assert values == pytest.approx(np.percentile(windows, percentile, axis=0))
        assert (samples == DAYS - 6).all()

    def test_a_season_takes_the_windows_that_end_in_it(self, of, record):
        values, samples = of(record, percentile=80, season=find_season("6"))
        windows = [record[n - 6 : n + 1].sum(axis=0) for n in range(12, DAYS)]  # of 1 June the first
        assert values == pytest.approx(np.percentile(windows, 80, axis=0), rel=1e-5)
        assert (samples == 28).all()

    def test_a_season_over_the_end_of_the_year(self, make_day, tmp_path):
        first, last = date(2024, 10, 1), date(2025, 4, 30)
        days = [first + timedelta(n) for n in range((last - first).days + 1)]
        winter = {11, 12, 1, 2, 3}
        rain = (make_day(day, 10 if day.month in winter else 1000, published_at=None) for day in days)
        with spooled(rain, first, last, tmp_path) as spooled_days:
            values, samples = climatology._percentiles(spooled_days, first, SUM, 50, find_season("11-3"))
        assert (samples == 30 + 31 + 31 + 28 + 31).all()
        assert (values == 70).all()

    @settings(max_examples=50)
    @given(
        sample=arrays(np.float64, (30, 4), elements=st.floats(0, 2000)),
        holes=arrays(bool, (30, 4)),
        share=st.floats(0.01, 0.99),
    )
    def test_quantiles_are_numpys_over_what_is_known(self, sample, holes, share):
        holes[0] = False
        sample[holes] = np.nan
        found = quantiles(sample, np.isfinite(sample).sum(axis=0), share)
        assert found == pytest.approx(np.nanquantile(sample, share, axis=0))

    @settings(max_examples=25)
    @given(rain=arrays(np.float32, (9, 12), elements=st.one_of(st.floats(0, 900, width=32), st.just(np.nan))))
    def test_a_window_here_is_a_window_of_the_line(self, make_day, rain):
        days = {
            FIRST + timedelta(n): make_day(FIRST + timedelta(n), of.reshape(SHAPE), published_at=None)
            for n, of in enumerate(rain)
        }
        for measure in (SUM, ARI):
            for n, found in enumerate(measured(rain, measure)):
                day = FIRST + timedelta(n + 6)
                window = rain_window(day, {d: days[d] for d in window_days(day)}, measure=measure, min_known_days=7)
                expected = window.total.where(window.known_days == 7).values.ravel()
                assert np.array_equal(found.astype("f4"), expected, equal_nan=True)

    def test_more_rain_never_lowers_a_percentile(self, of, record):
        wetter = record + np.random.default_rng(5).choice([0, 20], record.shape)
        assert (of(wetter)[0] >= of(record)[0]).all()

    def test_narrow_bands_say_the_same(self, of, record, monkeypatch):
        whole, _ = of(record)
        monkeypatch.setattr(spool, "BAND_BYTES", 1)
        assert np.array_equal(of(record)[0], whole)


class TestUnknown:
    def test_a_missing_day_takes_all_its_windows_and_is_never_zero(self, of, record):
        values, samples = of([None if n == 20 else rain for n, rain in enumerate(record)], percentile=50)
        windows = [record[n - 6 : n + 1].sum(axis=0) for n in range(6, DAYS) if not 0 <= n - 20 < 7]
        assert (samples == DAYS - 6 - 7).all()
        assert values == pytest.approx(np.median(windows, axis=0), rel=1e-5)

    def test_a_hole_is_of_its_cell_alone(self, of, record):
        holed = record.copy()
        holed[20, 1, 2] = np.nan
        (values, samples), (whole, _) = of(holed), of(record)
        assert samples[1, 2] == DAYS - 6 - 7
        assert ((values == whole) | (samples < DAYS - 6)).all()
        assert (samples < DAYS - 6).sum() == 1

    def test_less_than_the_least_share_of_days_is_unknown(self, of, record):
        holed = record.copy()
        holed[:8, 0, 0] = np.nan  # 80 % known
        holed[:9, 0, 1] = np.nan
        values, _ = of(holed)
        assert np.isfinite(values[0, 0])
        assert np.isnan(values[0, 1])
        assert np.isfinite(values).sum() == 11

    def test_fewer_windows_than_the_percentile_needs_is_unknown(self, of, record):
        assert np.isfinite(of(record, percentile=97)[0]).all()  # needs 34, and there are 34
        assert np.isnan(of(record, percentile=97.1)[0]).all()

    def test_a_period_of_less_than_a_window_is_unknown(self, of, record):
        assert np.isnan(of(record[:6], percentile=50)[0]).all()

    def test_a_percentile_of_zero_is_no_threshold(self, make_day, record, tmp_path):
        for n, rain in enumerate(record[:20]):
            dry = np.where(np.arange(4) == 0, 0, rain)
            save_day(tmp_path / "dry", make_day(FIRST + timedelta(n), dry, published_at=None))
        to = FIRST + timedelta(19)
        made = save_climatology(tmp_path / "dry", tmp_path / "rc.tif", "IMERG-Late", SUM, 90, FIRST, to)
        assert (made.cells, made.dry_cells, made.unknown_cells) == (9, 3, 0)
        assert np.isnan(read(made.path)[:, 0]).all()
        assert made.min_mm > 0

    @pytest.mark.parametrize(
        "other", [{"percentile": 99}, {"first": FIRST - timedelta(40)}, {"season": find_season("1")}]
    )
    def test_nothing_is_written_when_no_cell_has_one(self, ask, other, tmp_path):
        with pytest.raises(IncompleteWindow, match=r"IMERG-Late, .* of .* days are archived; .*lswarn rain fetch"):
            ask(**other)
        assert list(tmp_path.iterdir()) == []

    def test_nothing_archived(self, ask):
        with pytest.raises(IncompleteWindow, match=r"none of the days .* is archived; fetch them first"):
            ask(product="CPC-Unified")


class TestTheRaster:
    def test_it_says_of_what_it_was_made(self, ask, record):
        made = ask(season=find_season("5-6"))
        with rasterio.open(made.path) as file:
            tags = file.tags()
            assert (file.crs.to_epsg(), file.dtypes) == (4326, ("float32",))
            assert np.isnan(file.nodata)
            assert file.transform.e < 0
            west, south, east, north = file.bounds
        assert (west, south) == (pytest.approx(-85.0), pytest.approx(35.8))
        assert (east, north) == (pytest.approx(-84.6), pytest.approx(36.1))
        assert tags.pop("AREA_OR_POINT") == "Area"
        assert tags == {
            "source": "percentile 90 of rain in 7 days, IMERG-Late, 5-6, 2025-05-20 to 2025-06-28",
            "product": "IMERG-Late",
            "measure": "sum",
            "percentile": "90",
            "season": "5-6",
            "period": "2025-05-20/2025-06-28",
            "samples": "34",
            "share_of_days": "1.0000",
        }
        assert made.source == tags["source"]
        values = read(made.path)
        assert (made.min_mm, made.max_mm) == (pytest.approx(values.min()), pytest.approx(values.max()))
        assert made.mean_mm == pytest.approx(values.mean())
        assert (made.days, made.missing_days) == (40, 0)

    def test_it_is_a_threshold_on_the_same_grid(self, ask, make_day):
        made = ask()
        like = make_day(FIRST, published_at=None).precipitation
        threshold = Threshold(file=made.path, source=made.source)
        critical = critical_rainfall(threshold, like, product="IMERG-Late", measure=SUM)
        assert np.array_equal(critical.values, read(made.path))

    def test_a_period_beyond_the_archive_counts_its_missing_days(self, ask):
        made = ask(first=FIRST - timedelta(5))
        assert (made.days, made.missing_days, made.samples) == (40, 5, 34)
        with rasterio.open(made.path) as file:
            assert file.tags()["share_of_days"] == "0.8889"

    def test_what_was_there_stays_when_a_day_is_damaged(self, ask, archive, tmp_path, make_day):
        (tmp_path / "rc.tif").write_bytes(b"before")
        path = save_day(tmp_path / "other", make_day(FIRST, published_at=None))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(IncompleteWindow):
            ask(root=tmp_path / "other")
        assert (tmp_path / "rc.tif").read_bytes() == b"before"

    def test_progress_never_goes_back_and_ends(self, ask):
        told = []
        ask(on_progress=lambda done, total: told.append((done, total)))
        assert told == sorted(told)
        assert told[-1] == (DAYS, DAYS)

    @pytest.mark.parametrize("percentile", [0, 100, -1])
    def test_no_percentile(self, ask, percentile):
        with pytest.raises(ValueError, match="not above 0 and below 100"):
            ask(percentile=percentile)


class TestSpool:
    def test_days_in_any_order_and_missing_ones(self, make_day, tmp_path):
        days = [make_day(FIRST + timedelta(n), n, published_at=None) for n in (3, 1, 0)]
        with spooled(days, FIRST, FIRST + timedelta(4), tmp_path) as spooled_days:
            assert spooled_days.there.tolist() == [True, True, False, True, False]
            bands = list(spooled_days.bands(rows=2))
        assert [rows for rows, _ in bands] == [slice(0, 2), slice(2, 3)]
        for _, band in bands:
            assert np.array_equal(band[:, 0, 0], [0, 1, np.nan, 3, np.nan], equal_nan=True)
        assert list(tmp_path.iterdir()) == []

    def test_another_grid_is_brought_over(self, make_day, tmp_path):
        first = make_day(FIRST, 5, published_at=None)
        lats, lons = first.precipitation["lat"].values, first.precipitation["lon"].values
        finer = {"lat": lats[0] - 0.025 + 0.05 * np.arange(6), "lon": lons[0] - 0.025 + 0.05 * np.arange(8)}
        field = xr.DataArray(np.full((6, 8), 7, "f4"), finer, ("lat", "lon"))
        second = make_day(FIRST + timedelta(1), published_at=None, precipitation=field)
        with spooled([first, second], FIRST, FIRST + timedelta(1), tmp_path) as spooled_days:
            ((_, band),) = spooled_days.bands()
        assert band[0] == pytest.approx(5)
        assert band[1] == pytest.approx(7)

    def test_a_full_disk(self, make_day, tmp_path, monkeypatch):
        def full(**given):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(spool, "TemporaryFile", full)
        with (
            pytest.raises(StorageFull, match=r"No space left on device; make room"),
            spooled([make_day(FIRST, published_at=None)], FIRST, FIRST, tmp_path),
        ):
            pass

    def test_a_folder_that_is_a_file(self, make_day, tmp_path):
        (tmp_path / "taken").write_text("")
        with (
            pytest.raises(AccessDenied, match=r"taken.*; name a folder that this user may write to"),
            spooled([make_day(FIRST, published_at=None)], FIRST, FIRST, tmp_path / "taken"),
        ):
            pass

    def test_a_period_that_ends_before_it_begins(self, tmp_path):
        with pytest.raises(IncompleteWindow), spooled([], FIRST, FIRST - timedelta(5), tmp_path):
            pass
