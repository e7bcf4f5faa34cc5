"""Inventories as they come. The catalogues here are made, in the layouts that NASA's exports have."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shapely import Point, Polygon, box
from typer.testing import CliRunner

from lswarn import groundwork
from lswarn.cli.inventory import app
from lswarn.db.assets import record_region
from lswarn.db.engine import transaction
from lswarn.errors import DatabaseError, RegionError
from lswarn.events import accuracy_of, day_of, lessons, same_events, slid_of, trigger_of
from lswarn.inventory import load_inventory, summary
from lswarn.sections import Inventory
from lswarn.settings import Settings

BBOX = (-84.40, 36.15, -84.10, 36.40)
TODAY = date(2026, 3, 1)
BOWTIE = Polygon([(-84.2, 36.2), (-84.19, 36.21), (-84.19, 36.2), (-84.2, 36.21)])

GLC = (
    "source_name,source_link,event_id,event_date,event_time,event_title,event_description,location_description,"
    "location_accuracy,landslide_category,landslide_trigger,landslide_size,longitude,latitude\r\n"
    'Le Journal,https://x.test/1,684,08/01/2008 12:00:00 AM,,Glissement à l’école,"Roads, houses\r\nand a bridge",'
    "Norma,exact,landslide,downpour,large,-84.25,36.25\r\n"
    "AGU,,685.0,12/31/2014 11:15:00 PM,,,,,5km,mudslide,continuous_rain,small,-84.35,36.30\r\n"
    "AGU,,686,1/2/2015,,,,,unknown,mudslide,unknown,small,-84.30,36.20\r\n"
    "USGS,,687,,,,,,1km,rock_fall,earthquake,small,-84.31,36.21\r\n"
    "AGU,,688,02/03/2016,,,,,exact,complex,no_apparent_trigger,small,107.45,32.56\r\n"
    "AGU,,689,02/03/2016,,,,,exact,complex,rain,small,,\r\n"
)
# OBJECTID stands first, as Esri writes it, but is not the id of the event.
COOLR = (
    "﻿OBJECTID,src_name,ev_id,ev_date,loc_acc,ls_trig,latitude,longitude\n"
    "1,News,c-1,1217548800000,Known exactly,Rain,36.25,-84.25\n"
    "2,News,c-2,1483228800000,Known within 1 km,Tropical cyclone,36.30,-84.35\n"
)


@pytest.fixture
def write(tmp_path: Path):
    """Writes text as an inventory, and gives the section that names it."""

    def save(text: str, name: str = "slides.csv", encoding: str = "utf-8", **entries) -> Inventory:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return Inventory(file=tmp_path / name, **entries)

    return save


@pytest.fixture
def save(tmp_path: Path):
    """Saves shapes as a vector, and gives the section that names it."""

    def save(shapes: list, name: str = "slides.gpkg", crs=4326, to=None, **fields) -> Inventory:
        frame = gpd.GeoDataFrame({"id": range(len(shapes))} | fields, geometry=shapes, crs=crs)
        (frame.to_crs(to) if to else frame).to_file(tmp_path / name)
        return Inventory(file=tmp_path / name)

    return save


def read(inventory: Inventory, **options):
    return load_inventory(inventory, **({"bbox": BBOX, "today": TODAY} | options))


def refused(inventory: Inventory, **options) -> str:
    with pytest.raises(RegionError) as caught:
        read(inventory, **options)
    assert str(inventory.file) in str(caught.value)
    return str(caught.value)


def made(*rows: tuple, outline: bool = False) -> gpd.GeoDataFrame:
    """Events from (id, day, accuracy, trigger, shape)."""
    ids, days, accuracies, triggers, shapes = zip(*rows, strict=True)
    columns = {"id": ids, "day": days, "accuracy_m": accuracies, "trigger": triggers, "outline": outline}
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=4326).astype({"accuracy_m": float, "day": object})


class TestDays:
    @pytest.mark.parametrize(
        "written",
        [
            *("2014-02-03", "2014/02/03", "2014/2/3 23:59:00", "2/3/2014", "02/03/2014 11:15:00 PM", "2/3/14 0:00"),
            *("20140203", 20140203, "1391385600000", 1391385600000.0, "2014-02-03T22:00:00-01:00", " 2014-02-03 "),
            *(date(2014, 2, 3), datetime(2014, 2, 3, tzinfo=UTC), pd.Timestamp("2014-02-03 23:00")),
            "2014-02-04T00:30:00+01:00",
        ],
    )
    def test_as_they_are_written(self, written) -> None:
        assert day_of(written) == date(2014, 2, 3)

    @pytest.mark.parametrize(
        "written", ["", " ", None, np.nan, pd.NaT, pd.NA, "unknown", "N/A", "2014", 2014, 2014.0, "2014-02"]
    )
    def test_a_year_or_nothing_is_no_day(self, written) -> None:
        assert day_of(written) is None

    def test_before_1970(self) -> None:
        assert day_of(-631152000000) == date(1950, 1, 1)
        assert day_of("3/2/88") == date(1988, 3, 2)

    @pytest.mark.parametrize(
        "written", ["13/02/2015", "2015-02-30", "May 2015", "3 to 5/2/2015", "41000", 1.5, "1e300", 20141301, "9" * 30]
    )
    def test_what_is_no_day_is_refused(self, written) -> None:
        with pytest.raises(ValueError, match=r"day|month"):
            day_of(written)

    @given(st.dates(date(1971, 1, 1), date(2100, 1, 1)))
    def test_every_spelling_of_a_day_is_that_day(self, day: date) -> None:
        ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        assert {day_of(day.isoformat()), day_of(f"{day:%m/%d/%Y}"), day_of(f"{day:%Y%m%d}"), day_of(ms)} == {day}


class TestWords:
    @pytest.mark.parametrize(
        ("written", "metres"),
        [
            *(("exact", 0), ("Known exactly", 0), ("known_exactly", 0), ("1km", 1000), ("Known within 5 km", 5000)),
            *(("250km", 250_000), ("50 m", 50), ("<100 m", 100), ("30", 30), (12.5, 12.5), ("2.5km", 2500)),
            *(("unknown", None), ("", None), (None, None), (np.nan, None), ("N/A", None)),
        ],
    )
    def test_accuracy(self, written, metres) -> None:
        assert accuracy_of(written) == metres

    @pytest.mark.parametrize("written", ["poor", "-5", -5, np.inf, "5 miles", "5 km or so"])
    def test_accuracy_that_is_not_understood(self, written) -> None:
        with pytest.raises(ValueError, match="no "):
            accuracy_of(written)

    @pytest.mark.parametrize(
        ("family", "spellings"),
        [
            ("rain", ["rain", "Downpour", "continuous_rain", "monsoon", "Tropical cyclone", "flooding"]),
            ("melt", ["snowfall_snowmelt", "freeze_thaw"]),
            ("earthquake", ["earthquake", "Earthquake M6.1", "co-seismic", "earthquake, then rain"]),
            ("unknown", ["", "unknown", "Unknown ", "n/a"]),
            ("other", ["no_apparent_trigger", "construction", "mining", "lluvias", "other", "dam_embankment_collapse"]),
        ],
    )  # fmt: skip
    def test_trigger(self, family: str, spellings: list[str]) -> None:
        assert {trigger_of(each) for each in spellings} == {family}


class TestCatalogues:
    def test_the_global_landslide_catalog_as_it_comes(self, write) -> None:
        inventory = write(GLC, encoding="cp1252")
        reading = read(inventory)
        events = reading.events.set_index("id")
        assert list(events.index) == ["684", "685", "686", "687"]
        assert list(events["day"]) == [date(2008, 8, 1), date(2014, 12, 31), date(2015, 1, 2), None]
        assert events["accuracy_m"].tolist()[:2] == [0, 5000]
        assert np.isnan(events["accuracy_m"]["686"])
        assert events["trigger"]["685"] == "continuous_rain"
        assert events["source"]["684"] == "Le Journal"
        assert events.geometry["684"] == Point(-84.25, 36.25)
        assert reading.left_out == {"no coordinates": 1, "outside the region": 1}
        told = summary(reading, inventory)
        assert (told["events"], told["dated"], told["undated"], told["teaching"]) == (4, 3, 1, 1)
        assert told["by_accuracy"] == {"exact": 1, "5 km": 1, "unknown": 1, "1 km": 1}
        assert told["by_trigger"] == {"rain": 2, "unknown": 1, "earthquake": 1}
        assert told["not_teaching"] == {
            "location worse than 100 m": 1,
            "location of unknown accuracy": 1,
            "trigger earthquake": 1,
        }
        assert "was read as Latin-1" in told["notes"][0]

    def test_the_same_bytes_in_any_encoding(self, write) -> None:
        whole = read(write(GLC, encoding="cp1252")).events
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            assert whole.equals(read(write(GLC, encoding=encoding)).events)

    def test_coolr_as_it_comes(self, write) -> None:
        events = read(write(COOLR)).events
        assert events["id"].tolist() == ["c-1", "c-2"]
        assert events["day"].tolist() == [date(2008, 8, 1), date(2017, 1, 1)]
        assert events["accuracy_m"].tolist() == [0, 1000]
        assert [trigger_of(trigger) for trigger in events["trigger"]] == ["rain", "rain"]

    def test_coolr_as_geojson(self, tmp_path: Path) -> None:
        row = {"ev_id": 7, "ev_date": 1217548800000, "loc_acc": "exact", "ls_trig": "rain", "src_name": None}
        feature = {
            "type": "Feature",
            "properties": row,
            "geometry": {"type": "Point", "coordinates": [-84.25, 36.25]},
        }
        path = tmp_path / "coolr.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        (event,) = read(Inventory(file=path)).events.to_dict("records")
        assert (event["id"], event["day"], event["accuracy_m"], event["source"]) == ("7", date(2008, 8, 1), 0, "")

    def test_a_shapefile_with_names_cut_to_ten_letters(self, save) -> None:
        cut = {"event_id": [5], "event_date": ["8/1/2008"], "location_d": ["Norma"], "location_a": ["1km"]}
        inventory = save([Point(-84.25, 36.25)], "s.shp", **cut, landslide_=["mudslide"], landslid_1=["earthquake"])
        (event,) = read(inventory).events.to_dict("records")
        assert (event["id"], event["accuracy_m"], event["trigger"]) == ("5", 1000, "earthquake")


class TestTables:
    def test_named_columns_in_metres(self, write) -> None:
        text = "nr;rechts;hoch;tag;genau;grund\n a 1 ;747000,5;4015000;2014-02-03;20;Starkregen\n"
        named = {"id": "nr", "x": "rechts", "y": "hoch", "date": "tag", "accuracy": "genau", "trigger": "grund"}
        inventory = write(text, **named, crs="EPSG:32616", triggers=("Starkregen",))
        reading = read(inventory)
        (event,) = reading.events.to_dict("records")
        assert (event["id"], event["day"], event["accuracy_m"]) == ("a 1", date(2014, 2, 3), 20)
        assert reading.events.to_crs(32616).geometry[0].distance(Point(747000.5, 4015000)) < 0.01
        assert summary(reading, inventory)["teaching"] == 1

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_columns_are_recognised(self, write, separator: str) -> None:
        text = "ID,Lat,Long,Date\n3,36.25,-84.25,2014-02-03\n".replace(",", separator)
        reading = read(write(text))
        assert reading.fields == {"id": "ID", "date": "Date", "x": "Long", "y": "Lat"}
        assert reading.events["id"].tolist() == ["3"]

    def test_a_point_of_a_file_without_accuracy_is_good_to_its_radius(self, write) -> None:
        inventory = write("id,lat,lon\n3,36.25,-84.25\n", point_radius_m=30)
        assert read(inventory).events["accuracy_m"].tolist() == [30]
        assert summary(read(inventory), inventory)["teaching"] == 1
        rough = inventory.model_copy(update={"point_radius_m": 300})
        assert summary(read(rough), rough)["not_teaching"] == {"location worse than 100 m": 1}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "no CSV with a line of column names"),
            ("\n\n", "no CSV with a line of column names"),
            ('id,lat,lon\n1,"36', "no CSV"),
            ("id,lat,lon\n1,2,3\n1,2,3,4,5\n", "no CSV"),
            ("id,lat,lon\n", "holds no event with coordinates"),
            ("id,lat,lon\n1,,\n", "holds no event with coordinates"),
            ("id,where\n1,Norma\n", "say which field is meant with x = …, y = …"),
            ("id,lat,lon\n1,36°15'N,-84.25\n", "field 'lat' holds \"36°15'N\" in 1 of 1 features: coordinates are"),
            ("id,lat,lon\n,36.25,-84.25\n", "field 'id' is empty in 1 of 1 features"),
            ("id,lat,lon\n1,4015000,747000\n", "these are no degrees: say in which CRS they are with crs = …"),
        ],
    )
    def test_what_is_wrong_with_it(self, write, text: str, says: str) -> None:
        assert says in refused(write(text))

    def test_a_file_a_field_or_a_crs_that_is_not_there(self, write, tmp_path: Path) -> None:
        assert "no such file" in refused(Inventory(file=tmp_path / "none.csv"))
        assert "no field 'nr'; there are id, lat, lon" in refused(write("id,lat,lon\n1,36.25,-84.25\n", id="nr"))
        with pytest.raises(RegionError, match=r"inventory.crs: 'EPSG:nix' is not a coordinate reference system"):
            read(write("id,lat,lon\n1,36.25,-84.25\n", crs="EPSG:nix"))


class TestPlaces:
    def test_any_crs_of_a_vector_will_do(self, save) -> None:
        for name, to in (("a.gpkg", 32616), ("b.shp", 3857), ("c.geojson", 4326)):
            events = read(save([Point(-84.25, 36.25)], name, to=to)).events
            assert events.geometry[0].distance(Point(-84.25, 36.25)) < 1e-6

    def test_elsewhere_both_extents_are_told(self, save) -> None:
        told = refused(save([Point(7.0, 46.0), Point(8.0, 47.0)]))
        assert "none of 2 events is in the region: in EPSG:4326 they reach over (7, 46, 8, 47)" in told
        assert "the region over (-84.4, 36.15, -84.1, 36.4)" in told

    def test_metres_that_are_called_degrees(self, save) -> None:
        told = refused(save([Point(747000, 4015000)]))
        assert "the region over (-84.4, 36.15, -84.1, 36.4); these are no degrees: assign the CRS" in told

    def test_latitude_and_longitude_swapped(self, save, write) -> None:
        told = refused(write("id,lon,lat\n1,36.25,-84.25\n2,36.3,-84.3\n"))
        assert 'latitude and longitude are swapped: swapped, every event is in the region; x = "lat", y = "lon"' in told
        assert len(read(write("id,lon,lat\n1,36.25,-84.25\n", x="lat", y="lon")).events) == 1
        assert "are swapped" in refused(save([Point(36.25, -84.25)]))
        assert "are swapped" not in refused(save([Point(36.25, -84.25), Point(10, 10)]))

    def test_a_polygon_that_crosses_itself_is_repaired_and_told_of(self, save) -> None:
        reading = read(save([BOWTIE, box(-84.3, 36.3, -84.29, 36.31)]))
        assert reading.events.is_valid.all()
        assert reading.events.geometry[0].area == pytest.approx(5e-5)
        assert reading.events["outline"].all()
        assert reading.notes == ("1 polygons crossed themselves and were repaired",)

    def test_empty_coordinates_are_counted(self, save) -> None:
        reading = read(save([Point(-84.25, 36.25), None, Point(), Point(7, 46)]))
        assert reading.left_out == {"no coordinates": 2, "outside the region": 1}

    def test_lines_are_no_landslides(self, save) -> None:
        told = refused(save([Point(-84.25, 36.25), BOWTIE.exterior]))
        assert "1 of 2 geometries are LinearRing" in told or "1 of 2 geometries are LineString" in told

    def test_without_a_region_everything_counts(self, write) -> None:
        reading = read(write(GLC, encoding="cp1252"), bbox=None)
        assert len(reading.events) == 5
        assert "trigger 'no_apparent_trigger': 1 events, of the family other" in reading.notes


class TestIdentity:
    TWICE = "id,lat,lon,date\n1,36.25,-84.25,2014-02-03\n1,36.25,-84.25,2/3/2014\n"

    def test_what_is_said_twice_is_merged(self, write) -> None:
        reading = read(write(self.TWICE))
        assert len(reading.events) == 1
        assert reading.left_out == {"said twice, merged": 1}

    def test_an_id_that_means_two_events_is_refused(self, write) -> None:
        told = refused(write(self.TWICE.replace("2/3/2014", "2/4/2014")))
        assert "field 'id' holds '1' in 2 of 2 features: they differ, and an id may stand once" in told

    def test_repeated_ids_elsewhere_are_nobodys_trouble(self, write) -> None:
        far = "9,46,7,2014-02-03\n9,46,7.5,2014-02-03\n"
        assert len(read(write(self.TWICE + far)).events) == 1

    def test_days_ahead_and_days_that_are_none_are_refused_by_name(self, write) -> None:
        text = "id,lat,lon,date\n1,36.25,-84.25,2026-03-02\n2,36.25,-84.26,31/12/2025\n3,36.25,-84.27,2026-03-01\n"
        told = refused(write(text))
        assert "field 'date' holds '2026-03-02' in 1 of 3 features: days that are yet to come after 2026-03-01" in told
        assert "field 'date' holds '31/12/2025' in 1 of 3 features: a day is YYYY-MM-DD" in told
        assert len(read(write(text.replace("31/12", "12/31")), today=None).events) == 3

    def test_accuracy_that_is_not_understood_is_unknown(self, write) -> None:
        inventory = write("id,lat,lon,accuracy\n1,36.25,-84.25,fair\n2,36.3,-84.25,20\n")
        reading = read(inventory)
        assert np.isnan(reading.events["accuracy_m"][0])
        assert "field 'accuracy' holds 'fair' in 1 of 2 features: not understood" in reading.notes[0]
        assert summary(reading, inventory)["not_teaching"] == {"location of unknown accuracy": 1}


class TestMadeIds:
    ROWS = "lat,lon,date,note\n36.25,-84.25,2014-02-03,a\n36.25,-84.26,,b\n36.25,-84.25,2014-02-04,c\n"

    def test_without_a_field_for_it_an_id_is_made_of_place_and_day(self, write) -> None:
        reading = read(write(self.ROWS))
        assert reading.events["id"].is_unique
        assert reading.events["id"].str.fullmatch("[0-9a-f]{12}").all()
        assert "id" not in reading.fields
        assert "an id was made of each one's place and day" in reading.notes[0]

    def test_it_stays_whatever_else_changes(self, write) -> None:
        ids = read(write(self.ROWS)).events["id"]
        header, *rows = self.ROWS.splitlines()
        other = "\n".join([header + ",accuracy", *(f"{row},5" for row in reversed(rows))]).replace(
            "2014-02-03", "2/3/2014"
        )
        assert list(read(write(other, "other.csv")).events["id"]) == list(ids[::-1])
        moved = read(write(self.ROWS.replace("-84.26", "-84.27"), "moved.csv")).events["id"]
        assert [a == b for a, b in zip(ids, moved, strict=True)] == [True, False, True]

    def test_a_shapefile_too(self, tmp_path: Path) -> None:
        shapes = [box(-84.3, 36.2, -84.29, 36.21), box(-84.2, 36.2, -84.19, 36.21)]
        gpd.GeoDataFrame({"n": [1, 2]}, geometry=shapes, crs=4326).to_file(tmp_path / "s.shp")
        assert read(Inventory(file=tmp_path / "s.shp")).events["id"].is_unique

    def test_one_place_and_day_is_one_event(self, write) -> None:
        twice = self.ROWS + "36.25,-84.26,,d\n"
        assert read(write(twice)).left_out == {"said twice, merged": 1}
        told = refused(write("lat,lon,trigger\n36.25,-84.25,rain\n36.25,-84.25,melt\n"))
        assert "2 of 2 features are of the same place and day as another but say something else" in told
        assert "name a field with id = …" in told


class TestLabels:
    ROWS = "id,lat,lon,slide\n1,36.25,-84.25,TRUE\n2,36.25,-84.26,False\n3,36.25,-84.27,\n4,36.25,-84.28,false\n"
    GIVEN: ClassVar = {"label": "slide", "negatives": {"rule": "given"}}

    def test_places_that_did_not_slide_are_told_apart(self, write) -> None:
        inventory = write(self.ROWS, **self.GIVEN)
        reading = read(inventory)
        assert list(zip(reading.events["id"], reading.events["slid"], strict=True)) == [
            *(("1", True), ("2", False), ("4", False))
        ]
        assert reading.left_out == {"without a label": 1}
        assert reading.notes == (
            "by field 'slide', landslides are 'TRUE' (1); places that did not slide 'False' (1), 'false' (1)",
        )
        told = summary(reading, inventory)
        assert (told["events"], told["undated"], told["teaching"]) == (1, 1, 1)
        assert (told["stable_places"], told["stable_teaching"], told["not_teaching"]) == (2, 2, {})

    def test_without_a_label_all_slid(self, write) -> None:
        inventory = write(self.ROWS)
        assert read(inventory).events["slid"].all()
        assert "stable_places" not in summary(read(inventory), inventory)

    @pytest.mark.parametrize("both", [("TRUE", "False"), ("0", "1"), ("yes", "no")])
    def test_a_label_that_is_not_asked_for_is_pointed_at(self, write, both: tuple[str, str]) -> None:
        rows = "id,lat,lon,slide\n" + "".join(f"{n},36.25,-84.2{n},{said}\n" for n, said in enumerate(both))
        told = "field 'slide' says yes or no: if it tells which rows are landslides, name it with label = …"
        assert told in read(write(rows)).notes
        assert told not in read(write(rows, label="slide")).notes

    @pytest.mark.parametrize(
        ("label", "stable"),
        [
            *((["TRUE", "False"], {}), ([1.0, 0.0], {}), ([True, False], {}), (["yes", "No"], {})),
            (["rutsch", "kein  Rutsch"], {"stable": ("Kein Rutsch",)}),
        ],
    )
    def test_however_it_is_written(self, save, label: list, stable: dict) -> None:
        inventory = save([Point(-84.25, 36.25), Point(-84.26, 36.25)], kind=label)
        labelled = inventory.model_copy(update={"label": "kind"} | stable)
        assert read(labelled).events["slid"].tolist() == [True, False]

    def test_a_stable_place_has_no_trigger_but_a_location(self) -> None:
        rows = [("a", None, 0, "earthquake", Point(-84.2, 36.2)), ("b", None, 5000, "", Point(-84.3, 36.2))]
        events = made(*rows).assign(slid=False)
        assert lessons(events, Inventory(file="x")) == ["", "location worse than 100 m"]

    def test_a_stable_place_is_no_repetition(self) -> None:
        rows = [(name, date(2014, 2, 3), 50, "rain", Point(-84.2, 36.2)) for name in "ab"]
        assert lessons(made(*rows).assign(slid=[True, False]), Inventory(file="x")) == ["", ""]

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"stable": ("stable",)}, 'names no place that did not slide, which negatives.rule = "given" lives on'),
            ({"stable": ("stable",)}, "it holds 'TRUE' (1), 'False' (1), 'false' (1); say with stable = [\"…\"]"),
            ({"stable": ("true", "FALSE")}, "field 'slide' names no landslide: it holds 'TRUE' (1), 'False' (1)"),
            ({"label": "none"}, "there is no field 'none'; there are id, lat, lon, slide"),
        ],
    )
    def test_labels_that_cannot_be(self, write, changed: dict, says: str) -> None:
        assert says in refused(write(self.ROWS, **(self.GIVEN | changed)))

    def test_a_rule_that_lives_on_labels_needs_them(self) -> None:
        with pytest.raises(ValidationError, match=r'negatives.rule = "given" needs label = …'):
            Inventory(file="x.csv", negatives={"rule": "given"})

    @given(st.lists(st.sampled_from(["no", " NO", "yes", "0", "1"])))
    def test_capitals_and_blanks_say_nothing(self, labels: list[str]) -> None:
        stripped = [label.strip() for label in labels]
        assert slid_of(stripped, ("No ", "0")) == [label.lower() not in ("no", "0") for label in stripped]


class TestSameEvents:
    DAY, NEXT = date(2014, 2, 3), date(2014, 2, 4)

    def test_a_point_within_the_others_accuracy_on_its_day(self) -> None:
        here, near, far = Point(-84.25, 36.25), Point(-84.25, 36.2545), Point(-84.25, 36.28)  # 500 m, 3.3 km
        rows = [("a", self.DAY, 0, "", here), ("b", self.DAY, 1000, "", near), ("c", self.DAY, 1000, "", far)]
        assert same_events(made(*rows)) == {"b": "a"}
        assert same_events(made(rows[0], ("b", self.NEXT, 1000, "", near), ("n", None, 1000, "", here))) == {}
        assert same_events(made(("u", self.DAY, np.nan, "", here), ("v", self.DAY, np.nan, "", here))) == {"v": "u"}

    def test_metres_are_metres_east_as_well(self) -> None:
        one, other = Point(-84.25, 60.0), Point(-84.25 + 0.017, 60.0)  # 945 m
        assert same_events(made(("a", self.DAY, 960, "", one), ("b", self.DAY, 0, "", other))) == {"a": "b"}
        assert same_events(made(("a", self.DAY, 930, "", one), ("b", self.DAY, 0, "", other))) == {}

    def test_outlines_that_overlap_a_little_are_two(self) -> None:
        left, right = box(-84.30, 36.2, -84.29, 36.21), box(-84.291, 36.2, -84.28, 36.21)
        most = box(-84.299, 36.2, -84.289, 36.21)
        rows = [("a", self.DAY, np.nan, "", left), ("b", self.DAY, np.nan, "", right)]
        assert same_events(made(*rows, outline=True)) == {}
        assert same_events(made(*rows, ("c", self.DAY, np.nan, "", most), outline=True)) == {"c": "a"}

    def test_many_are_told_in_short(self, write) -> None:
        rows = "".join(f"{n},36.25,-84.25,2014-02-03\n" for n in range(30))
        notes = read(write("id,lat,lon,date\n" + rows)).notes
        assert len(notes) == 21
        assert notes[-1] == "… and 9 more of the kind"

    def test_it_is_told(self, write) -> None:
        inventory = write("id,lat,lon,date,accuracy\nx,36.25,-84.25,2014-02-03,50\ny,36.2501,-84.25,2014-02-03,10\n")
        reading = read(inventory)
        assert len(reading.events) == 2
        assert reading.notes == ("x seems to be the same event as y",)
        assert summary(reading, inventory)["not_teaching"] == {"the same event as another": 1}


class TestLessons:
    ROWS = (
        ("a", None, 0, "rain", Point(-84.20, 36.2)),
        ("b", None, 99, "", Point(-84.21, 36.2)),
        ("c", None, 0, "earthquake", Point(-84.22, 36.2)),
        ("d", None, 0, "freeze_thaw", Point(-84.23, 36.2)),
        ("e", None, 1000, "rain", Point(-84.24, 36.2)),
        ("f", None, np.nan, "rain", Point(-84.25, 36.2)),
    )

    @pytest.mark.parametrize(
        ("rules", "teach"),
        [
            ({}, "ab"),
            ({"max_accuracy_m": 1000}, "abe"),
            ({"max_accuracy_m": 50}, "a"),
            ({"triggers": ("rain",)}, "a"),
            ({"triggers": ("rain", "melt", "unknown")}, "abd"),
            ({"triggers": ("Freeze thaw",)}, "d"),
        ],
    )
    def test_the_rule(self, rules: dict, teach: str) -> None:
        events = made(*self.ROWS)
        reasons = lessons(events, Inventory(file="x", **rules))
        assert "".join(events["id"][[not reason for reason in reasons]]) == teach

    def test_no_word_makes_an_earthquake_teach(self) -> None:
        events = made(("a", None, 0, "seismic", Point(-84.2, 36.2)))
        assert lessons(events, Inventory(file="x", triggers=("seismic",))) == ["trigger earthquake"]

    def test_an_outline_is_taken_as_it_was_drawn(self) -> None:
        assert lessons(made(self.ROWS[5], outline=True), Inventory(file="x")) == [""]
        assert lessons(made(self.ROWS[4], outline=True), Inventory(file="x")) == ["location worse than 100 m"]

    @pytest.mark.parametrize(
        ("entries", "says"),
        [
            ({"triggers": ("rain", "Earthquake")}, "an earthquake teaches nothing about rain"),
            ({"x": "lon"}, "give both x = … and y = …"),
            ({"file": "slides.gpkg", "crs": "EPSG:32616"}, "x, y and crs are of a CSV"),
        ],
    )
    def test_entries_that_make_no_sense(self, entries: dict, says: str) -> None:
        with pytest.raises(ValidationError, match=says):
            Inventory(**({"file": "slides.csv"} | entries))


class TestCommands:
    def test_check_of_a_file_alone(self, write) -> None:
        inventory = write(GLC, encoding="cp1252")
        done = CliRunner().invoke(app, ["check", str(inventory.file), "--json"])
        assert done.exit_code == 0, done.output
        facts = json.loads(done.stdout)
        assert facts["fields"]["trigger"] == "landslide_trigger"
        assert (facts["events"], facts["left_out"]) == (5, {"no coordinates": 1})
        assert "5 km" in CliRunner().invoke(app, ["check", str(inventory.file)]).stdout

    def test_check_refuses_what_is_yet_to_come(self, write) -> None:
        inventory = write("id,date,lat,lon\n1,1/1/2999,36.25,-84.25\n")
        done = CliRunner().invoke(app, ["check", str(inventory.file)])
        assert isinstance(done.exception, RegionError)
        assert "file: " in str(done.exception)
        assert "yet to come" in str(done.exception)

    def test_load_twice(self, write, make_region, fresh_engine, fresh_database_url) -> None:
        region = make_region(inventory=write(GLC, encoding="cp1252").model_dump())
        settings = Settings(database_url=fresh_database_url)
        with pytest.raises(DatabaseError, match="testland is not recorded; run: lswarn region build"):
            groundwork.load_landslides(region, settings, TODAY)
        with transaction(fresh_engine) as conn:
            record_region(conn, region, "")
        first = groundwork.load_landslides(region, settings, TODAY)
        assert (first["events"], first["new"], first["known"]["teaching"]) == (4, 4, 1)
        again = groundwork.load_landslides(region, settings, TODAY)
        assert (again["new"], again["updated"], again["unchanged"]) == (0, 0, 4)
        with pytest.raises(RegionError, match="yet to come"):
            groundwork.load_landslides(region, settings, date(2014, 1, 1))
