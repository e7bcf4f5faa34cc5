"""Verification end to end: ten days of made alerts, maps and landslides, each figure known by hand."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import typer
from affine import Affine
from pydantic import SecretStr
from pyproj import Transformer
from shapely import Point, box
from shapely.geometry.base import BaseGeometry
from sqlalchemy import text
from typer.testing import CliRunner

from lswarn.cli import verify as cli
from lswarn.db import assets, inputs
from lswarn.db.engine import Connection, open_database, transaction
from lswarn.errors import RegionError
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY
from lswarn.region import Region
from lswarn.settings import Settings
from lswarn.verification import verify

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))
CELL, HEIGHT, WIDTH = 40, 100, 200
NO_RUN, LOWER_BOUND = 6, 7
SLOPE = (20, 60, 40, 80)
"""Rows and columns of the cells that are very high on day 3."""


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def at(number: int, hour: float) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number, hours=hour)


def metres(shapes: list[BaseGeometry], **columns: list[object]) -> gpd.GeoDataFrame:
    """From metres east and north of the world's middle."""
    moved = gpd.GeoSeries(shapes, crs=32616).translate(X, Y)
    return gpd.GeoDataFrame(columns, geometry=moved, crs=32616).to_crs(4326)


@dataclass
class House:
    region: Region
    settings: Settings
    folder: Path

    def verify(self, last: int = 9, **options: object):
        return verify(self.region, self.settings, FIRST, day(last), NOW, **options)

    def publish(self, conn: Connection, number: int, kind: str = "observed") -> int:
        folder = self.folder / f"{kind}-{number}"
        folder.mkdir()
        classes = np.full((HEIGHT, WIDTH), 2, np.uint8)
        chance = np.full((HEIGHT, WIDTH), 0.001)
        top, bottom, left, right = SLOPE
        if number == 3:
            classes[top:bottom, left:right] = 5
            chance[top:bottom, left:right] = 0.5
        if number == LOWER_BOUND:
            classes[:] = 0
        steps = np.round(chance / PROBABILITY_STEP).astype(np.uint16)
        steps[:, :5] = UNKNOWN_PROBABILITY
        transform = Affine(CELL, 0, X - 4000, 0, -CELL, Y + 2000)
        profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1, "crs": 32616}
        profile |= {"transform": transform, "tiled": True, "blockxsize": 128, "blockysize": 128}
        for name, cells in (("classes", classes), ("probability", steps)):
            with rasterio.open(folder / f"{name}.tif", "w", dtype=cells.dtype, **profile) as file:
                file.write(cells, 1)
        square = float(CELL**2)
        counts = [
            (area, number_of, float((half == number_of).sum()) * square)
            for area, half in (("west", classes[:, :100]), ("east", classes[:, 100:]))
            for number_of in range(6)
        ]
        grade = "D" if number == LOWER_BOUND else "A"
        rasters = {name: {"path": str(folder / f"{name}.tif"), "sha256": "x"} for name in ("classes", "probability")}
        run_id = conn.execute(
            text("""INSERT INTO lswarn.run (region, valid_day, kind, key, status, grade, model_id, rain, missing,
                                            rules_digest, assets_digest, software, rasters, published_at)
                    VALUES ('testland', :day, :kind, 'k', :status, :grade, 'net', '[]', '{}', 'r', 'a', '0', :rasters,
                            :at)
                    RETURNING id"""),
            {
                "day": day(number),
                "kind": kind,
                "status": "complete" if grade == "A" else "lower_bound",
                "grade": grade,
                "rasters": json.dumps(rasters),
                "at": at(number + 1, 15),
            },
        ).scalar_one()
        conn.execute(
            text("""INSERT INTO lswarn.class_area (run_id, area_id, class, area_m2)
                    SELECT :run_id, id, :class, :area_m2 FROM lswarn.warning_area WHERE source_id = :area"""),
            [{"run_id": run_id, "area": area, "class": each, "area_m2": m2} for area, each, m2 in counts],
        )
        return run_id


