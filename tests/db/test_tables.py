from datetime import UTC, date, datetime

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from lswarn.db import alerts, assets, circuit, critical, inputs, tokens
from lswarn.model.drift import Shift

BOWTIE = "ST_GeomFromText('{kind}(((0 0, 1 1, 1 0, 0 1, 0 0)))', 4326)"
CHECKS = {
    "ck_warning_area_geometry": "geometry = " + BOWTIE.format(kind="MULTIPOLYGON"),
    "ck_road_length": "length_m = 0",
    "ck_settlement_geometry": "geometry = " + BOWTIE.format(kind="MULTIPOLYGON"),
    "ck_settlement_area": "area_m2 = 0",
    "ck_settlement_population": "population = -1",
    "ck_asset_change_kind": "kind = 'bridge'",
    "ck_asset_change_change": "change = 'lost'",
    "ck_landslide_accuracy": "accuracy_m = -1",
    "ck_landslide_confirmed": "confirmed = false",
    "ck_landslide_reported": "reported_by = 'me'",
    "ck_landslide_decided": "decided_by = 'me'",
    "ck_landslide_photo_kind": "media_type = 'image/svg+xml'",
    "ck_landslide_photo_bytes": "bytes = ''",
    "ck_api_token_name": "name = ' '",
    "ck_api_token_scopes": "scopes = '{admin}'",
    "ck_api_token_digest": "digest = 'short'",
    "ck_landslide_geometry": "geometry = ST_GeomFromText('MULTIPOLYGON EMPTY', 4326)",
    "ck_model_role": "role = 'king'",
    "ck_model_drift_psi": "psi = -0.1",
    "ck_model_drift_cells": "cells = -1",
    "ck_run_grade": "grade = 'F'",
    "ck_run_kind": "kind = 'guess'",
    "ck_run_lead": "lead_days = 1, status = 'modelled'",
    "ck_run_status": "model_id = NULL",
    "ck_critical_source_rain": "rain_max_mm = 0",
    "ck_asset_critical_kind": "kind = 'bridge'",
    "ck_asset_critical_class": "class = 3",
    "ck_asset_critical_critical": "critical_mm = 'Infinity'",
    "ck_class_area_class": "class = 6",
    "ck_run_tile_place": "tile_col = -1",
    "ck_class_area_area": "area_m2 = -1",
    "ck_run_zone_class": "class = 3",
    "ck_run_zone_area": "area_m2 = 0",
    "ck_run_zone_probability": "probability_max = 'NaN'",
    "ck_zone_shape_geometry": "geometry = ST_GeomFromText('POLYGON((0 0, 1 1, 1 0, 0 1, 0 0))', 4326)",
    "ck_rainfall_exceedance_rain": "rain_mm = 0",
    "ck_road_part_number": "number = 0",
    "ck_road_part_length": "length_m = 0",
    "ck_settlement_part_number": "number = 1048576",
    "ck_settlement_part_share": "area_share = 1.1",
    "ck_settlement_part_people": "people = -1",
    "ck_exposure_total_class": "class = 3",
    "ck_exposure_total_known": "people = -1",
    "ck_zone_lineage_overlap": "overlap_m2 = 0",
    "ck_alert_level": "level = 3",
    "ck_alert_closed": "closed_on = '2099-01-01'",
    "ck_alert_days": "changed_on = '1999-01-01'",
    "ck_alert_state": "state = 'closed'",
    "ck_alert_status": "run_id = NULL",
    "ck_alert_message_kind": "kind = 'rumour'",
    "ck_alert_message_alert": "alert_id = NULL",
    "ck_alert_message_level": "level = -1",
    "ck_alert_message_status": "status = 'joke'",
    "ck_alert_message_approval": "approval = 'waiting', released_at = NULL",
    "ck_alert_message_released": "released_at = NULL",
    "ck_alert_message_decided": "approval = 'approved'",
    "ck_alert_message_cap": "cap = 'x'",
    "ck_alert_message_acknowledged": "acknowledged_by = 'me'",
    "ck_alert_message_subject": "subject = E'Red\\nBcc: everybody'",
    "ck_subscriber_channel": "channel = 'pigeon'",
    "ck_subscriber_level": "level = 0",
    "ck_circuit_failures": "failures = 0",
    "ck_delivery_carried": "carried_by = id",
    "ck_delivery_tries": "tries = -1",
    "ck_delivery_status": "status = 'lost'",
    "ck_delivery_delivered": "status = 'sent'",
}


