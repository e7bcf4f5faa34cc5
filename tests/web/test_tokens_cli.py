"""Tokens and reports on the command line, and the log as JSON."""

import json
import logging

import pytest
from typer.testing import CliRunner

from lswarn.cli import app
from lswarn.errors import DatabaseError
from lswarn.logs import JsonLines, about, note

run = CliRunner()


def lswarn(*words):
    told = run.invoke(app, words)
    if isinstance(told.exception, DatabaseError):
        raise told.exception
    return told.output


@pytest.fixture(autouse=True)
def _there(face, monkeypatch):
    monkeypatch.setenv("LSWARN_DATABASE_URL", face.settings.database_url.get_secret_value())


def test_a_token_is_made_used_and_revoked(face):
    token = lswarn("tokens", "create", "desk of A", "--scope", "review", "--days", "9").strip()
    client = face.client()
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/events", headers=bearer).status_code == 200
    (listed,) = [each for each in json.loads(lswarn("tokens", "list", "--json")) if each["name"] == "desk of A"]
    assert listed["scopes"] == ["review"]
    assert token not in json.dumps(listed)
    assert "is revoked" in lswarn("tokens", "revoke", "desk of A")
    assert client.get("/api/events", headers=bearer).status_code == 401
    assert "was revoked before" in lswarn("tokens", "revoke", "desk of A")


@pytest.mark.parametrize(
    "words", [["", "--scope", "read"], ["a\nb", "--scope", "read"], ["a", "--scope", "admin"], ["a"]]
)
def test_what_is_no_token(words):
    assert run.invoke(app, ["tokens", "create", *words]).exit_code == 2


def test_a_line_of_the_log_says_what_it_is_about():
    record = logging.LogRecord("lswarn.day", logging.INFO, "", 1, "run %d\nof %s", (7, "testland"), None)
    with about(region="testland"):
        note(run_id=7)
        told = json.loads(JsonLines().format(record))
    assert (told["region"], told["run_id"], told["message"]) == ("testland", 7, "run 7\nof testland")
    assert "run_id" not in json.loads(JsonLines().format(record))