LANDSLIDES: list[dict[str, object]] = [
    # In the very-high slope, warned of the day before.
    {"id": "warned", "day": day(3), "at": (-2000, 500)},
    {"id": "missed", "day": day(9), "at": (2000, 500)},
    {"id": "blind", "day": day(NO_RUN), "at": (2000, -500)},
    {"id": "somewhere", "day": day(3), "at": (2000, 0), "accuracy_m": 20_000.0},
    {"id": "undated", "day": None, "at": (-3000, -1500)},
    {"id": "shaken", "day": day(8), "at": (-3000, -1000), "trigger": "earthquake"},
    {"id": "before", "day": day(-30), "at": (-3000, -500)},
]


def landslides() -> gpd.GeoDataFrame:
    shapes = [Point(*slide["at"]).buffer(100) for slide in LANDSLIDES]
    return metres(
        shapes,
        id=[slide["id"] for slide in LANDSLIDES],
        day=[slide["day"] for slide in LANDSLIDES],
        accuracy_m=[slide.get("accuracy_m", np.nan) for slide in LANDSLIDES],
        trigger=[slide.get("trigger", "rain") for slide in LANDSLIDES],
        source=[""] * len(LANDSLIDES),
    )


def say(
    conn: Connection, area: str, run_id: int, words: list[tuple[int, int, datetime | None]], **alert: object
) -> None:
    """An alert and its messages: level, day it speaks of, and when it was released (None: it never was)."""
    opened, closed = words[0][1], words[-1][1] if words[-1][0] == 0 else None
    facts = {"area": area, "run": run_id, "opened": day(opened), "closed": closed and day(closed), "status": "actual"}
    facts |= {"level": 0 if closed else words[-1][0], "state": "closed" if closed else "open"} | alert
    alert_id = conn.execute(
        text("""INSERT INTO lswarn.alert (area_id, level, opened_on, changed_on, closed_on, run_id, below, told, state,
                                          status)
                SELECT id, :level, :opened, coalesce(:closed, :opened), :closed, :run, '[]', '{}', :state, :status
                FROM lswarn.warning_area WHERE source_id = :area RETURNING id"""),
        facts,
    ).scalar_one()
    for number, (level, speaks_of, released) in enumerate(words):
        kind = "open" if number == 0 else "clear" if level == 0 else "raise" if level == 2 else "update"
        conn.execute(
            text("""INSERT INTO lswarn.alert_message
                        (region, alert_id, run_id, kind, level, valid_day, subject, text, html, payload, map_png,
                         queued_at, status, approval, review_until, released_at)
                    VALUES ('testland', :alert, :run, :kind, :level, :day, 's', 't', 'h', '{}', '', :queued, :status,
                            :approval, :queued, :released)"""),
            {
                "alert": alert_id,
                "run": run_id,
                "kind": kind,
                "level": level,
                "day": day(speaks_of),
                "queued": at(speaks_of + 1, 15),
                "status": facts["status"],
                "approval": "auto" if released else "waiting",
                "released": released,
            },
        )


@pytest.fixture
def verified_house(make_region: Callable[..., Region], fresh_database_url: str, tmp_path: Path) -> Iterator[House]:
    region = make_region()
    settings = Settings(database_url=SecretStr(fresh_database_url), var_dir=tmp_path / "var")
    house = House(region, settings, tmp_path)
    areas = metres(
        [box(-4000, -2000, 0, 2000), box(0, -2000, 4000, 2000)], id=["west", "east"], name=["West <b>", "East $x$"]
    )
    nothing = gpd.GeoDataFrame({"id": []}, geometry=[], crs=4326)
    with transaction(open_database(settings), region) as conn:
        assets.record_region(conn, region, "assets")
        assets.record_assets(conn, region, nothing, nothing, areas)
        inputs.record_model(conn, region, "net", path=Path("n"), snapshot_id="s", metrics={}, made_at=NOW)
        assets.record_landslides(conn, region, landslides())
        runs = {number: house.publish(conn, number) for number in range(10) if number != NO_RUN}
        say(conn, "west", runs[3], [(1, 2, at(2, 6)), (2, 3, at(4, 15)), (0, 5, at(6, 15))])
        say(conn, "east", runs[8], [(2, 8, None)])
        say(conn, "east", runs[5], [(2, 5, at(5, 1)), (0, 6, at(5, 2))], status="test")
        # The rest of the region is a warning area too; it is not on the maps of this test.
        conn.execute(text("UPDATE lswarn.warning_area SET retired_at = '2026-01-01' WHERE source_id = 'elsewhere'"))
    yield house
    open_database(settings).dispose()


