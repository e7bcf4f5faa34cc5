from datetime import date, timedelta

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.errors import IncompleteWindow, RegionError
from lswarn.rain import quantile_map
from lswarn.rain.archive import save_day
from lswarn.rain.quantile_map import (
    LEAST_COMMON_DAYS,
    LEAST_WET_DAYS,
    SHARES,
    QuantileMap,
    apply,
    fit_quantiles,
    load_quantile_map,
    save_quantile_map,
)

FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
MADE_TO = FIRST + timedelta(24)
DAYS = 800
AXES = {"lat": np.array([36.05, 36.15]), "lon": np.array([-84.45, -84.35, -84.25])}
LEAST_WET_MM = 0.1


def make_map(source, target, **given):
    """Of two records [days, lat, lon]."""
    fitted = fit_quantiles(*(np.asarray(rain, "f4").reshape(len(rain), -1) for rain in (source, target)))
    fields = (
        xr.DataArray(each.reshape(-1, 2, 3), {"share": SHARES} | AXES, ("share", "lat", "lon")) for each in fitted
    )
    return QuantileMap("CPC-Unified", "IMERG-Late", FIRST, LAST, len(source), *fields)


def field(values):
    return xr.DataArray(np.broadcast_to(values, (2, 3)).astype("f4"), AXES, ("lat", "lon"), "precipitation")


def rain(seed, wet=0.4, scale=12.0, days=DAYS):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((days, 2, 3)) < wet, rng.gamma(0.7, scale, (days, 2, 3)), 0).astype("f4")


SOURCE, TARGET = rain(1, wet=0.6, scale=8), rain(2, wet=0.35, scale=15)
MAP = make_map(SOURCE, TARGET)
DRIER = make_map(TARGET, SOURCE)
SAME = make_map(SOURCE, SOURCE)
MAPS = {"wetter": MAP, "drier": DRIER, "same": SAME, "coarse": make_map(np.round(SOURCE / 5) * 5, TARGET)}
fields = arrays(np.float32, (2, 3), elements=st.floats(0, 900, width=32))
maps = st.sampled_from(list(MAPS.values()))


class TestTheMap:
    def test_the_mapped_record_is_distributed_as_the_targets(self):
        mapped = np.stack([apply(field(day), MAP).values for day in SOURCE])
        wet = (np.where(each < LEAST_WET_MM, 0, each) > 0 for each in (mapped, TARGET))
        mine, theirs = (each.mean() for each in wet)
        assert mine == pytest.approx(theirs, abs=0.01)
        assert mapped.mean() == pytest.approx(TARGET.mean(), rel=0.05)
        for share in (0.7, 0.9, 0.98):
            assert np.quantile(mapped, share) == pytest.approx(np.quantile(TARGET, share), rel=0.05)

    def test_a_doubled_record_is_halved(self):
        halves = make_map(2 * SOURCE, SOURCE)
        days = np.stack([apply(field(2 * day), halves).values for day in SOURCE[:50]])
        wet = (2 * SOURCE[:50] >= 0.2) & (2 * SOURCE[:50] < halves.from_mm.values[-1])
        assert days[wet] == pytest.approx(SOURCE[:50][wet], rel=1e-4, abs=0.11)

    def test_by_hand(self):
        """Days of 1, 2, … 200 mm and 200 dry ones become days of 10, 20, … mm, of which 100 fewer are wet."""
        source = np.concatenate([np.zeros(200), np.arange(1, 201)])
        target = np.concatenate([np.zeros(300), 10 * np.arange(1, 101)])
        chart = make_map(*(np.broadcast_to(each[:, None, None], (400, 2, 3)) for each in (source, target)))
        values = np.array([[0, 100, 150.0], [101.0, 120, 180]])
        # The n-th of the wet: 100 and less are the target's dry days; 150 is its 50th wet day, and so on.
        expected = np.array([[0, 0, 500], [10, 200, 800]])
        assert apply(field(values), chart).values == pytest.approx(expected, rel=0.02, abs=6)

    @given(values=fields)
    def test_the_same_product_is_left_as_it_is(self, values):
        assert apply(field(values), SAME).values == pytest.approx(np.where(values < LEAST_WET_MM, 0, values), rel=1e-5)

    @settings(max_examples=50)
    @given(chart=maps, values=fields, more=fields)
    def test_more_rain_is_never_less(self, chart, values, more):
        assert (apply(field(values + more), chart) >= apply(field(values), chart)).all()

    @settings(max_examples=50)
    @given(chart=maps, values=fields, holes=arrays(bool, (2, 3)))
    def test_unknown_in_unknown_out_and_nothing_else(self, chart, values, holes):
        mapped = apply(field(np.where(holes, np.nan, values)), chart)
        assert (mapped.isnull().values == holes).all()
        assert (mapped.values[~holes] >= 0).all()

    @pytest.mark.parametrize("chart", MAPS.values(), ids=MAPS)
    def test_dry_stays_dry(self, chart):
        assert (apply(field(0), chart) == 0).all()
        assert (apply(field(0.09), chart) == 0).all()

    @settings(max_examples=50)
    @given(chart=maps, more=st.floats(0, 1500))
    def test_beyond_the_record_the_correction_is_that_of_the_last_quantile(self, chart, more):
        top = chart.from_mm.values[-1]
        gain = apply(field(top + more), chart).values - (top + more)
        assert gain == pytest.approx(chart.to_mm.values[-1] - top, abs=1e-3)

    def test_quantiles_never_fall(self):
        for chart in MAPS.values():
            assert (np.diff(chart.from_mm.values, axis=0) >= 0).all()
            assert (np.diff(chart.to_mm.values, axis=0) >= -1e-5).all()

    def test_another_grid_is_brought_onto_the_maps(self):
        fine = {"lat": 36.025 + 0.05 * np.arange(4), "lon": -84.475 + 0.05 * np.arange(6)}
        values = xr.DataArray(np.full((4, 6), 30, "f4"), fine, ("lat", "lon"), "precipitation", {"units": "mm"})
        mapped = apply(values, MAP)
        assert mapped.values == pytest.approx(apply(field(30), MAP).values)
        assert all(np.array_equal(mapped[axis], AXES[axis]) for axis in ("lat", "lon"))
        assert set(mapped.coords) == {"lat", "lon"}
        assert mapped.name == "precipitation"
        assert mapped.attrs["units"] == "mm"
        assert "CPC-Unified to IMERG-Late" in mapped.attrs["quantile_mapped"]
        assert apply(values[:2], MAP).isnull().values.tolist() == [[False] * 3, [True] * 3]


