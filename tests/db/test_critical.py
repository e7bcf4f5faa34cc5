"""How much more rain it takes: the rain of a run in the database, and what roads and settlements can take."""

from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from pyproj import Transformer
from sqlalchemy import text

from lswarn.db import critical
from lswarn.db.critical import CriticalRows, CriticalSource
from lswarn.errors import DatabaseError
from lswarn.grid import Block, Grid, sample
from lswarn.hazard.critical import rain_tenths
from lswarn.rain.grade import Grade

DAY = date(2015, 10, 2)
NEXT = DAY + timedelta(days=1)
X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))
LONS, LATS = np.linspace(-84.45, -84.05, 5), np.linspace(36.05, 36.45, 5)
STEP = 0.1
SEEN_MM = 300.0


def rain_file(folder, values, name="rain.tif", **more):
    """Rain [lat, lon], both ascending, as a day's folder holds it."""
    values = np.asarray(values)
    rows, cols = values.shape
    place = Affine(STEP, 0, LONS[0] - STEP / 2, 0, -STEP, LATS[0] + (rows - 0.5) * STEP)
    profile = {"driver": "GTiff", "height": rows, "width": cols, "count": 1, "crs": 4326, "transform": place}
    with rasterio.open(folder / name, "w", **profile | {"dtype": values.dtype} | more) as file:
        file.write(values[::-1], 1)
    return folder / name


def flat(mm):
    return np.full((5, 5), mm, np.float32)


def degrees(east, north):
    return Transformer.from_crs(32616, 4326, always_xy=True).transform(X + east, Y + north)


def keys(conn, table):
    return dict(conn.execute(text(f"SELECT source_id, id FROM lswarn.{table}")).all())


def rows(conn, kind, *found):
    """Critical rainfall of assets: id in the file, class, square, critical mm or None, ground unknown, place in m."""
    of, known = keys(conn, kind), list(zip(*found, strict=True))
    lon, lat = zip(*(degrees(*place) for place in known[5]), strict=True)
    return CriticalRows(
        kind,
        np.array([of[each] for each in known[0]]),
        np.array(known[2]),
        np.array(known[1]),
        np.array([np.nan if mm is None else mm for mm in known[3]]),
        np.array(known[4]),
        np.array(lon),
        np.array(lat),
    )


def record(conn, world, *found, model_id="net"):
    source = CriticalSource("layers-1", model_id, "sum", SEEN_MM)
    critical.record_critical(conn, world.region, source, found, "assets")


def rain(conn, world, values, day=DAY, *, folder=None, lower_bound=False, **which):
    run_id = world.publish(conn, day=day, **which).run_id
    path = rain_file(folder or world.folder, values, f"{day}-{run_id}.tif")
    critical.record_rain(conn, run_id, path, lower_bound=lower_bound)
    return run_id


def to_go(conn, kind="road", warned=5, asset="r1"):
    query = text("""SELECT status, critical_mm, rain_mm, to_go_mm, beyond_model FROM lswarn.rain_to_go_now
                    WHERE kind = :kind AND class = :warned AND source_id = :asset""")
    found = conn.execute(query, {"kind": kind, "warned": warned, "asset": asset}).one()
    return tuple(round(value, 4) if isinstance(value, float) else value for value in found)


def rain_at(conn, lon, lat, day=DAY, more=""):
    query = f"SELECT lswarn.rain_at(ST_SetSRID(ST_MakePoint({lon}, {lat}), 4326), '{day}'{more})"
    return conn.execute(text(query)).scalar()


