"""Who may: tokens, scopes, rates, sizes."""

from datetime import UTC, datetime, timedelta

import pytest

from lswarn.db import tokens
from lswarn.db.engine import transaction
from lswarn.errors import DatabaseError
from lswarn.web.guards import BAD_TOKENS, WRITES

NOW = datetime(2015, 10, 3, 18, tzinfo=UTC)
BY = {"by": "A. Duty"}


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    return answer


class TestTokens:
    def test_reading_by_token_alone(self, face):
        client = face.client(web_read="token")
        answer = refused(client.get("/api/regions"), 401, "send a token in the header")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/api/regions", headers=face.bearer("read")).status_code == 200
        assert client.get("/api/regions", headers=face.bearer("report")).status_code == 200
        for open_to_all in ("/health", "/metrics", "/", "/api/docs"):
            assert client.get(open_to_all).status_code == 200

    @pytest.mark.parametrize("header", ["Bearer ", "Bearer wrong", "Basic YTpi", "lsw_x", "Bearer \x7f"])
    def test_a_wrong_one(self, client, face, header):
        answer = client.post(f"/api/messages/{face.draft}/approve", json=BY, headers={"Authorization": header})
        refused(answer, 401, "token")

    def test_an_expired_one_and_a_revoked_one(self, face, client):
        with transaction(face.engine) as conn:
            old = tokens.record_token(conn, "old", ["review"], NOW - timedelta(days=2), NOW - timedelta(days=1))
            lost = tokens.record_token(conn, "lost", ["review"], NOW, NOW + timedelta(days=1))
        bearer = {"Authorization": f"Bearer {lost}"}
        assert client.get("/api/events", headers=bearer).status_code == 200
        with transaction(face.engine) as conn:
            assert tokens.mark_revoked(conn, "lost", NOW) == 1
        refused(client.get("/api/events", headers=bearer), 401, "was revoked at 2015-10-03 18:00 UTC")
        refused(client.get("/api/events", headers={"Authorization": f"Bearer {old}"}), 401, "expired at 2015-10-02")

    def test_one_of_another_scope(self, client, face):
        answer = client.post(f"/api/messages/{face.draft}/approve", json=BY, headers=face.bearer("report"))
        refused(answer, 403, "this token has scope report, and this asks for review")

    @pytest.mark.parametrize(
        "where", ["?token={}", "?x=1&access_token={}", "?q={}", "/{}", "?API_KEY=1", "?x=%6C%73%77_y"]
    )
    def test_one_in_the_address_is_not_taken(self, client, face, where):
        token = face.tokens["review"]
        answer = refused(client.get("/api/messages" + where.format(token)), 400, "does not belong in an address")
        assert token not in answer.text

    def test_the_digest_alone_is_kept(self, face):
        with transaction(face.engine) as conn:
            kept = conn.exec_driver_sql("SELECT string_agg(t::text, ' ') FROM lswarn.api_token AS t").scalar()
        assert all(token not in kept for token in face.tokens.values())

    def test_a_name_is_taken_while_its_token_is_in_force(self, face):
        with pytest.raises(DatabaseError, match="lswarn tokens revoke"), transaction(face.engine) as conn:
            tokens.record_token(conn, "holder of read", ["read"], NOW, NOW + timedelta(days=1))
        with pytest.raises(DatabaseError, match="there is no token named nobody"), transaction(face.engine) as conn:
            tokens.mark_revoked(conn, "nobody", NOW)

    def test_guessing_is_stopped(self, face):
        client = face.client()
        bad = {"Authorization": "Bearer lsw_guess"}
        answers = [client.get("/api/events", headers=bad).status_code for _ in range(BAD_TOKENS + 1)]
        assert answers == [401] * BAD_TOKENS + [429]
        assert client.get("/api/regions").status_code == 200


class TestLimits:
    def test_too_many_requests(self, face):
        client = face.client(web_rate=3)
        answers = [client.get("/health") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].headers["retry-after"] == "60"

    def test_too_many_writes(self, face):
        client = face.client()
        answers = {client.post("/api/events").status_code for _ in range(WRITES)}
        assert answers == {401}
        refused(client.post("/api/events"), 429, "too many requests")

    @pytest.mark.parametrize(("path", "size"), [("/api/events", 100_000_000), ("/api/messages/1/approve", 100_000)])
    def test_a_large_body_is_refused_before_it_is_read(self, client, face, path, size):
        def body():
            raise AssertionError("it was read")
            yield b""

        headers = face.bearer("report") | {"Content-Length": str(size)}
        refused(client.post(path, content=body(), headers=headers), 413, "a body may have")

    def test_a_body_of_unknown_length_is_refused(self, client, face):
        answer = client.post("/api/events", content=iter([b"x"]), headers=face.bearer("report"))
        refused(answer, 411, "Content-Length")