class TestWhatIsTooLittle:
    def test_a_cell_with_too_few_common_days_has_no_map(self):
        source = SOURCE.copy()
        source[LEAST_COMMON_DAYS:, 0, 0] = np.nan
        source[LEAST_COMMON_DAYS - 1 :, 0, 1] = np.nan
        chart = make_map(source, TARGET)
        assert np.isfinite(chart.from_mm[:, 0, 0]).all()
        assert chart.from_mm[:, 0, 1].isnull().all()
        assert (chart.cells, chart.unknown_cells) == (5, 1)
        mapped = apply(field(np.array([[30, 30, 30], [0, 0, 0]])), chart)
        assert mapped.isnull().values.tolist() == [[False, True, False], [False] * 3]

    def test_days_known_to_one_alone_do_not_count(self):
        source, target = SOURCE.copy(), TARGET.copy()
        source[:200], target[-200:] = np.nan, np.nan
        once = make_map(SOURCE[200:-200], TARGET[200:-200])
        assert np.array_equal(make_map(source, target).to_mm, once.to_mm)
        target[200:400] = np.nan
        assert make_map(source, target).cells == 0

    def test_a_cell_with_too_few_wet_days_has_no_map(self):
        source = np.zeros((DAYS, 2, 3), "f4")
        source[:LEAST_WET_DAYS] = 5
        source[LEAST_WET_DAYS - 1, 1] = 0.05
        chart = make_map(source, TARGET)
        assert np.isfinite(chart.from_mm.values[:, 0]).all()
        assert np.isnan(chart.from_mm.values[:, 1]).all()
        # Even of a dry day: what the other product would have seen is not known.
        assert np.isnan(apply(field(0), chart).values[1]).all()

    @settings(max_examples=15)
    @given(seed=st.integers(0, 99), wet=st.floats(0, 1), decimals=st.integers(0, 2))
    def test_whatever_the_records_the_laws_hold(self, seed, wet, decimals):
        chart = make_map(np.round(rain(seed, wet, days=400), decimals), rain(seed + 1, 1 - wet, days=400))
        falling = np.linspace(0, 300, 40)
        mapped = np.stack([apply(field(mm), chart).values for mm in falling])
        there = np.isfinite(chart.from_mm.values[0])
        assert (np.isfinite(mapped) == there).all()
        assert (np.diff(mapped[:, there], axis=0) >= 0).all()
        assert (mapped[0, there] == 0).all()


@pytest.fixture(scope="module")
def archive(make_day, tmp_path_factory):
    """Twenty-five days of each product, of which one each is missing."""
    root = tmp_path_factory.mktemp("archive")
    for n in range(25):
        mine, theirs = (np.resize(record[n], (3, 4)) for record in (SOURCE, TARGET))
        day = FIRST + timedelta(n)
        if n != 7:
            save_day(root, make_day(day, mine, product="CPC-Unified", version="V1.0", published_at=None))
        if n != 8:
            save_day(root, make_day(day, theirs, published_at=None))
    return root


