"""Roads, settlements and warning areas as people's files hold them; an extract of OpenStreetMap is encoded here."""

import logging
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pydantic import ValidationError
from pyproj import Transformer
from shapely import LineString, MultiPolygon, Point, Polygon, box

from lswarn.assets import load_asset, people_of
from lswarn.errors import RegionError
from lswarn.region import Region
from lswarn.sections import Asset

ROAD = LineString([(-84.3, 36.2), (-84.2, 36.2)])
NAMES = ["<b>Main</b> & 'Co'", 'a "quoted"; DROP', "שדרות הנשיא", "two\nlines", "Straße 🏔", ""]


# ── .osm.pbf, by hand: GDAL reads it and nothing here writes it ──────────────────────────────────────────────────────


def varint(number: int) -> bytes:
    found = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def packed(numbers: Iterable[int]) -> bytes:
    return b"".join(map(varint, numbers))


def steps(numbers: Iterable[int]) -> bytes:
    found = list(numbers)
    return packed(zigzag(b - a) for a, b in zip([0, *found], found, strict=False))


class Extract:
    """A few nodes, ways and relations, and their tags."""

    def __init__(self) -> None:
        self.words, self.nodes, self.ways, self.relations = [b""], b"", b"", b""

    def _tags(self, tags: dict[str, str]) -> bytes:
        def place(word: str) -> int:
            self.words.append(word.encode())
            return len(self.words) - 1

        if not tags:
            return b""
        pairs = [(place(key), place(value)) for key, value in tags.items()]
        return field(2, packed(key for key, _ in pairs)) + field(3, packed(value for _, value in pairs))

    def node(self, number: int, lon: float, lat: float, **tags: str) -> int:
        where = field(8, zigzag(round(lat * 1e7))) + field(9, zigzag(round(lon * 1e7)))
        self.nodes += field(1, field(1, zigzag(number)) + self._tags(tags) + where)
        return number

    def way(self, number: int, points: list[tuple[float, float]], tags: dict[str, str]) -> int:
        corners = [self.node(1000 * number + n, *point) for n, point in enumerate(points)]
        if len(points) > 2 and points[0] == points[-1]:
            corners[-1] = corners[0]
        self.ways += field(3, field(1, number) + self._tags(tags) + field(8, steps(corners)))
        return number

    def relation(self, number: int, outer: list[int], tags: dict[str, str]) -> None:
        self.words.append(b"outer")
        role = len(self.words) - 1
        members = field(8, packed([role] * len(outer))) + field(9, steps(outer)) + field(10, packed([1] * len(outer)))
        self.relations += field(4, field(1, number) + self._tags(tags) + members)

    def save(self, path: Path) -> Path:
        table = field(1, b"".join(field(1, word) for word in self.words))
        groups = b"".join(field(2, group) for group in (self.nodes, self.ways, self.relations))
        box_ = [round(degrees * 1e9) for degrees in (-84.4, -84.1, 36.4, 36.15)]
        head = field(1, b"".join(field(n, zigzag(edge)) for n, edge in enumerate(box_, 1)))
        head += field(4, b"OsmSchema-V0.6")
        path.write_bytes(self._blob("OSMHeader", head) + self._blob("OSMData", table + groups))
        return path

    @staticmethod
    def _blob(kind: str, content: bytes) -> bytes:
        blob = field(2, len(content)) + field(3, zlib.compress(content))
        head = field(1, kind.encode()) + field(3, len(blob))
        return struct.pack(">I", len(head)) + head + blob


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Extract()
    made.node(7, -84.31, 36.21, place="village", name="Unicoi ☂", population="1 234")
    made.node(8, -84.32, 36.22, place="hamlet", name="קרית", population="about 40")
    made.node(9, -84.33, 36.23, place="locality", name="Nobody's")
    made.node(10, -80.0, 36.23, place="town", name="Far away")
    made.way(7, [(-84.3, 36.2), (-84.2, 36.2)], {"highway": "primary", "ref": "US 27", "name": 'The "Big" <Road>'})
    made.way(8, [(-84.3, 36.3), (-84.2, 36.3)], {"highway": "track", "name:en": "Mud"})
    made.way(9, [(-84.3, 36.25), (-84.29, 36.25), (-84.29, 36.26), (-84.3, 36.25)], {"highway": "residential"})
    made.way(10, [(-84.3, 36.3), (-84.2, 36.31)], {"waterway": "river"})
    ring = [(-84.35, 36.2), (-84.25, 36.2), (-84.25, 36.3), (-84.35, 36.3), (-84.35, 36.2)]
    made.way(11, ring, {"boundary": "administrative", "admin_level": "8", "name": "Parish"})
    outer = made.way(12, [(lon - 0.05, lat) for lon, lat in ring], {})
    county = {"type": "boundary", "boundary": "administrative", "admin_level": "6", "name": "County"}
    made.relation(11, [outer], county)
    made.way(13, [(lon, lat) for lon, lat in ring], {"building": "yes"})
    return made.save(tmp_path_factory.mktemp("osm") / "valley.osm.pbf")


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Asset]:
    """Writes features and says which field means what: those that have a meaning's name."""

    def write(shapes: list, suffix: str = ".gpkg", crs: str = "EPSG:4326", **columns: list) -> Asset:
        path, kinds = tmp_path / f"features{suffix}", columns.pop("kinds", None)
        frame = gpd.GeoDataFrame(columns, geometry=shapes, crs=4326).to_crs(crs)
        frame.to_file(path, engine="pyogrio")
        return Asset(file=path, kinds=kinds, **{name: name for name in columns})

    return write


