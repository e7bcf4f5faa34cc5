"""Apprise, over its plain JSON service to a server on the loopback."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from lswarn.alerts.deliver import Courier
from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError
from lswarn.settings import Settings

NOW = datetime(2026, 10, 6, 15, 30, tzinfo=UTC)


class Service(ThreadingHTTPServer):
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.notices: list[dict] = []

    @property
    def line(self) -> str:
        return f"duty=json://user:hunter2@127.0.0.1:{self.server_port}/secret-path"


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.notices.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"you said secret-path")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def notice(outgoing: Callable[..., Outgoing]) -> Outgoing:
    return outgoing(channel="apprise", address="duty")


def send(settings: Settings, sent: Outgoing) -> None:
    with Courier(settings) as courier:
        courier.send(sent, now=NOW)


def test_it_comes_with_text_and_map(service: Service, notice: Outgoing) -> None:
    send(Settings(apprise=SecretStr(service.line)), notice)
    (found,) = service.notices
    assert found["title"] == notice.message.subject
    assert found["message"].split() == notice.message.text.split()
    assert found["type"] == "failure"
    assert [each["filename"] for each in found["attachments"]] == ["map.png"]


def test_its_address_may_stand_in_a_file(service: Service, notice: Outgoing, tmp_path: Path) -> None:
    path = tmp_path / "apprise.conf"
    path.write_text(f"# whom to tell\nother=json://127.0.0.1:9/\n{service.line}\n")
    send(Settings(apprise_file=path), notice)
    assert len(service.notices) == 1


def test_nobody_else_is_told(service: Service, outgoing: Callable[..., Outgoing]) -> None:
    with pytest.raises(DeliveryError, match="no usable line night=… in LSWARN_APPRISE") as unknown:
        send(Settings(apprise=SecretStr(service.line)), outgoing(channel="apprise", address="night"))
    assert not unknown.value.permanent
    assert service.notices == []


def test_a_file_that_cannot_be_read_is_named(notice: Outgoing, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"LSWARN_APPRISE_FILE=.*nothing.conf cannot be read"):
        send(Settings(apprise_file=tmp_path / "nothing.conf"), notice)


@pytest.mark.parametrize("status", [500, 401])
def test_a_refusal_gives_away_no_secret(
    service: Service, notice: Outgoing, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    service.status = status
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError, match="the service duty did not") as refused:
        send(Settings(apprise=SecretStr(service.line)), notice)
    assert refused.value.lane_down
    for secret in ("hunter2", "secret-path"):
        assert secret not in caplog.text
        assert secret not in str(refused.value)