@pytest.fixture(scope="module")
def few():
    """Twenty days are enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantile_map, "LEAST_COMMON_DAYS", 20)
        patch.setattr(quantile_map, "LEAST_WET_DAYS", 5)
        yield


@pytest.fixture(scope="module")
def told():
    """What `on_progress` was told."""
    return []


@pytest.fixture(scope="module")
def made(archive, few, told, tmp_path_factory):
    """A map and its file."""
    path = tmp_path_factory.mktemp("out") / "maps" / "cpc.nc"
    return path, save_quantile_map(
        archive, path, "CPC-Unified", "IMERG-Late", FIRST, MADE_TO, on_progress=lambda *done: told.append(done)
    )


class TestTheFile:
    def test_what_is_saved_is_loaded(self, made):
        path, chart = made
        assert (chart.days, chart.cells, chart.unknown_cells) == (23, 12, 0)
        assert chart.from_mm.shape == (len(SHARES), 3, 4)
        loaded = load_quantile_map(path, "CPC-Unified", "IMERG-Late")
        assert (loaded.source, loaded.target) == ("CPC-Unified", "IMERG-Late")
        assert (loaded.first, loaded.last, loaded.days) == (FIRST, MADE_TO, 23)
        assert loaded.digest == chart.digest
        assert loaded.from_mm.equals(chart.from_mm)
        assert loaded.to_mm.equals(chart.to_mm)
        assert [each.name for each in path.parent.iterdir()] == ["cpc.nc"]

    def test_progress_never_goes_back_and_ends(self, made, told):
        assert told == sorted(told)
        assert told[-1] == (50, 50)

    def test_it_is_fitted_to_the_common_days(self, made):
        common = [n for n in range(25) if n not in (7, 8)]
        mine, theirs = (np.stack([np.resize(each[n], (3, 4)) for n in common]) for each in (SOURCE, TARGET))
        from_mm, to_mm = fit_quantiles(mine.reshape(23, -1), theirs.reshape(23, -1))
        _, chart = made
        assert np.array_equal(chart.from_mm.values.reshape(len(SHARES), -1), from_mm)
        assert np.array_equal(chart.to_mm.values.reshape(len(SHARES), -1), to_mm)

    def test_too_few_days_in_common(self, archive, tmp_path, monkeypatch):
        to = FIRST + timedelta(9)  # of these ten days, one is known to each product alone
        monkeypatch.setattr(quantile_map, "LEAST_COMMON_DAYS", 9)
        with pytest.raises(IncompleteWindow, match=r"CPC-Unified and IMERG-Late have 8 .*needs 9,.*lswarn rain fetch"):
            save_quantile_map(archive, tmp_path / "cpc.nc", "CPC-Unified", "IMERG-Late", FIRST, to)
        assert list(tmp_path.iterdir()) == []

    def test_no_cell_has_enough(self, archive, tmp_path, monkeypatch):
        monkeypatch.setattr(quantile_map, "LEAST_COMMON_DAYS", 5)
        monkeypatch.setattr(quantile_map, "LEAST_WET_DAYS", 9)
        with pytest.raises(IncompleteWindow, match=r"have 6 .*needs 5, 9 of them wet, known to both in some cell"):
            save_quantile_map(archive, tmp_path / "cpc.nc", "CPC-Unified", "IMERG-Late", FIRST, FIRST + timedelta(5))
        assert list(tmp_path.iterdir()) == []

    def test_a_product_without_any_day(self, archive, tmp_path):
        for source, target in (("CHIRPS-rnl", "IMERG-Late"), ("IMERG-Late", "CHIRPS-rnl")):
            with pytest.raises(
                IncompleteWindow, match=r"have 0 archived days in common|none of the days .* is archived"
            ):
                save_quantile_map(archive, tmp_path / "cpc.nc", source, target, FIRST, FIRST + timedelta(3))

    @pytest.mark.parametrize(
        ("source", "target"),
        [("GSMaP-NRT", "IMERG-Late"), ("CPC-Unified", "CHIRPS-sat"), ("IMERG-Late", "CPC-Unified")],
    )
    def test_made_for_other_products(self, made, source, target):
        told = rf"cpc\.nc: maps CPC-Unified to IMERG-Late, not {source} to {target}; .*--from {source} --to {target}"
        with pytest.raises(RegionError, match=told):
            load_quantile_map(made[0], source, target)

    def test_products_of_the_same_family_will_do(self, made):
        assert load_quantile_map(made[0], "CPC-Unified", "IMERG-Final").target == "IMERG-Late"

    def test_no_such_file(self, tmp_path):
        with pytest.raises(RegionError, match=r"quantile_map: .*none\.nc: no such file; .* --from A --to B"):
            load_quantile_map(tmp_path / "none.nc", "A", "B")

    @pytest.mark.parametrize("kind", ["words", "cut", "other"])
    def test_not_a_map(self, made, tmp_path, kind):
        path = tmp_path / f"{kind}.nc"
        match kind:
            case "words":
                path.write_text("no map")
            case "cut":
                path.write_bytes(made[0].read_bytes()[:3000])
            case _:
                xr.Dataset({"rain": ("day", [1.0])}).to_netcdf(path, engine="h5netcdf")
        with pytest.raises(RegionError, match=rf"{kind}\.nc: not a file of `lswarn rain mapping`"):
            load_quantile_map(path, "CPC-Unified", "IMERG-Late")

    def test_the_digest_tells_maps_apart(self):
        assert len({each.digest for each in MAPS.values()}) == len(MAPS)
        assert make_map(SOURCE, TARGET).digest == MAP.digest