@pytest.fixture
def region(make_region: Callable[..., Region]) -> Region:
    return make_region()


class TestOpenStreetMap:
    def test_roads_come_with_their_tags(self, region, extract) -> None:
        found = load_asset(region, "roads", Asset(file=extract))
        rows = found.features.set_index("id")
        assert list(rows.index) == ["way/7", "way/9"]
        assert list(rows.loc["way/7", ["name", "ref", "kind"]]) == ['The "Big" <Road>', "US 27", "primary"]
        assert rows.geometry["way/7"].equals(ROAD)
        assert rows.geometry["way/9"].geom_type == "LineString"  # a roundabout is no area
        assert found.left_out == {"kind track": 1}
        assert found.features.crs.to_epsg() == 4326

    def test_which_kinds_count_can_be_said(self, region, extract) -> None:
        found = load_asset(region, "roads", Asset(file=extract, kinds=("track",), name="name:en"))
        assert list(found.features["id"] + found.features["name"]) == ["way/8Mud"]
        assert found.left_out == {"kind primary": 1, "kind residential": 1}
        with pytest.raises(RegionError, match=r"none is of kind motorway; there are .*track"):
            load_asset(region, "roads", Asset(file=extract, kinds=("motorway",)))

    def test_settlements_come_with_their_people(self, region, extract) -> None:
        found = load_asset(region, "settlements", Asset(file=extract))
        rows = found.features.set_index("id")
        assert list(rows.index) == ["node/7", "node/8"]
        assert [people_of(given) for given in rows["population"]] == [1234, None]
        assert rows["name"]["node/8"] == "קרית"
        assert found.left_out == {"kind locality": 1}

    def test_buildings_are_settlements_too(self, region, extract) -> None:
        found = load_asset(region, "settlements", Asset(file=extract, layer="multipolygons", kind="building"))
        assert list(found.features["id"]) == ["way/13"]
        assert found.features.geom_type[0] == "MultiPolygon"

    def test_areas_are_of_one_level(self, region, extract) -> None:
        with pytest.raises(RegionError, match=r"say kinds = \[…\] of: 6 \(1 areas\), 8 \(1 areas\)"):
            load_asset(region, "warning_areas", Asset(file=extract))
        for level, name in (("6", "relation/11 County"), ("8", "way/11 Parish")):
            features = load_asset(region, "warning_areas", Asset(file=extract, kinds=(level,))).features
            assert list(features["id"] + " " + features["name"]) == [name]

    def test_what_cannot_be_used_is_named(self, region, extract, tmp_path, make_region) -> None:
        cut = tmp_path / "cut.osm.pbf"
        cut.write_bytes(extract.read_bytes()[:-20])
        far = make_region(bbox=(10, 10, 10.3, 10.2), crs="EPSG:32632")
        for where, asset, words in (
            (region, {"file": cut}, "cut.osm.pbf: cannot be read as OpenStreetMap"),
            (region, {"file": tmp_path / "gone.osm.pbf"}, "no such file"),
            (region, {"file": extract, "layer": "roads"}, "no layer 'roads'; there are points, lines"),
            (region, {"file": extract, "name": 'na"me'}, "is no tag"),
            (far, {"file": extract}, r"no feature inside \(10.0, .*; it reaches over \(-84.4"),
        ):
            with pytest.raises(RegionError, match=words) as caught:
                load_asset(where, "roads", Asset(**asset))
            assert str(caught.value).startswith("assets.roads: ")

    def test_the_plain_form_is_read_as_well(self, region, tmp_path) -> None:
        path = tmp_path / "valley.osm"
        path.write_text(
            '<osm version="0.6"><node id="1" lat="36.2" lon="-84.3"/><node id="2" lat="36.2" lon="-84.2"/>'
            '<way id="5"><nd ref="1"/><nd ref="2"/><tag k="highway" v="trunk"/></way></osm>'
        )
        assert list(load_asset(region, "roads", Asset(file=path)).features["id"]) == ["way/5"]