def record_place(conn, region):
    """What one road can take."""
    one = np.ones(1)
    rows = critical.CriticalRows(
        "road", one.astype(int), one.astype(int), (5 * one).astype(int), one, one > 0, one, one
    )
    critical.record_critical(conn, region, critical.CriticalSource("layers", "net", "sum", 300.0), [rows], "assets")


@pytest.fixture
def full(recorded, conn, make_message):
    """A world with a row in every table."""
    assets.record_asset(conn, recorded.region, "roads", recorded.roads.assign(ref="I-2"))
    assets.record_landslides(conn, recorded.region, recorded.settlements.assign(day=None))
    recorded.publish(conn, day=date(2015, 10, 1), zones=("high",))
    run_id = recorded.publish(conn).run_id
    record_place(conn, recorded.region)
    recorded.alarm(conn, run_id)
    alerts.queue_messages(conn, recorded.region, [make_message()], "2015-10-03T00:00Z")
    circuit.mark_lane_failed(conn, "email", datetime.now(UTC), "no answer")
    inputs.record_drift(conn, recorded.region, "net", [Shift("ground", "slope", 0.1, 9)], datetime.now(UTC))
    tokens.record_token(conn, "web", ["read"], datetime.now(UTC), datetime.now(UTC))
    conn.execute(text("INSERT INTO lswarn.landslide_photo SELECT id, 'image/png', 'x' FROM lswarn.landslide"))
    return recorded


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_holds(full, conn, name):
    table = conn.execute(
        text("SELECT conrelid::regclass FROM pg_constraint WHERE conname = :name"), {"name": name}
    ).scalar()
    with pytest.raises(IntegrityError) as caught, conn.begin_nested():
        conn.execute(text(f"UPDATE {table} SET {CHECKS[name]}"))
    assert caught.value.orig.diag.constraint_name == name


def test_no_check_is_forgotten(conn):
    query = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'lswarn'::regnamespace"
    assert set(conn.execute(text(query)).scalars()) == set(CHECKS)


def test_every_table_view_and_column_is_explained(conn):
    silent = text("""
        SELECT relname, attname
        FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relnamespace = 'lswarn'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'alembic_version'
          AND (obj_description(pg_class.oid) IS NULL
               OR attname IS NOT NULL AND col_description(attrelid, attnum) IS NULL)""")
    assert conn.execute(silent).all() == []


def test_every_function_is_explained(conn):
    silent = text("""SELECT proname FROM pg_proc WHERE pronamespace = 'lswarn'::regnamespace
                     AND obj_description(oid, 'pg_proc') IS NULL""")
    assert conn.execute(silent).all() == []


def test_every_foreign_key_into_a_run_is_indexed_for_its_removal(conn):
    """Superseding a run deletes by run_id."""
    query = text("""
        SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r'
        WHERE relnamespace = 'lswarn'::regnamespace AND attname = 'run_id' AND relname NOT LIKE 'alert%'
          AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indkey[0] = attnum)""")
    assert conn.execute(query).all() == []


class TestRoles:
    def test_a_reader_sees_what_was_found_but_nobodys_address(self, full, conn):
        conn.execute(text("SET LOCAL ROLE lswarn_reader"))
        assert conn.execute(text("SELECT count(*) FROM lswarn.exposed_road_now")).scalar() == 3
        assert conn.execute(text("SELECT count(*) FROM lswarn.alert_message")).scalar() == 1
        for forbidden in (
            "SELECT address FROM lswarn.subscriber",
            "SELECT digest FROM lswarn.api_token",
            "SELECT bytes FROM lswarn.landslide_photo",
            "DELETE FROM lswarn.run",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), conn.begin_nested():
                conn.execute(text(forbidden))

    def test_a_writer_publishes(self, recorded, conn):
        conn.execute(text("SET LOCAL ROLE lswarn_writer"))
        assert not recorded.publish(conn).repeated
        assert not recorded.publish(conn, key="k2").repeated