class TestRainAt:
    @pytest.fixture
    def field(self):
        values = np.random.default_rng(3).uniform(0, 400, (5, 5)).astype(np.float32)
        values[0, 4] = np.nan
        return values

    def test_as_the_model_is_given_it(self, recorded, conn, field):
        rain(conn, recorded, field)
        grid = Grid("EPSG:4326", Affine(0.011, 0, -84.47, 0, -0.011, 36.47), 40, 40)
        given_ = xr.DataArray(field, {"lat": LATS, "lon": LONS}, ("lat", "lon"))
        lon, lat = grid.lonlat(Block(0, 0, 40, 40))
        query = text("""SELECT lswarn.rain_at(ST_SetSRID(ST_MakePoint(lon, lat), 4326), :day)
                        FROM unnest(cast(:lon AS float8[]), cast(:lat AS float8[])) AS place (lon, lat)""")
        facts = {"day": DAY, "lon": lon.ravel().tolist(), "lat": lat.ravel().tolist()}
        found = [np.nan if mm is None else mm for mm in conn.execute(query, facts).scalars()]
        wanted = sample(given_, grid, grid.whole).ravel()
        assert np.isnan(wanted).sum() > 100
        np.testing.assert_allclose(found, wanted, rtol=1e-5)

    def test_at_the_centres_and_beyond_the_outermost(self, recorded, conn, field):
        rain(conn, recorded, field)
        assert rain_at(conn, LONS[1], LATS[2]) == pytest.approx(field[2, 1])
        assert rain_at(conn, LONS[0] + 1e-9, LATS[4] - 1e-9) == pytest.approx(field[4, 0], abs=1e-4)
        assert rain_at(conn, LONS[4] - 0.01, LATS[0] + 0.01) is None, "one of the four is unknown"
        assert rain_at(conn, LONS[0] - 0.01, LATS[2]) is None
        assert rain_at(conn, LONS[2], LATS[4] + 0.01) is None
        assert rain_at(conn, 10, 50) is None

    def test_other_days_regions_and_kinds(self, recorded, conn):
        rain(conn, recorded, flat(80))
        recorded.publish(conn, "hindcast")
        assert rain_at(conn, -84.2, 36.2) == 80
        assert rain_at(conn, -84.2, 36.2, more=", in_region => 'testland'") == 80
        assert rain_at(conn, -84.2, 36.2, NEXT) is None
        assert rain_at(conn, -84.2, 36.2, more=", in_region => 'elsewhere'") is None
        assert rain_at(conn, -84.2, 36.2, more=", of_kind => 'hindcast'") is None

    def test_tenths_with_nodata_are_read_by_their_scale(self, recorded, conn, tmp_path):
        run_id = recorded.publish(conn).run_id
        tenths = np.full((5, 5), 813, np.uint16)
        tenths[0, 0] = 65535
        path = rain_file(tmp_path, tenths, nodata=65535)
        with rasterio.open(path, "r+") as file:
            file.scales = (0.1,)
        conn.execute(text("DELETE FROM lswarn.run_rain"))
        critical.record_rain(conn, run_id, path)
        assert rain_at(conn, -84.2, 36.3) == pytest.approx(81.3)
        assert rain_at(conn, LONS[0] + 0.01, LATS[0] + 0.01) is None

    def test_a_damaged_file_is_named(self, recorded, conn, tmp_path):
        (tmp_path / "broken.tif").write_bytes(b"no rain")
        with pytest.raises(DatabaseError, match=r"broken\.tif: the day's rain cannot be read.*run the day again"):
            critical.record_rain(conn, recorded.publish(conn).run_id, tmp_path / "broken.tif")


