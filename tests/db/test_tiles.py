"""Class maps in PostGIS, and the functions for analysts that stand on them."""

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.windows import from_bounds
from sqlalchemy import text
from tifffile import TiffFile

from lswarn.db import store
from lswarn.db.tiles import TILE_CELLS, load_tiles, record_tiles
from lswarn.errors import DatabaseError
from lswarn.rain.grade import Grade

DAY = date(2015, 10, 2)
NEXT = DAY + timedelta(days=1)
X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))


def metres(wkt, *shifts):
    """A shape in UTM, its numbers being metres east and north of the world's middle: `POINT({} {})`, 10, 20."""
    moved = [(X if i % 2 == 0 else Y) + shift for i, shift in enumerate(shifts)]
    return f"ST_GeomFromText('{wkt.format(*moved)}', 32616)"


def point(east, north):
    return metres("POINT({} {})", east, north)


def class_at(conn, shape, day=DAY, more=""):
    return conn.execute(text(f"SELECT lswarn.class_at({shape}, '{day}'{more})")).scalar()


def exposure_of(conn, shape, day=DAY, more=""):
    rows = conn.execute(text(f"SELECT * FROM lswarn.exposure_of({shape}, '{day}'{more})"))
    return {row["class"]: SimpleNamespace(**row) for row in rows.mappings()}


def tiles(conn):
    return conn.execute(text("SELECT count(*) FROM lswarn.class_tile")).scalar()