class TestFiles:
    @pytest.mark.parametrize(
        ("suffix", "crs"),
        [
            (".geojson", "EPSG:4326"),
            *((suffix, f"EPSG:{code}") for suffix in (".gpkg", ".shp") for code in (4326, 32617, 3857)),
        ],
    )
    def test_any_format_and_crs_gives_the_same(self, region, save, suffix, crs) -> None:
        asset = save([ROAD] * 6, suffix, crs, id=list(range(6)), name=NAMES, ref=["I-1"] * 6)
        found = load_asset(region, "roads", asset)
        assert list(found.features["name"].fillna("")) == NAMES
        assert list(found.features["id"]) == list(range(6))
        assert shapely.hausdorff_distance(found.features.geometry[0], ROAD) < 1e-8
        assert found.repairs == ()

    def test_kinds_of_any_file(self, region, save) -> None:
        asset = save([ROAD] * 4, id=[1, 2, 3, 4], kind=["track", "paved", "track", None], kinds=("paved",))
        found = load_asset(region, "roads", asset)
        assert list(found.features["id"]) == [2, 4]  # of which kind the last one is, nobody knows
        assert found.left_out == {"kind track": 2}

    def test_a_row_twice_is_one_but_an_id_twice_stays(self, region, save) -> None:
        other = shapely.transform(ROAD, lambda xy: xy + 0.01)
        found = load_asset(region, "roads", save([ROAD, ROAD, ROAD, other], id=[1, 1, 2, 2]))
        assert list(found.features["id"]) == [1, 2, 2]
        assert found.left_out == {"said twice": 1}

    @pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson"])
    def test_features_without_a_geometry_are_named(self, region, save, caplog, suffix) -> None:
        with caplog.at_level(logging.WARNING):
            far = LineString([(0, 1), (1, 1)])
            found = load_asset(region, "roads", save([ROAD, None, LineString(), far], suffix, id=["a", "b", "c", "d"]))
        assert found.left_out == {"no geometry": 2, "outside the region": 1}
        assert "2 features have no geometry and are left out: b, c" in caplog.text

    def test_a_file_without_an_id_is_refused(self, save) -> None:
        with pytest.raises(ValidationError, match="give id = …"):
            Asset(file=Path("roads.gpkg"))
        with pytest.raises(ValidationError, match="is osm_id; take id out"):
            Asset(file=Path("roads.osm.pbf"), id="number")
        with pytest.raises(ValidationError, match="kinds needs kind"):
            Asset(file=Path("roads.gpkg"), id="id", kinds=("a",))