class TestRainToGo:
    def test_the_place_that_is_nearest_to_it_counts(self, recorded, conn):
        record(
            conn,
            recorded,
            rows(
                conn,
                "road",
                ("r1", 5, 0, 120.0, False, (-2500, 0)),
                ("r1", 5, 1, 123.0, False, (2500, 0)),
                ("r1", 4, 0, 90.0, False, (-2500, 0)),
                ("r1", 4, 1, 130.0, False, (2500, 0)),
            ),
        )
        rising = np.tile(np.linspace(60, 100, 5), (5, 1)).astype(np.float32)
        rain(conn, recorded, rising)
        lon, lat = degrees(2500, 0)
        there = 60 + (lon - LONS[0]) / STEP * 10
        status, critical_mm, rain_mm, missing, beyond = to_go(conn)
        assert (status, critical_mm, beyond) == ("known", 123, False)
        assert rain_mm == pytest.approx(there, abs=1e-3)
        assert missing == round(123 - np.floor(10 * there) / 10, 4)
        assert to_go(conn, warned=4)[1] == 90
        query = text("SELECT ST_X(geometry), ST_Y(geometry) FROM lswarn.rain_to_go_now WHERE to_go_mm = :missing")
        assert conn.execute(query, {"missing": missing}).one() == pytest.approx((lon, lat))

    @pytest.mark.parametrize(
        ("critical_mm", "ground_unknown", "mm", "expected"),
        [
            (120.0, False, 80.0, ("known", 120, 80, 40, False)),
            (120.0, False, 119.9, ("known", 120, 119.9, 0.1, False)),
            (120.3, False, 120.3, ("reached", 120.3, 120.3, 0, False)),
            (120.0, False, 250.0, ("reached", 120, 250, 0, False)),
            (0.0, False, 0.0, ("reached", 0, 0, 0, False)),
            (120.0, True, 80.0, ("at_most", 120, 80, 40, False)),
            (120.0, True, 130.0, ("reached", 120, 130, 0, False)),
            (None, False, 80.0, ("never", None, None, None, False)),
            (None, True, 80.0, ("unknown", None, None, None, False)),
            (120.0, False, np.nan, ("unknown", None, None, None, None)),
            (0.0, False, np.nan, ("unknown", None, None, None, None)),
            (None, False, np.nan, ("unknown", None, None, None, None)),
            (None, False, 310.0, ("beyond_model", None, None, None, True)),
            (None, False, 300.0, ("never", None, None, None, False)),
            (120.0, False, 310.0, ("reached", 120, 310, 0, True)),
        ],
    )
    def test_one_place(self, recorded, conn, critical_mm, ground_unknown, mm, expected):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, critical_mm, ground_unknown, (0, 0))))
        rain(conn, recorded, flat(mm))
        found = to_go(conn)
        assert found == pytest.approx(expected, abs=1e-3)

    def test_rain_that_is_unknown_over_a_part_of_it(self, recorded, conn):
        both = (("r1", 5, 0, 120.0, False, (-2900, 0)), ("r1", 5, 1, 110.0, False, (2900, 0)))
        record(conn, recorded, rows(conn, "road", *both))
        partly = flat(80)
        partly[:, :2] = np.nan
        rain(conn, recorded, partly)
        assert degrees(-2900, 0)[0] < LONS[2] < degrees(2900, 0)[0]
        assert to_go(conn) == ("at_most", 110, 80, 30, False)

    def test_beyond_the_model_on_a_part_that_never_gets_there(self, recorded, conn):
        both = (("r1", 5, 0, None, False, (-2900, 0)), ("r1", 5, 1, 299.0, False, (2900, 0)))
        record(conn, recorded, rows(conn, "road", *both))
        torrent = flat(100)
        torrent[:, :2] = 2000
        rain(conn, recorded, torrent)
        assert to_go(conn) == ("at_most", 299, 100, 199, True)

    def test_a_lower_bound_of_rain_may_be_more(self, recorded, conn):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        rain(conn, recorded, flat(80), lower_bound=True)
        assert to_go(conn)[0] == "at_most"
        rain(conn, recorded, flat(80), NEXT, grade=Grade.D)
        assert to_go(conn)[0] == "at_most"
        rain(conn, recorded, flat(130), NEXT + timedelta(days=1), grade=Grade.D)
        assert to_go(conn)[0] == "reached"

    def test_what_has_not_been_looked_up_is_unknown(self, recorded, conn):
        rain(conn, recorded, flat(80))
        assert to_go(conn) == ("unknown", None, None, None, None)
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        assert to_go(conn)[0] == "known"
        assert to_go(conn, asset="r2")[0] == "unknown"
        assert to_go(conn, "settlement", asset="town")[0] == "unknown"

    def test_a_run_of_another_model_is_not_compared(self, recorded, conn):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        rain(conn, recorded, flat(80))
        copy = """INSERT INTO lswarn.model (region, id, role, path, snapshot_id, metrics, made_at)
                  SELECT region, 'new', 'candidate', path, snapshot_id, metrics, made_at FROM lswarn.model"""
        conn.execute(text(copy))
        conn.execute(text("UPDATE lswarn.critical_source SET model_id = 'new'"))
        assert to_go(conn)[0] == "unknown"

    def test_a_run_whose_rain_is_not_kept(self, recorded, conn):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        rain(conn, recorded, flat(80))
        conn.execute(text("DELETE FROM lswarn.run_rain"))
        assert to_go(conn) == ("unknown", None, None, None, None)
        assert rain_at(conn, -84.2, 36.2) is None

    def test_settlements_and_areas_and_an_older_day(self, recorded, conn):
        record(
            conn,
            recorded,
            rows(conn, "settlement", ("town", 5, 0, 95.5, False, (-1500, 1000))),
            rows(conn, "warning_area", ("west", 5, 0, 50.0, False, (-1500, 1000))),
        )
        rain(conn, recorded, flat(80))
        rain(conn, recorded, flat(20), NEXT)
        assert to_go(conn, "settlement", asset="town") == ("known", 95.5, 20, 75.5, False)
        query = text("""SELECT kind, source_id, to_go_mm FROM lswarn.rain_to_go('2015-10-02', 'testland')
                        WHERE to_go_mm IS NOT NULL AND class = 5 ORDER BY kind""")
        assert conn.execute(query).all() == [("settlement", "town", 15.5), ("warning_area", "west", 0.0)]

    def test_retired_assets_are_not_asked(self, recorded, conn):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        rain(conn, recorded, flat(80))
        conn.execute(text("UPDATE lswarn.road SET retired_at = now() WHERE source_id = 'r1'"))
        query = "SELECT DISTINCT source_id FROM lswarn.rain_to_go_now WHERE kind = 'road'"
        assert conn.execute(text(query)).scalars().all() == ["r2"]

    def test_reached_exactly_when_the_cell_is_in_the_class(self, recorded, conn):
        """Rain in tenths, rounded down, against tenths rounded up: the rule of the day's classes."""
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 0.0, False, (0, 0))))
        run_id = rain(conn, recorded, flat(0))
        random = np.random.default_rng(8)
        for tenths in (3, 7, 81, 123, 1203, 2999):
            for mm in np.float32(tenths / 10) + np.float32([-0.1, -1e-5, 0, 1e-5]) * random.uniform(0.5, 1):
                conn.execute(text("DELETE FROM lswarn.run_rain"))
                critical.record_rain(conn, run_id, rain_file(recorded.folder, flat(mm)))
                conn.execute(text("UPDATE lswarn.asset_critical SET critical_mm = :mm"), {"mm": tenths / 10})
                reached = rain_tenths(np.array([mm]), 1e4)[0] >= tenths
                assert (to_go(conn)[0] == "reached") == reached