class TestTiles:
    def test_every_cell_is_where_it_was_on_disk(self, recorded, conn):
        run_id = recorded.publish(conn).run_id
        with rasterio.open(recorded.assessment().classes) as file:
            cells, place = file.read(1), file.transform
        query = text("""
            SELECT tile_row, tile_col, ST_UpperLeftX(rast) AS x, ST_UpperLeftY(rast) AS y, ST_SRID(rast) AS srid,
                   ST_PixelWidth(rast) AS side, ST_BandNoDataValue(rast) AS nodata, (ST_DumpValues(rast, 1)) AS values
            FROM lswarn.run_tile JOIN lswarn.class_tile USING (sha256)
            WHERE run_id = :run_id ORDER BY tile_row, tile_col""")
        found = conn.execute(query, {"run_id": run_id}).all()
        assert [(tile.tile_row, tile.tile_col) for tile in found] == [(0, 0), (0, 1)]
        assert {(tile.srid, tile.side, tile.nodata) for tile in found} == {(32616, 12.5, None)}
        assert [(tile.x, tile.y) for tile in found] == [place @ (0, 0), place @ (TILE_CELLS, 0)]
        assert (np.hstack([np.array(tile.values) for tile in found]) == cells).all()

    def test_only_what_changed_is_stored(self, recorded, conn):
        recorded.publish(conn)
        assert tiles(conn) == 2
        recorded.publish(conn, day=NEXT)
        assert tiles(conn) == 2
        recorded.publish(conn, day=NEXT + timedelta(days=1), zones=("half of the hamlet",))
        assert tiles(conn) == 3, "the tile in the east is the same"
        recorded.publish(conn, day=NEXT + timedelta(days=2), zones=("high", "half of the hamlet"))
        assert tiles(conn) == 4
        assert class_at(conn, point(1100, 0)) == 4
        assert class_at(conn, point(1100, 0), NEXT + timedelta(days=1)) == 2

    @pytest.fixture
    def packed(self, recorded, tmp_path):
        """The day's class map as `hazard.assess` writes it; a tile is cut off in the east and south."""
        path = tmp_path / "packed.tif"
        with rasterio.open(recorded.assessment().classes) as file:
            cells, place = file.read(1), file.transform
        profile = {"driver": "GTiff", "height": 400, "width": 720, "count": 1, "crs": 32616, "transform": place}
        tiled = {"tiled": True, "blockxsize": TILE_CELLS, "blockysize": TILE_CELLS, "compress": "deflate"}
        with rasterio.open(path, "w", dtype="uint8", **profile, **tiled) as file:
            file.write(cells, 1)
        return path

    def test_packed_tiles_are_stored_as_they_lie_on_disk(self, recorded, packed, conn):
        run_id = recorded.publish(conn).run_id
        plain = list(load_tiles(recorded.assessment().classes))
        deflated = list(load_tiles(packed))
        assert [tile.packed for tile in plain + deflated] == [False, False, True, True]
        assert [tile.wkb for tile in plain] == [tile.wkb for tile in deflated]
        assert sum(len(tile.cells) for tile in deflated) < 10_000
        conn.execute(text("DELETE FROM lswarn.run_tile"))
        assert record_tiles(conn, run_id, packed) == 2
        conn.execute(text("DELETE FROM lswarn.run_tile"))
        assert record_tiles(conn, run_id, packed) == 0
        assert class_at(conn, point(1100, 0)) == 4
        assert class_at(conn, point(4499, -2499)) == 1

    def test_a_tile_that_is_no_tile_is_named(self, recorded, packed, conn):
        run_id = recorded.publish(conn).run_id
        conn.execute(text("DELETE FROM lswarn.run_tile"))
        with TiffFile(packed) as tiff:
            at = tiff.pages.first.dataoffsets[1]
        with packed.open("r+b") as file:
            file.seek(at)
            file.write(b"damage")
        with pytest.raises(DatabaseError, match=r"packed\.tif: the class map cannot be read.*run the day again"):
            record_tiles(conn, run_id, packed)

    def test_maps_in_smaller_tiles_of_older_runs_are_read(self, recorded, conn):
        run_id = recorded.publish(conn).run_id
        before = exposure_of(conn, TestExposureOf.LINE)
        conn.execute(text("DELETE FROM lswarn.run_tile"))
        for tile in load_tiles(recorded.assessment().classes, 256):
            for statement in (
                "INSERT INTO lswarn.class_tile (sha256, rast) VALUES (:sha256, ST_RastFromWKB(:wkb))",
                "INSERT INTO lswarn.run_tile VALUES (:run_id, :row, :col, :sha256)",
            ):
                facts = {"run_id": run_id, "row": tile.row, "col": tile.col, "sha256": tile.sha256, "wkb": tile.wkb}
                conn.execute(text(statement), facts)
        assert class_at(conn, point(1100, 0)) == 4
        assert class_at(conn, point(3500, -1500)) == 0
        after = exposure_of(conn, TestExposureOf.LINE)
        assert {c: row.length_m for c, row in after.items()} == pytest.approx(
            {c: row.length_m for c, row in before.items()}
        )

    def test_a_superseded_run_has_no_map_any_more(self, recorded, conn):
        first = recorded.publish(conn).run_id
        recorded.publish(conn, key="k2", zones=())
        assert class_at(conn, point(1100, 0)) == 2
        rows = conn.execute(text("SELECT count(*) FROM lswarn.run_tile WHERE run_id = :id"), {"id": first})
        assert rows.scalar() == 0

    def test_a_damaged_map_is_named(self, recorded, conn, tmp_path):
        run_id = recorded.publish(conn).run_id
        broken = tmp_path / "broken.tif"
        broken.write_bytes(b"no map")
        with pytest.raises(DatabaseError, match=r"broken\.tif: the class map cannot be read.*run the day again"):
            record_tiles(conn, run_id, broken)
        unplaced = tmp_path / "unplaced.tif"
        profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint8"}
        with rasterio.open(unplaced, "w", **profile, transform=Affine(2, 0, 0, 0, -2, 0)) as file:
            file.write(np.zeros((1, 2, 2), dtype="uint8"))
        with pytest.raises(DatabaseError, match=r"unplaced\.tif: its CRS has no EPSG code"):
            list(load_tiles(unplaced))

    def test_the_same_cells_elsewhere_are_another_tile(self, recorded):
        one, other = load_tiles(recorded.class_map([]), 200), load_tiles(recorded.class_map([]), 200)
        digests = [tile.sha256 for tile in one]
        assert digests == [tile.sha256 for tile in other]
        assert len(set(digests)) == len(digests) == 8

    def test_the_view_for_maps_shows_the_newest_day(self, recorded, conn):
        recorded.publish(conn)
        recorded.publish(conn, day=NEXT, zones=())
        rows = conn.execute(text("SELECT region, valid_day, id FROM lswarn.current_class_tile ORDER BY id")).all()
        assert [row[:2] for row in rows] == [("testland", NEXT)] * 2
        assert rows[0].id != rows[1].id


