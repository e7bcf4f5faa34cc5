"""docs/sql.md is true: every query on it runs, for a reader, and has an answer."""

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sqlalchemy import text

from lswarn.db import alerts
from lswarn.db.critical import CriticalRows, CriticalSource, record_critical, record_rain
from lswarn.hazard.rasters import save_rain

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DAY = date(2026, 3, 18)
LATS, LONS = np.linspace(36.05, 36.55, 6), np.linspace(-84.55, -84.05, 6)


@pytest.fixture
def days(recorded, conn, make_message, tmp_path):
    """Two days of the demo, an outlook and an alert, in a small world at the same place."""
    recorded.alarm(conn, recorded.publish(conn, day=DAY - timedelta(days=1)).run_id)
    alerts.queue_messages(conn, recorded.region, [make_message(valid_day=DAY - timedelta(days=1))], "2026-03-18T00:00Z")
    newest = recorded.publish(conn, day=DAY, zones=("half of the hamlet", "high", "quarter of the town")).run_id
    rain = xr.DataArray(np.full((6, 6), 80.0), {"lat": LATS, "lon": LONS}, ("lat", "lon"))
    save_rain(tmp_path / "rain.tif", rain)
    record_rain(conn, newest, tmp_path / "rain.tif")
    roads = conn.execute(text("SELECT id FROM lswarn.road ORDER BY source_id")).scalars().all()
    each = np.ones(len(roads))
    places = CriticalRows(
        "road", np.array(roads), (0 * each).astype(int), (5 * each).astype(int), 90 * each, each < 0, -84.25 * each,
        36.275 * each,
    )  # fmt: skip
    record_critical(conn, recorded.region, CriticalSource("layers", "net", "sum", 300.0), [places], "assets")
    recorded.publish(conn, "outlook", day=DAY + timedelta(days=1), lead_days=1)
    return recorded


@pytest.fixture
def reader(days, conn):
    conn.execute(text("SET LOCAL ROLE lswarn_reader"))
    return conn


def test_there_are_queries():
    assert len(QUERIES) >= 12


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.strip().splitlines()[0][:60])
def test_every_query_has_an_answer(reader, query):
    rows = reader.exec_driver_sql(query.replace("'demo'", "'testland'").replace("%", "%%")).all()
    assert rows
    assert all(any(value is not None for value in row) for row in rows)


def test_what_the_page_says_of_the_bus_route(reader):
    query = next(query for query in QUERIES if "LINESTRING" in query)
    classes = [row[0] for row in reader.exec_driver_sql(query)]
    assert classes == [4, 2]


def test_every_view_and_function_is_on_the_page(conn):
    query = text("""
        SELECT relname FROM pg_class WHERE relnamespace = 'lswarn'::regnamespace AND relkind = 'v'
        UNION SELECT proname FROM pg_proc
        WHERE pronamespace = 'lswarn'::regnamespace AND proname NOT LIKE '%_in_run'""")
    known = set(conn.execute(query).scalars())
    told = set(re.findall(r"`(\w+)(?:\([\w, ]*\))?`", "\n".join(re.findall(r"^\|.*\|$", PAGE, re.MULTILINE))))
    assert known <= told
    assert {name for name in told if name.endswith(("_now", "_at", "_of", "_zone", "_tile"))} <= known