def test_figures_are_those_known_by_hand(verified_house):
    told = verified_house.verify().told
    assert told["days"] == {"complete": 8, "with rain missing (grade D)": 1, "without a run": 1}
    assert told["landslides"] == {
        "judged": 3,
        "left_out": {"day unknown": 1, "location worse than 5000 m": 1, "trigger earthquake": 1},
    }
    orange, red = told["alerts"]["orange"], told["alerts"]["red"]
    counts = ("hits", "misses", "blind", "false_alarms", "near", "correct_negatives", "unknown")
    # Orange days 2 to 4 in the west around the landslide of day 3; days 6 and 7 tell nothing.
    assert [orange[name] for name in counts] == [1, 1, 1, 0, 2, 12, 3]
    assert [red[name] for name in counts] == [1, 1, 1, 0, 1, 13, 3]
    assert (orange["POD"], orange["POD_blind"], orange["FAR"], orange["CSI"]) == (1 / 2, 1 / 3, 0, 1 / 2)
    assert orange["areas"]["east"]["hits"] == 0
    assert orange["areas"]["east"]["blind"] == 1
    assert orange["lead"] == {
        "warned_of": 1,
        "told_before_the_day": 1,
        "told_before_it_was_over": 1,
        "reached_nobody": 0,
        "median_h": 18.0,
    }
    assert red["lead"]["median_h"] == -39.0
    assert red["lead"]["told_before_it_was_over"] == 0
    very_high = told["classes"]["very high"]
    assert [very_high[name] for name in counts] == [1, 1, 1, 0, 0, 14, 3]
    assert told["edumap"]["area_days"] == [[12, 1, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]]
    assert told["edumap"]["unknown"] == [3, 1, 0, 0]
    shares = {row["name"]: (row["landslides"], row["landslide_share"]) for row in told["class_shares"]}
    assert shares == {"very low": (0, 0), "low": (1, 0.5), "moderate": (0, 0), "high": (0, 0), "very high": (1, 0.5)}
    assert told["class_not_known"] == 1
    events = {row["id"]: row for row in told["events"]}
    assert events.keys() == {"warned", "missed", "blind"}
    assert (events["warned"]["alert"], events["warned"]["class_here"]) == ("red", "very high")
    assert (events["missed"]["alert"], events["missed"]["class_near"]) == ("none", "below high")
    assert (events["blind"]["alert"], events["blind"]["class_here"]) == ("not known", "not known")


def test_probabilities_are_told_at_true_prevalence(verified_house):
    found = verified_house.verify().told["probabilities"]
    cells = HEIGHT * (WIDTH - 5)
    assert (found["days"], found["gone"]) == (8, 0)
    # Left out are on each day the cells of the landslides that are undated, badly placed or of another trigger.
    assert 8 * (cells - 80) < found["cells"] < 8 * cells
    rows = {row["low"]: row for row in found["reliability"] if row["landslide_cells"]}
    assert rows.keys() == {1e-3, 0.3}
    assert rows[0.3]["probability"] == pytest.approx(0.5, abs=0.01)
    slope = (SLOPE[1] - SLOPE[0]) * (SLOPE[3] - SLOPE[2])
    assert rows[0.3]["cells"] == slope
    assert rows[0.3]["rate"] == rows[0.3]["landslide_cells"] / slope
    assert found["auc"] > 0.7


def test_a_raster_that_is_gone_is_told_of_and_nothing_is_made_up(verified_house, caplog):
    for name in ("classes", "probability"):
        (verified_house.folder / "observed-3" / f"{name}.tif").unlink()
    told = verified_house.verify().told
    assert (told["probabilities"]["days"], told["probabilities"]["gone"]) == (7, 1)
    assert told["classes"]["high"]["blind"] == 2
    assert told["classes"]["high"]["hits"] == 0
    assert next(row for row in told["events"] if row["id"] == "warned")["class_here"] == "not known"
    assert "cannot be read" in caplog.text