class TestClassAt:
    @pytest.mark.parametrize(
        ("east", "north", "expected"),
        [
            (-3000, 1000, 2),
            (-1750, 750, 5),
            (1100, 0, 4),
            (3500, -1500, 0),
            (4200, 0, 1),
            (-4499, 2499, 1),
            (4499, -2499, 1),
            (-4501, 0, None),
            (4501, 0, None),
            (0, 2501, None),
            (0, -2501, None),
            (500_000, 0, None),
        ],
    )
    def test_all_five_unknown_and_outside(self, recorded, conn, east, north, expected):
        recorded.publish(conn)
        assert class_at(conn, point(east, north)) == expected
        assert class_at(conn, f"ST_Transform({point(east, north)}, 4326)") == expected

    def test_every_cell_of_the_map(self, recorded, conn):
        recorded.publish(conn)
        query = text("""
            SELECT lswarn.class_at(ST_SetSRID(ST_MakePoint(x, y), 32616), :day)
            FROM generate_series(cast(:top AS integer), :top - 4975, -475) AS y
            CROSS JOIN generate_series(cast(:left AS integer), :left + 8975, 475) AS x""")
        place = {"day": DAY, "left": X - 4490, "top": Y + 2490}
        found = conn.execute(query, place).scalars().all()
        with rasterio.open(recorded.assessment().classes) as file:
            cells = file.read(1)
        assert found == cells[::38, ::38].ravel().tolist()

    @pytest.mark.parametrize("shape", ["ST_MakePoint(0, 90)", "ST_MakePoint(179, -60)", "ST_MakePoint(-84.25, 90)"])
    def test_the_other_end_of_the_world_is_outside(self, recorded, conn, shape):
        recorded.publish(conn)
        assert class_at(conn, f"ST_SetSRID({shape}, 4326)") is None

    def test_without_a_run_or_of_another_region_nothing_is_said(self, recorded, conn):
        recorded.publish(conn)
        there = point(1100, 0)
        assert class_at(conn, there, NEXT) is None
        assert class_at(conn, there, DAY, ", 'elsewhere'") is None
        assert class_at(conn, there, DAY, ", 'testland'") == 4
        assert class_at(conn, there, DAY, ", of_kind => 'outlook'") is None

    def test_days_ahead_are_asked_for_by_name(self, recorded, conn):
        recorded.ahead(conn)
        assert class_at(conn, point(1100, 0), NEXT) is None
        assert class_at(conn, point(1100, 0), NEXT, ", of_kind => 'outlook'") == 4

    def test_where_regions_overlap_the_highest_counts(self, recorded, conn, make_region):
        recorded.publish(conn, zones=())
        other = make_region(name="other")
        for statement in (
            "INSERT INTO lswarn.region SELECT 'other', title, srid, geometry, rules_digest, 'd' FROM lswarn.region",
            "INSERT INTO lswarn.model SELECT 'other', id, role, path, snapshot_id, metrics, made_at FROM lswarn.model",
        ):
            conn.execute(text(statement))
        found = recorded.assessment(zones=("high",))
        empty = found.class_areas.iloc[:0]
        object.__setattr__(found, "class_areas", empty)
        store.publish(conn, other, found, software="0.1", published_at="2015-10-03T00:00Z")
        assert class_at(conn, point(1100, 0)) == 4
        assert class_at(conn, point(1100, 0), DAY, ", 'testland'") == 2
        assert class_at(conn, point(3500, -1500)) == 0


