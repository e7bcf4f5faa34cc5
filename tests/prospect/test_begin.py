"""A region from nothing: what is there is used, what is not is named, and nothing is done twice."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from lswarn import groundwork
from lswarn.demo.open_sources import BBOX, OpenReplica, made_landslides
from lswarn.errors import RegionError
from lswarn.prospect import catalogue
from lswarn.prospect.begin import utm_of
from lswarn.rain import transfer
from lswarn.region import load_region
from lswarn.settings import Settings


def paths(server):
    return [seen.path for seen in server.seen]


class TestAll:
    def test_what_was_begun_can_be_built(self, begin, tmp_path):
        begun = begin(resolution_m=90.0)
        assert begun.missing == []
        region = load_region(begun.toml)
        assert groundwork.check(region) == []
        stack = groundwork.build(region, Settings(var_dir=tmp_path / "var"), lambda name, share: None)
        with stack:
            values = stack.read(stack.grid.whole)
        assert np.isfinite(values).all()  # every factor is known in every cell
        slope, temperature = values[0], values[8]
        assert 5 < np.median(slope) < 45
        assert -10 < temperature.min() <= temperature.max() < 20

    def test_nothing_is_done_twice_and_region_toml_is_yours(self, begin, server):
        begun = begin()
        assert begun.toml.name == "region.toml"
        asked = len(server.seen)
        assert begin().toml == begun.toml  # the same text
        assert len(server.seen) == asked
        begun.toml.write_text(begun.toml.read_text() + "# mine\n")
        again = begin()
        assert again.toml.name == "region.new.toml"
        assert begun.toml.read_text().endswith("# mine\n")
        assert len(server.seen) == asked

    def test_another_box_is_another_beginning(self, begin, server):
        begin()
        asked = len(server.seen)
        begin(bbox=(9.03, 46.2, 9.12, 46.27))
        assert len(server.seen) > asked

    def test_terms_and_origins_are_on_record(self, begin, server):
        begun = begin()
        text = re.sub(r"\n#     ", " ", begun.toml.read_text())
        for key in ("dem", "osm", "faults", "rainfall", "temperature", "seismic", "inventory"):
            source = catalogue.CATALOGUE[key]
            assert f"# licence: {source.licence}" in text
            assert f"# cite: {source.citation}" in text
        record = json.loads(begun.toml.with_name("sources.json").read_text())["sources"]
        assert record["dem"]["entry"]["address"] == server.addresses["dem"]
        assert record["dem"]["entry"]["fetched_at"].startswith("2026-11-22")
        assert len(record["seismic"]["entry"]["sha256"]) == 64
        assert "GEM" in load_region(begun.toml).factors.seismic_intensity.licence
        assert not begun.toml.with_name("downloads").exists()


class TestWhatCannotBeHad:
    def test_without_any_server_all_is_named(self, begin, tmp_path):
        nowhere = dict.fromkeys(catalogue.FETCHED, "http://127.0.0.1:9/x")
        begun = begin(addresses=nowhere)
        told = "\n".join(begun.missing)
        for key in ("dem", "osm", "faults", "rainfall", "seismic", "inventory"):
            assert f"{key}: {catalogue.CATALOGUE[key].title}: " in told
            assert catalogue.CATALOGUE[key].supply in told
            assert begun.entries[key].state == "missing"
        assert "refused" in told
        assert "data=" not in told
        assert max(map(len, begun.toml.read_text().splitlines())) <= 240
        assert begun.entries["temperature"].state == begun.entries["rivers"].state == "derived"
        problems = groundwork.check(load_region(begun.toml))  # and said again where it is looked for
        for file in ("dem.tif", "openstreetmap.osm", "faults.gpkg", "rainfall.tif", "seismic.tif", "landslides.csv"):
            assert any(f"{tmp_path / 'made' / file}: no such file" in problem for problem in problems)

    def test_the_rest_is_fetched_by_the_next_call(self, begin, server):
        server.quirks["/faults/gem_active_faults_harmonized.geojson"] = [404]
        begun = begin()
        assert [name.split(":")[0] for name in begun.missing] == ["faults"]
        before = len(server.seen)
        assert begin().missing == []
        assert paths(server)[before:] == ["/faults/gem_active_faults_harmonized.geojson"]

    def test_half_a_tile_is_gone_on_from(self, begin, server, monkeypatch):
        tile = "/dem/{0}/{0}.tif".format("Copernicus_DSM_COG_10_N46_00_E009_00_DEM")
        monkeypatch.setattr(transfer, "CHUNK_BYTES", 1000)
        server.quirks[tile] = ["cut", *[503] * 9]
        (told,) = begin().missing
        assert "answered 503; try again later" in told
        server.quirks.clear()
        before = len(server.seen)
        assert begin().missing == []
        (asked,) = (seen.range for seen in server.seen[before:] if seen.path == tile)
        assert re.fullmatch(r"bytes=\d{4,}-", asked)

    def test_a_page_instead_of_a_file(self, begin, server):
        server.quirks["/shaking/GEM-GSHM_PGA-475y-rock_v2023.zip"] = ["html"]
        (told,) = begin().missing
        assert "answered with a web page" in told

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("seismic", "/shaking/GEM-GSHM_PGA-475y-rock_v2023.zip"),
            ("faults", "/faults/gem_active_faults_harmonized.geojson"),
            ("osm", "/api/interpreter"),
            ("dem", "/dem/{0}/{0}.tif".format("Copernicus_DSM_COG_10_N46_00_E009_00_DEM")),
        ],
    )
    def test_a_damaged_file_is_fetched_again(self, begin, server, key, path):
        server.quirks[path] = ["stub"]
        (told,) = begin().missing
        assert told.startswith(f"{key}: ")
        assert "damaged, and deleted" in told
        assert begin().missing == []

    def test_overpass_gives_up_in_an_answer(self, begin, server):
        server.remark = 'runtime error: Query timed out in "query" at line 3 after 181 seconds.'
        (told,) = begin().missing
        assert "Query timed out" in told
        assert "--file osm=" in told

    def test_an_error_instead_of_landslides(self, begin, server):
        server.quirks["/landslides/COOLR_Events_Points/FeatureServer/0/query"] = ["json"]
        (told,) = begin().missing
        assert told.startswith("inventory: ")
        assert "instead of landslides the server sent" in told

    def test_a_land_without_known_landslides(self, begin, server):
        server.landslides = []
        (told,) = begin().missing
        assert "knows of no landslide in this region" in told

    def test_a_tile_that_is_not_there_is_unknown_and_told(self, begin, server):
        west = "/dem/{0}/{0}.tif".format("Copernicus_DSM_COG_10_N46_00_E008_00_DEM")
        server.quirks[west] = [404]
        begun = begin(bbox=(8.95, 46.2, 9.05, 46.27))
        assert "without tiles Copernicus_DSM_COG_10_N46_00_E008_00_DEM" in begun.entries["dem"].note
        with rasterio.open(begun.toml.with_name("dem.tif")) as dem:
            values = dem.read(1, masked=True)
            assert values.mask[:, 0].all()
            assert not values.mask[:, -1].any()


class TestFilesOfOnesOwn:
    def test_each_source_can_be_a_file(self, begin, server, tmp_path):
        had = begin()
        folder = had.toml.parent
        files = {key: folder / (entry.file or "rivers.gpkg") for key, entry in had.entries.items() if key != "rock"}
        gpd.read_file(files["faults"]).to_file(tmp_path / "rock.gpkg")
        before = len(server.seen)
        begun = begin(files=files | {"rock": tmp_path / "rock.gpkg"})
        assert len(server.seen) == before
        assert {entry.state for entry in begun.entries.values()} == {"given"}
        region = load_region(begun.toml)
        assert region.factors.rock_type.file == tmp_path / "rock.gpkg"
        assert region.factors.dem.file == folder / "dem.tif"
        assert region.assets.roads.file == folder / "openstreetmap.osm"

    def test_a_file_laid_in_its_place_is_not_written_over(self, begin, server):
        server.quirks["/faults/gem_active_faults_harmonized.geojson"] = [404]
        folder = begin().toml.parent
        for name in ("faults.gpkg", "rivers.gpkg", "landslides.csv"):
            (folder / name).write_bytes(b"mine")
        begun = begin()
        assert {key for key, entry in begun.entries.items() if entry.state == "given"} == {
            "faults",
            "rivers",
            "inventory",
        }
        assert {(folder / name).read_bytes() for name in ("faults.gpkg", "rivers.gpkg", "landslides.csv")} == {b"mine"}

    @pytest.mark.parametrize("record", ["", "[]", "{}", '{"region": 1, "sources": {"dem": {"entry": {"x": 1}}}}'])
    def test_a_record_that_is_none(self, begin, record):
        path = begin().toml.with_name("sources.json")
        path.write_text(record)
        assert {entry.state for entry in begin().entries.values()} == {"given", "stand-in"}

    def test_a_folder_that_is_none(self, begin, server, tmp_path):
        (tmp_path / "made").touch()
        with pytest.raises(RegionError, match=r"made/downloads: cannot be made"):
            begin()
        assert server.seen == []

    def test_a_file_that_is_not_there(self, begin, server, tmp_path):
        with pytest.raises(RegionError, match=r"--file dem: .*none.tif: no such file"):
            begin(files={"dem": tmp_path / "none.tif"})
        assert server.seen == []

    def test_an_extract_is_told_by_its_name(self, begin, tmp_path):
        (tmp_path / "roads.gpkg").touch()
        with pytest.raises(RegionError, match=r"an extract ends in .osm.pbf or .osm"):
            begin(files={"osm": tmp_path / "roads.gpkg"})


class TestWishes:
    @pytest.mark.parametrize(
        ("wish", "told"),
        [
            ({"name": "My Valley"}, "name: String should match pattern"),
            ({"crs": "EPSG:4326"}, "must be a projected CRS in metres"),
            ({"bbox": (-180.0, -80.0, 180.0, 80.0)}, "larger than 10° by 10°"),
        ],
    )
    def test_what_cannot_be_a_region_is_refused_before_anything_is_fetched(self, begin, server, wish, told):
        with pytest.raises(RegionError, match=told):
            begin(**wish)
        assert server.seen == []

    def test_no_wish_ends_a_comment(self, begin):
        begun = begin(level='7"\nname = "other')
        assert load_region(begun.toml).name == "made"

    def test_a_title_is_text_whatever_it_holds(self, begin):
        title = 'A "valley" \\ ☃ \u2028 # [x]\n'
        assert load_region(begin(title=title).toml).title == title

    def test_warning_areas_by_the_level_that_is_wished(self, begin):
        assert begin().entries["osm"].level == "7"
        begun = begin(level="4")
        assert "no area of admin_level 4 (there are: none)" in begun.entries["osm"].areas
        region = load_region(begun.toml)
        assert groundwork.check(region) == []
        areas = gpd.read_file(region.assets.warning_areas.file)
        assert list(areas["name"]) == ["Made"]

    @pytest.mark.parametrize(
        ("bbox", "crs"),
        [
            (BBOX, "EPSG:32632"),
            ((93.8, 29.2, 96.3, 30.6), "EPSG:32646"),
            ((-70.0, -33.5, -69.8, -33.2), "EPSG:32719"),
            ((179.5, 1.0, 180.0, 2.0), "EPSG:32660"),
        ],
    )
    def test_utm(self, bbox, crs):
        assert utm_of(bbox) == crs


class TestWhatIsCut:
    def test_the_year_of_twelve_months(self, begin):
        folder = begin().toml.parent
        with rasterio.open(folder / "rainfall.tif") as rain, rasterio.open(folder / "temperature.tif") as warmth:
            months = np.arange(1, 13)
            lon, lat = rain.transform @ (2.5, 2.5)
            assert rain.read(1)[2, 2] == pytest.approx(
                (80 + 40 * np.sin(months / 2) + 10 * np.sin(lon)).sum(), rel=1e-5
            )
            means = 25 - 0.4 * lat - 8 * np.cos(np.pi * months / 6)
            assert warmth.read(1)[2, 2] == pytest.approx(means.mean(), rel=1e-5)

    def test_elevations_stay_where_they_were(self, begin):
        with rasterio.open(begin().toml.with_name("dem.tif")) as dem:
            lon, lat = dem.transform @ (4.5, 4.5)
            heights = 900 + 500 * np.sin(40 * lon) * np.cos(37 * lat) + 200 * np.sin(95 * (lon + lat))
            assert dem.read(1)[4, 4] == pytest.approx(heights, abs=0.01)

    def test_landslides_of_all_pages_with_their_days(self, begin, server):
        begun = begin()
        table = pd.read_csv(begun.toml.with_name("landslides.csv"), dtype=str)
        assert len(table) == 12
        assert table["date"].tolist()[:2] != table["date"].tolist()[1:3]
        assert table.set_index("id").loc["event-1001", "date"] == "2016-06-02"
        offsets = [parse_qs(seen.query)["resultOffset"] for seen in server.seen if "Events" in seen.path]
        assert offsets == [["0"], ["5"], ["10"]]

    def test_faults_that_are_far_are_a_distance(self, begin, server):
        far = {"type": "LineString", "coordinates": [[11.0, 46.0], [11.1, 46.5]]}
        body = json.dumps(
            {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": far}]}
        )
        path = "faults/gem_active_faults_harmonized.geojson"
        server.files[path] = type(server.files[path])(body.encode(), server.files[path].at)
        begun = begin()
        assert 140_000 < begun.entries["faults"].constant < 155_000
        assert groundwork.check(load_region(begun.toml)) == []
        assert begin().entries["faults"].constant == begun.entries["faults"].constant

    def test_no_shaking_where_none_was_worked_out(self, tmp_path, begin):
        box = (20.0, 77.0, 20.2, 77.1)
        with OpenReplica(box) as north:
            begun = begin(bbox=box, addresses=north.addresses)
        assert begun.entries["seismic"].state == "missing"
        assert "holds nothing of this region" in begun.entries["seismic"].note


class TestNames:
    def test_tiles_of_the_dem(self):
        assert catalogue.dem_tiles((-0.5, -0.2, 0.3, 0.4)) == [
            "Copernicus_DSM_COG_10_S01_00_W001_00_DEM",
            "Copernicus_DSM_COG_10_S01_00_E000_00_DEM",
            "Copernicus_DSM_COG_10_N00_00_W001_00_DEM",
            "Copernicus_DSM_COG_10_N00_00_E000_00_DEM",
        ]

    def test_tiles_of_the_climate(self):
        assert catalogue.climate_tiles((-84.4, 36.1, -84.0, 36.4), "prec") == ["tile_16_wc2.1_30s_prec.tif"]
        assert catalogue.climate_tiles((29.0, 59.0, 31.0, 61.0), "tavg") == [
            f"tile_{number}_wc2.1_30s_tavg.tif" for number in (7, 8, 19, 20)
        ]
        assert catalogue.climate_tiles((-180.0, 89.0, -179.0, 90.0), "prec") == ["tile_1_wc2.1_30s_prec.tif"]
        assert catalogue.climate_tiles((179.0, -90.0, 180.0, -89.0), "prec") == ["tile_72_wc2.1_30s_prec.tif"]

    def test_what_overpass_is_asked(self):
        url = catalogue.osm_url("https://overpass.example/api", BBOX, BBOX)
        (query,) = parse_qs(urlsplit(url).query)["data"]
        assert query.startswith("[out:xml][timeout:180]")
        assert query.endswith("(._;>;);out body;")
        assert "(46.200000,9.020000,46.270000,9.120000)" in query  # south, west, north, east
        assert len(url) < 4000

    def test_the_replica_knows_what_it_is_asked(self):
        assert len(made_landslides(BBOX)) == 13