def test_tolerances_widen_what_counts_as_warned_of(verified_house):
    strict = verified_house.verify(tolerance_days=0, tolerance_m=0).told["alerts"]["orange"]
    assert (strict["hits"], strict["false_alarms"]) == (1, 2)
    wide = verified_house.verify(tolerance_days=3, tolerance_m=10_000).told["alerts"]["orange"]
    assert (wide["hits"], wide["false_alarms"]) == (2, 0)


def test_a_hindcast_stands_in_for_a_run_only_where_asked_and_never_for_alerts(verified_house):
    with transaction(open_database(verified_house.settings), verified_house.region) as conn:
        verified_house.publish(conn, NO_RUN, "hindcast")
    assert verified_house.verify().told["days"]["without a run"] == 1
    told = verified_house.verify(hindcasts=True).told
    assert (told["days"]["complete"], told["hindcast_days"]) == (9, 1)
    assert told["classes"]["high"]["blind"] == 0
    assert told["classes"]["high"]["misses"] == 2
    assert told["alerts"]["orange"]["blind"] == 1


def test_the_page_says_all_of_it_and_injects_nothing(verified_house):
    done = verified_house.verify()
    page = done.html_path.read_text("utf-8")
    assert "West &lt;b&gt;" in page
    assert "West <b>" not in page
    assert "3 landslides of known day" in page
    assert "POD = hits / (hits + misses)" in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert "Made up." in page
    assert json.loads(done.json_path.read_text("utf-8"))["alerts"]["orange"]["hits"] == 1
    assert "NaN" not in done.json_path.read_text("utf-8")


def test_a_time_of_which_nothing_is_known_has_no_figures(verified_house):
    region, settings = verified_house.region, verified_house.settings
    done = verify(region, settings, date(2020, 1, 1), date(2020, 1, 3), NOW)
    orange = done.told["alerts"]["orange"]
    assert done.told["days"] == {"without a run": 3}
    # `elsewhere` was watched then.
    assert (orange["unknown"], orange["correct_negatives"], orange["POFD"]) == (9, 0, None)
    assert "Of no complete day" in done.html_path.read_text("utf-8")
    with pytest.raises(RegionError, match="before START"):
        verify(region, settings, date(2020, 1, 3), date(2020, 1, 1), NOW)


@pytest.fixture
def lswarn(verified_house, monkeypatch):
    app = typer.Typer()
    app.command()(cli.verify)
    app.add_typer(cli.events_app, name="events")
    monkeypatch.setattr(cli, "region_of", lambda named, settings: verified_house.region)
    monkeypatch.setattr(cli, "load_settings", lambda: verified_house.settings)
    monkeypatch.setattr(cli, "clock", lambda: NOW)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_by_hand(lswarn):
    done = lswarn("verify", "2026-03-01", "2026-03-10", "--json", "--tolerance-days", "0")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["tolerance_days"] == 0
    shown = lswarn("verify", "2026-03-01", "2026-03-10").stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["hits", "1", "1", "1", "1"] in rows
    assert ["POD", "0.5", "0.5", "0.5", "0.5", "hits", "/", "(hits", "+", "misses)"] in rows
    assert ["lead,", "hours", "18", "-39", "–", "–"] in [row[:6] for row in rows]


def test_new_events_come_in_and_make_no_other_landslide_their_own(lswarn, tmp_path, verified_house):
    lon, lat = Transformer.from_crs(32616, 4326, always_xy=True).transform(X - 1000, Y)
    report = tmp_path / "reports.csv"
    report.write_text(f"no,seen,lon,lat\nmissed,2026-03-04,{lon},{lat}\nnew,2026-03-04,{lon},{lat + 0.005}\n")
    refused = lswarn("events", "import", report, "--id", "no", "--date", "seen")
    assert "known as other landslides, of another day and place (missed)" in str(refused.exception)
    words = ("events", "import", report, "--id", "no", "--date", "seen", "--prefix", "district-", "--json")
    done = lswarn(*words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["events"] == 2
    again = json.loads(lswarn(*words).stdout)
    assert (again["new"], again["updated"], again["unchanged"]) == (0, 0, 2)
    assert verified_house.verify().told["landslides"]["judged"] == 5