class TestExposureOf:
    LINE = metres("LINESTRING({} {}, {} {})", -3000, 10, 3000, 10)

    def test_a_line_is_cut_where_its_cells_are(self, recorded, conn):
        recorded.publish(conn)
        found = exposure_of(conn, self.LINE)
        assert set(found) == {5, 4, 2}
        assert found[5].length_m == pytest.approx(800, abs=0.5)
        assert found[4].length_m == pytest.approx(200, abs=0.5)
        assert found[2].length_m == pytest.approx(5000, abs=0.5)
        assert found[5].probability_max == 0.8
        assert found[4].probability_max == 0.81
        assert found[2].probability_max is None
        assert {(row.region, row.points, row.area_m2) for row in found.values()} == {("testland", None, None)}

    def test_it_agrees_with_the_exposure_of_a_road(self, recorded, conn):
        recorded.publish(conn)
        road = "(SELECT geometry FROM lswarn.road WHERE source_id = 'r1')"
        # The road lies on a border of cells: move it into them.
        found = exposure_of(conn, f"ST_Translate({road}, 0, 0.0001)")
        stored = dict(conn.execute(text("SELECT class, sum(length_m) FROM lswarn.road_exposure GROUP BY class")).all())
        assert {c: pytest.approx(m, abs=1) for c, m in stored.items()} == {c: found[c].length_m for c in (4, 5)}

    def test_unknown_and_what_lies_on_no_map_are_named_apart(self, recorded, conn):
        recorded.publish(conn)
        found = exposure_of(conn, metres("LINESTRING({} {}, {} {})", 2500, -1510, 5500, -1510))
        assert {c: round(row.length_m) for c, row in found.items()} == {
            2: 500,
            0: 1000,
            1: 500,
            None: pytest.approx(1000, abs=3),
        }
        assert found[None].region is None
        found = exposure_of(conn, self.LINE, NEXT)
        assert {c: round(row.length_m, -2) for c, row in found.items()} == {None: 6000}

    def test_a_polygon_is_cut_within_its_cells(self, recorded, conn):
        recorded.publish(conn)
        corners = (-2010, 990, -1990, 990, -1990, 1010, -2010, 1010, -2010, 990)
        found = exposure_of(conn, metres("POLYGON(({} {}, {} {}, {} {}, {} {}, {} {}))", *corners))
        assert {c: row.area_m2 for c, row in found.items()} == {
            5: pytest.approx(100, 0.02),
            2: pytest.approx(300, 0.02),
        }
        assert found[5].length_m is None

    def test_points_are_counted(self, recorded, conn):
        recorded.publish(conn)
        found = exposure_of(
            conn, metres("MULTIPOINT({} {}, {} {}, {} {}, {} {})", 1100, 0, 1110, 10, 3500, -1500, 9000, 0)
        )
        assert {c: row.points for c, row in found.items()} == {4: 2, 0: 1, None: 1}

    def test_several_things_at_once(self, recorded, conn):
        recorded.publish(conn)
        both = f"ST_Collect({self.LINE}, {point(1100, 0)})"
        found = exposure_of(conn, both)
        assert (found[4].points, round(found[4].length_m), found[4].area_m2) == (1, 200, None)
        assert (found[5].points, round(found[5].length_m)) == (0, 800)

    @pytest.mark.parametrize("shape", ["NULL", "ST_GeomFromText('POLYGON EMPTY', 4326)"])
    def test_nothing_is_nowhere(self, recorded, conn, shape):
        recorded.publish(conn)
        assert exposure_of(conn, shape) == {}

    def test_crossed_and_raised_shapes_are_understood(self, recorded, conn):
        recorded.publish(conn)
        bowtie = metres(
            "POLYGON(({} {}, {} {}, {} {}, {} {}, {} {}))", 1010, -40, 1090, 40, 1090, -40, 1010, 40, 1010, -40
        )
        assert exposure_of(conn, bowtie)[4].area_m2 == pytest.approx(3200, 0.01)
        found = exposure_of(conn, f"ST_Force3D({self.LINE})")
        assert found[5].length_m == pytest.approx(800, abs=0.5)

    def test_a_line_around_the_world_is_cut_first(self, recorded, conn):
        recorded.publish(conn)
        found = exposure_of(conn, "ST_GeomFromText('LINESTRING(-170 36.275, 170 36.275)', 4326)")
        assert sum(row.length_m for c, row in found.items() if c is not None) == pytest.approx(9000, abs=50)
        assert found[None].length_m > 16e6

    def test_what_is_told_is_the_whole(self, recorded, conn):
        recorded.publish(conn)
        corners = (-4000, -2400, 6000, -2400, 6000, 2400, -4000, 2400, -4000, -2400)
        found = exposure_of(conn, metres("POLYGON(({} {}, {} {}, {} {}, {} {}, {} {}))", *corners))
        assert sum(row.area_m2 for row in found.values()) == pytest.approx(10_000 * 4_800, rel=1e-3)
        with rasterio.open(recorded.assessment().classes) as file:
            window = from_bounds(X - 4000, Y - 2400, X + 4500, Y + 2400, file.transform)
            cells = np.bincount(file.read(1, window=window).ravel(), minlength=6)
        for found_class in range(6):
            m2 = found[found_class].area_m2 if found_class in found else 0
            assert m2 == pytest.approx(cells[found_class] * 156.25, rel=0.01)