class TestRepair:
    """In metres on the region's grid, so that losses can be told beforehand."""

    @staticmethod
    def degrees(shape: Polygon) -> Polygon:
        back = Transformer.from_crs(32616, 4326, always_xy=True)
        middle = Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275)
        return shapely.transform(shape, lambda xy: np.column_stack(back.transform(*(xy + middle).T)))

    @pytest.mark.parametrize(
        ("shape", "area", "lost"),
        [
            (Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]), 5000, 0),  # a bow-tie keeps both its halves
            (MultiPolygon([box(0, 0, 200, 200), box(100, 100, 300, 300)]), 70_000, 0),  # no hole where two overlap
            (Polygon([(0, 0), (100, 0), (100, 100), (100, 200), (100, 100), (0, 100)]), 10_000, 0),  # a spike
            (
                Polygon([(0, 0), (400, 0), (400, 400), (0, 400)], [[(100, 100), (600, 100), (600, 200), (100, 200)]]),
                130_000,
                0,
            ),
        ],
    )
    def test_no_ground_is_lost(self, region, save, shape, area, lost) -> None:
        found = load_asset(region, "settlements", save([self.degrees(shape)], id=["a"]))
        assert found.features.to_crs(region.crs).area[0] == pytest.approx(area, rel=1e-4)
        (repair,) = found.repairs
        assert repair.id == "a"
        assert "elf-intersection" in repair.fault
        assert repair.lost == pytest.approx(lost, abs=0.5)

    def test_what_was_mended_is_told(self, region, save, caplog) -> None:
        tie = self.degrees(Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]))
        with caplog.at_level(logging.WARNING):
            found = load_asset(region, "settlements", save([tie, Point(-84.2, 36.2)], id=["knot", "hut"]))
        assert "1 invalid geometries were repaired: knot (Self-intersection, nothing lost)" in caplog.text
        assert found.told | {"repairs": []} == {
            "features": 2,
            "repaired": 1,
            "lost_by_repair": 0,
            "repairs": [],
            "left_out": {},
        }

    def test_a_vertex_that_is_no_number_is_told(self, region, save) -> None:
        bent = LineString([(-84.3, 36.2), (-84.25, float("nan")), (-84.2, 36.2)])
        found = load_asset(region, "roads", save([bent], id=["a"]))
        assert found.features.geometry[0].equals(ROAD)
        assert [(repair.fault, repair.lost) for repair in found.repairs] == [("Invalid Coordinate", None)]

    def test_what_has_no_length_stays_to_be_counted(self, region, save) -> None:
        nowhere = LineString([(-84.2, 36.2), (-84.2, 36.2)])
        found = load_asset(region, "roads", save([ROAD, nowhere], id=["a", "zero"]))
        assert list(found.features["id"]) == ["a", "zero"]
        assert found.features.geometry[1].length == 0


@pytest.mark.parametrize(
    ("given", "people"),
    [
        ("1234", 1234),
        ("1 234", 1234),
        ("1,234", 1234),
        ("1.234.567", 1234567),
        ("12.6", 13),
        (12.0, 12),
        (0, 0),
        ("about 40", None),
        ("inf", None),
        ("1e12", None),
        ("", None),
        ("1,5", None),
        (-3, -3),
    ],
)
def test_people_are_counted_as_they_are_written(given, people) -> None:
    assert people_of(given) == people
