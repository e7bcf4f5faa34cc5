"""What is known, asked over HTTP: the answers, and every bad question."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import SecretStr

from lswarn.db import tokens
from lswarn.db.engine import transaction

DAY = date(2015, 10, 2)
HERE = {"region": "testland", "lon": -84.25, "lat": 36.275}


def get(client, path, **params):
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer, status, words):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told = answer.json()
    assert told["status"] == status
    assert words in told["detail"]
    return told


class TestWhatIsKnown:
    def test_every_region_says_how_it_stands(self, client):
        other, test = get(client, "/api/regions")["items"]
        assert (other["name"], other["newest_day"], other["grade"]) == ("otherland", None, None)
        assert test["newest_day"] == "2015-10-02"
        assert test["bbox"] == [-84.4, 36.15, -84.1, 36.4]
        assert test["outlook_days"] == ["2015-10-03"]

    def test_runs_are_paged_and_say_how_old_their_rain_is(self, client):
        told = get(client, "/api/runs", region="testland", kind="observed", limit=1, offset=1)
        assert (told["total"], told["limit"], told["offset"]) == (3, 1, 1)
        (run,) = told["items"]
        assert (run["valid_day"], run["status"], run["rain_age_h"]) == ("2015-10-01", "lower_bound", 42.0)

    def test_a_day_without_an_observed_run_is_its_outlook(self, client):
        told = get(client, "/api/zones", region="testland", day="2015-10-03")
        assert (told["run"]["kind"], told["run"]["status"]) == ("outlook", "modelled")

    def test_areas_tell_unknown_from_none(self, client):
        told = get(client, "/api/areas", region="testland")
        stand = {each["properties"]["area_id"]: each["properties"] for each in told["features"]}
        assert (stand["west"]["state"], stand["west"]["level"], stand["west"]["known"]) == ("open", 2, True)
        assert (stand["east"]["state"], stand["east"]["known"]) == ("unknown", False)

    def test_areas_of_a_past_day_are_as_they_were_then(self, client):
        told = get(client, "/api/areas", region="testland", day="2015-10-01")
        assert {each["properties"]["state"] for each in told["features"]} == {"unknown"}  # a lower bound: nobody knows
        assert told["run"]["grade"] == "D"

    def test_areas_of_a_day_ahead_are_not_known(self, client):
        told = get(client, "/api/areas", region="testland", day="2015-10-03")
        assert [each["properties"]["known"] for each in told["features"]] == [False] * 3

    def test_areas_before_the_first_run_are_unknown(self, client):
        told = get(client, "/api/areas", region="otherland")
        assert told["run"] is None

    def test_exposure_is_the_worst_first_and_says_what_it_is_of(self, client):
        told = get(client, "/api/exposure", region="testland", limit=2)
        assert (told["numberMatched"], told["numberReturned"]) == (3, 2)
        assert [each["properties"]["length_m"] for each in told["features"]] == [500.0, 300.0]
        assert told["run"]["published_at"] == "2015-10-03T15:30:00+00:00"

    @pytest.mark.parametrize(
        ("which", "lengths"),
        [
            ({"class": "4"}, [200.0]),
            ({"bbox": "-84.25,36.27,-84.24,36.28"}, [500.0, 300.0]),
            ({"bbox": "-180,-90,180,90"}, [500.0, 300.0, 200.0]),
            ({"bbox": "10,40,11,41"}, []),
        ],
    )
    def test_exposure_of_a_class_or_box(self, client, which, lengths):
        told = get(client, "/api/exposure", region="testland", **which)
        assert [each["properties"]["length_m"] for each in told["features"]] == lengths

    def test_people_of_a_settlement_without_a_count_are_null(self, client):
        told = get(client, "/api/exposure", region="testland", asset="settlement")
        assert {each["properties"]["asset_id"]: each["properties"]["people"] for each in told["features"]} == {
            "town": 500,
            "hamlet": None,
        }

    def test_rain_says_unknown_and_what_it_is_made_of(self, client):
        told = get(client, "/api/rain", region="testland")
        cells = [each["properties"]["rain_mm"] for each in told["features"]]
        assert cells == [120.0] * 24 + [None]
        (day,) = told["days"]
        assert (day["product"], day["grade"], day["age_h"]) == ("IMERG-Late", "A", 18.0)

    def test_search_forgives_capitals_and_accents(self, client):
        (town,) = get(client, "/api/search", region="testland", q="tÓW")
        assert (town["kind"], town["name"], town["population"]) == ("settlement", "Town", 2000)
        (road,) = get(client, "/api/search", region="testland", q="i-1")
        assert (road["kind"], road["name"]) == ("road", "Long Road")

    @pytest.mark.parametrize(
        "q", ["%%", "__", "' OR 1=1 --", "<script>alert(1)</script>", "\\\\", "); DROP TABLE run;"]
    )
    def test_search_takes_everything_as_words(self, client, q):
        assert get(client, "/api/search", region="testland", q=q) == []

    def test_a_point_is_told_all_that_is_known(self, client):
        told = get(client, "/api/where", **HERE)
        assert (told["point_class"], told["rain_mm"], told["zone"]["zone_class"]) == (5, 120.0, 5)
        assert [(each["asset_id"], each["exposed_class"]) for each in told["near"]] == [("r1", 5)]
        assert told["rising"] == []

    def test_a_point_with_unknown_rain_is_not_dry(self, client):
        told = get(client, "/api/where", region="testland", lon=-84.39, lat=36.39, day="2015-10-01")
        assert told["rain_mm"] is None

    def test_outside_of_the_region_nothing_is_known(self, client):
        problem(client.get("/api/where", params=HERE | {"lon": 100}), 404, "100.0, 36.275 is not in testland")


class TestMessages:
    def test_an_alert_has_its_history(self, client, face):
        (alert,) = get(client, "/api/alerts", region="testland", state="open")["items"]
        told = get(client, f"/api/alerts/{alert['alert_id']}")
        assert [each["message_id"] for each in told["messages"]] == [face.released]
        assert told["messages"][0]["deliveries"] == {"pending": 2, "sent": 0, "dead": 0}

    def test_a_draft_is_there_only_for_reviewers(self, client, face):
        problem(client.get(f"/api/messages/{face.draft}"), 404, "there is no message")
        assert "Still red" not in client.get("/api/messages").text
        problem(client.get(f"/api/messages/{face.draft}/map.png"), 404, "no message")
        answer = client.get(f"/api/messages/{face.draft}", headers=face.bearer("review"))
        assert (answer.json()["approval"], answer.json()["subject"]) == ("waiting", "Still red")
        assert client.get(f"/api/messages/{face.draft}", headers=face.bearer("report")).status_code == 404

    def test_a_message_comes_as_it_was_sent(self, client, face):
        told = get(client, f"/api/messages/{face.released}")
        assert told["translations"]["es"]["subject"] == "Rojo"
        page = client.get(f"/api/messages/{face.released}/page")
        assert f'src="/api/messages/{face.released}/map.png"' in page.text
        assert "sandbox" in page.headers["content-security-policy"]
        assert "script-src" not in page.headers["content-security-policy"]
        assert client.get(f"/api/messages/{face.released}/page", params={"lang": "es"}).text == "<p>Rojo"
        assert client.get(f"/api/messages/{face.released}/map.png").content == b"\x89PNG\x00"

    def test_nobodys_address_is_told(self, client, face):
        told = client.get("/api/messages", headers=face.bearer("review")).text
        assert "@example.org" not in told
        assert "127.0.0.1:9" not in told


class TestBadQuestions:
    @pytest.mark.parametrize(
        ("path", "params", "status", "words"),
        [
            ("/api/zones", {"region": "nowhere"}, 404, "there is no region nowhere; there are otherland, testland"),
            ("/api/zones", {"region": "otherland"}, 404, "nothing has been published of otherland yet"),
            ("/api/zones", {"region": "testland", "day": "1999-01-01"}, 404, "no run of testland for 1999-01-01"),
            ("/api/zones", {"region": "testland", "day": "2015-09-23"}, 410, "deleted for its age"),
            ("/api/zones", {"region": "testland", "day": "yesterday"}, 422, "must be a day such as"),
            ("/api/zones", {"region": "testland", "day": "20151002"}, 422, "must be a day such as"),
            ("/api/zones", {"region": "testland", "day": "2015-02-31"}, 422, "day"),
            ("/api/zones", {}, 422, "region: Field required"),
            ("/api/zones", {"region": "x'; DROP TABLE lswarn.run; --"}, 422, "region"),
            ("/api/zones", {"region": "test\x00land"}, 422, "region"),
            ("/api/zones", {"region": "testland", "class": "6"}, 422, "class"),
            ("/api/zones", {"region": "testland", "bbox": "1,2,3"}, 422, "bbox"),
            ("/api/zones", {"region": "testland", "bbox": "3,2,1,4"}, 422, "west <= east"),
            ("/api/zones", {"region": "testland", "bbox": "nan,nan,nan,nan"}, 422, "bbox"),
            ("/api/zones", {"region": "testland", "bbox": "9" * 30 + ",0,1,1"}, 422, "bbox"),
            ("/api/zones", {"region": "testland", "limit": 1001}, 422, "limit"),
            ("/api/zones", {"region": "testland", "limit": 0}, 422, "limit"),
            ("/api/zones", {"region": "testland", "offset": -1}, 422, "offset"),
            ("/api/exposure", {"region": "testland", "asset": "bridge"}, 422, "asset"),
            ("/api/where", HERE | {"lat": "NaN"}, 422, "lat"),
            ("/api/where", HERE | {"lat": 91}, 422, "lat"),
            ("/api/search", {"region": "testland", "q": "x"}, 422, "q"),
            ("/api/search", {"region": "testland", "q": "a\x00b"}, 422, "q"),
            ("/api/runs", {"kind": "guess"}, 422, "kind"),
            ("/api/alerts/0", {}, 422, "alert_id"),
            ("/api/alerts/99999", {}, 404, "there is no alert 99999"),
            ("/api/messages/" + "9" * 40, {}, 422, "message_id"),
            ("/api/nothing", {}, 404, "/api/docs lists what there is"),
            ("/nothing", {}, 404, "nothing is at this address"),
            ("/api/runs", {"x": "y" * 9000}, 414, "8192 bytes"),
        ],
    )
    def test_is_told_what_is_wrong(self, client, path, params, status, words):
        problem(client.get(path, params=params), status, words)

    def test_markup_does_not_come_back_as_markup(self, client):
        answer = client.get("/api/zones", params={"region": "testland", "day": "<script>alert(1)</script>"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/problem+json"

    def test_a_verb_that_is_not_there(self, client):
        problem(client.request("DELETE", "/api/regions"), 405, "Method Not Allowed")


class TestDatabaseAway:
    def test_it_is_said_and_where_it_is_is_not(self, face, monkeypatch):
        away = face.client(database_url=SecretStr("postgresql://someone:secret@127.0.0.1:1/away"))
        told = problem(away.get("/api/regions"), 503, "the database does not answer")
        assert "127.0.0.1" not in json.dumps(told)
        assert away.get("/health").status_code == 200
        assert away.get("/ready").json()["reasons"] == ["the database does not answer (DatabaseDown)"]
        assert "lswarn_database_up 0.0" in away.get("/metrics").text
        assert away.get("/").status_code == 200

    def test_it_recovers_by_itself(self, face):
        client = face.client(database_url=SecretStr("postgresql://someone:secret@127.0.0.1:1/away"))
        assert client.get("/api/regions").status_code == 503
        client.app.state.settings = face.settings
        assert client.get("/api/regions").status_code == 200

    def test_a_connection_that_was_lost_is_made_anew(self, face, client):
        assert client.get("/api/regions").status_code == 200
        with transaction(face.engine) as conn:
            conn.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert client.get("/api/regions").status_code == 200

    def test_a_question_that_takes_too_long_is_cut_off(self, face, client, monkeypatch):
        monkeypatch.setattr("lswarn.db.reading.LONGEST_S", 0.001)
        monkeypatch.setattr("lswarn.db.places.PLAIN", "(pg_sleep(1)::text || lower({}))")
        answer = client.get("/api/search", params={"region": "testland", "q": "town"})
        problem(answer, 500, "the database refused this question")


class TestWatch:
    def test_ready_says_why_not(self, face):
        told = face.client(now=datetime(2015, 10, 6, tzinfo=UTC)).get("/ready")
        assert told.status_code == 503
        assert told.json()["reasons"] == [
            "otherland: nothing has been published yet",
            "testland: the newest day is 2015-10-02, which ended 72 h ago",
            "testland: the newest rain is of 2015-10-02, which ended 72 h ago",
        ]

    def test_metrics_tell_what_is_known_and_nothing_else(self, client):
        client.get("/api/regions")
        told = client.get("/metrics").text
        assert 'lswarn_run_age_seconds{region="testland"} 64800.0' in told
        assert 'lswarn_run_age_seconds{region="otherland"}' not in told  # no sample: it is not 0
        assert 'lswarn_run_grade{grade="A",region="testland"} 1.0' in told
        assert 'lswarn_open_alerts{level="2",region="testland"} 1.0' in told
        assert 'lswarn_areas{region="testland",state="unknown"} 2.0' in told
        assert 'lswarn_waiting_drafts{region="testland"} 1.0' in told
        assert 'lswarn_http_request_seconds_count{method="GET",route="/api/regions",status="200"}' in told

    def test_the_interface_is_described_without_a_script(self, client):
        told = client.get("/api/docs")
        assert told.status_code == 200
        assert "<script" not in told.text
        assert "/api/exposure" in told.text

    def test_headers_of_every_answer(self, client):
        for path in ("/api/regions", "/nothing", "/health", "/api/zones"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "'unsafe-inline'" not in policy
            assert "default-src 'none'" in policy
            assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")


def test_no_answer_of_a_token_only_server_is_public(face):
    client = face.client(web_read="token")
    assert client.get("/api/regions", headers=face.bearer("read")).headers["cache-control"] != "public"


def test_a_token_is_used_to_the_minute(face, client):
    client.get("/api/events", headers=face.bearer("review"))
    with transaction(face.engine) as conn:
        used = {each.name: each.last_used_at for each in tokens.find_tokens(conn)}
    assert used["holder of review"] - datetime(2015, 10, 3, 18, tzinfo=UTC) < timedelta(minutes=1)