class TestSummary:
    @staticmethod
    def summary(conn, day=DAY, more=""):
        rows = conn.execute(text(f"SELECT * FROM lswarn.summary('{day}'{more})"))
        return {row["area_id"]: SimpleNamespace(**row) for row in rows.mappings()}

    def test_a_known_day(self, recorded, conn):
        recorded.publish(conn)
        found = self.summary(conn)
        west, east = found["west"], found["east"]
        assert (west.status, west.grade, west.at_least) == ("complete", "A", False)
        assert (west.unknown_m2, west.very_low_m2, west.very_high_m2) == (0, 1000, 5000)
        assert (round(west.road_km, 3), round(west.very_high_road_km, 3)) == (0.5, 0.5)
        assert (round(east.road_km, 3), round(east.very_high_road_km, 3)) == (0.5, 0.3)
        assert (west.settlements, west.people, west.settlements_uncounted) == (1, 500, 0)
        assert (east.settlements, east.people, east.settlements_uncounted) == (1, 0, 1)

    def test_none_is_zero_and_unknown_is_null(self, recorded, conn):
        recorded.publish(conn, zones=())
        recorded.publish(conn, day=NEXT, grade=Grade.E, model_id="", zones=())
        assert (self.summary(conn)["west"].road_km, self.summary(conn)["west"].people) == (0, 0)
        # Made numbers say that cells are known; on a day when none is, nothing is.
        conn.execute(text("UPDATE lswarn.class_area SET area_m2 = 0 WHERE class > 0"))
        for day, status in ((DAY, "complete"), (NEXT, "unknown"), (NEXT + timedelta(days=1), "no run")):
            west = self.summary(conn, day)["west"]
            assert (west.status, west.at_least) == (status, True)
            assert (west.road_km, west.settlements, west.people, west.very_high_people) == (None,) * 4
        assert self.summary(conn, NEXT + timedelta(days=1))["west"].unknown_m2 is None

    def test_a_part_that_is_unknown_makes_the_rest_a_lower_bound(self, recorded, conn):
        recorded.publish(conn)
        conn.execute(text("UPDATE lswarn.class_area SET area_m2 = 5 WHERE class = 0"))
        west = self.summary(conn)["west"]
        assert (west.at_least, round(west.road_km, 1)) == (True, 0.5)

    def test_of_one_region_or_kind(self, recorded, conn):
        recorded.ahead(conn)
        assert self.summary(conn, DAY, ", 'nowhere'") == {}
        assert self.summary(conn, NEXT, ", 'testland', 'outlook'")["west"].status == "modelled"