class TestPressed:
    def test_the_most_pressed_first(self, recorded, conn):
        record(
            conn,
            recorded,
            rows(
                conn,
                "road",
                ("r1", 5, 0, 120.0, False, (0, 0)),
                ("r2", 5, 0, None, False, (0, -1500)),
            ),
            rows(conn, "settlement", ("town", 5, 0, 85.0, False, (-1500, 1000))),
        )
        rain(conn, recorded, flat(80))
        found = critical.find_pressed(conn, recorded.region)
        assert [(each.source_id, each.status, each.to_go_mm) for each in found[:3]] == [
            ("town", "known", 5.0),
            ("r1", "known", 40.0),
            ("hamlet", "unknown", None),
        ]
        assert found[-1].source_id == "r2"
        roads = critical.find_pressed(conn, recorded.region, kinds=("road",), most=1)
        assert [(each.name, each.ref) for each in roads] == [("Long Road", "I-1")]
        assert (roads[0].critical_mm, roads[0].rain_mm) == (120, 80)
        assert (roads[0].lon, roads[0].lat) == pytest.approx(degrees(0, 0))


class TestLookedUp:
    def test_again_only_where_layers_or_assets_have_changed(self, recorded, conn):
        region = recorded.region
        assert not critical.is_current(conn, region, "layers-1")
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0))))
        assert critical.find_assets_digest(conn, region) == "assets"
        assert critical.is_current(conn, region, "layers-1")
        assert not critical.is_current(conn, region, "layers-2")
        conn.execute(text("UPDATE lswarn.region SET assets_digest = 'others'"))
        assert not critical.is_current(conn, region, "layers-1")

    def test_takes_the_place_of_what_was_there(self, recorded, conn):
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 120.0, False, (0, 0)), ("r1", 5, 9, 7.0, False, (0, 0))))
        record(conn, recorded, rows(conn, "road", ("r1", 5, 0, 130.0, False, (0, 0))))
        assert conn.execute(text("SELECT critical_mm FROM lswarn.asset_critical")).scalars().all() == [130]

    def test_shapes_come_in_batches(self, recorded, conn):
        found = list(critical.find_shapes(conn, recorded.region, "road", 1))
        assert [len(ids) for ids, _ in found] == [1, 1]
        assert {ids[0] for ids, _ in found} == set(keys(conn, "road").values())
        assert {shapes[0].geom_type for _, shapes in found} == {"MultiLineString"}

    def test_an_unrecorded_region(self, world, conn):
        with pytest.raises(DatabaseError, match="lswarn region build"):
            critical.find_assets_digest(conn, world.region)
