"""Workers, with a database and servers that fail in every way we know of."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from lswarn import delivery
from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import Kind, Level
from lswarn.cli import app
from lswarn.db import alerts, circuit
from lswarn.db.assets import record_region
from lswarn.db.engine import transaction
from lswarn.db.outbox import LEASE
from lswarn.db.status import find_status
from lswarn.delivery import Delivery, deliver
from lswarn.demo.servers import MailSink
from lswarn.region import Region
from lswarn.sections import Subscriber
from lswarn.settings import Settings

NOW = datetime(2026, 10, 6, 15, 30, tzinfo=UTC)
DAY = date(2026, 10, 5)
SECRET = "whsec_dGVzdHMgc2lnbiB3aXRoIHRoaXMga2V5IQ=="

Queue = Callable[..., None]


class Hook(ThreadingHTTPServer):
    """Answers with `status`; keeps the keys of what it took."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 204
        self.headers: dict[str, str] = {}
        self.requests: list[str] = []
        self.taken: list[str] = []

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(self.path)
        if self.server.status < 300:
            self.server.taken.append(self.headers["Idempotency-Key"])
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    with serving(server):
        yield server


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "mail") as sink:
        yield sink


@pytest.fixture
def settings(fresh_database_url: str, tmp_path: Path, mail: MailSink) -> Settings:
    return Settings(
        database_url=SecretStr(fresh_database_url),
        var_dir=tmp_path / "var",
        smtp_host=mail.host,
        smtp_port=mail.port,
        mail_from="warn@example.org",
        webhook_secret=SecretStr(SECRET),
        timeout_s=0.5,
    )


@pytest.fixture
def queue(make_region: Callable[..., Region], fresh_engine: Engine) -> Queue:
    """`queue({"name": …}, …, days=2)`: messages about missing rain, one a day, to these subscribers."""

    def queue(*subscribers: dict[str, object], days: int = 1) -> None:
        region = make_region(subscribers=[Subscriber.model_validate(each) for each in subscribers])
        with transaction(fresh_engine, region) as conn:
            record_region(conn, region, "assets")
            for day in range(days):
                said = AlertMessage(
                    None, Kind.DATA_MISSING, Level.NONE, DAY + timedelta(day), "Rain missing", "Text", "<p>HTML"
                )
                alerts.queue_messages(conn, region, [said], NOW)

    return queue


def person(name: str) -> dict[str, object]:
    return {"name": name, "channel": "email", "address": f"{name}@example.org"}


def room(name: str, address: str) -> dict[str, object]:
    return {"name": name, "channel": "webhook", "address": address, "allow_private": True}


def run(settings: Settings, at: datetime = NOW, workers: int = 1) -> Delivery:
    return deliver(settings, lambda: at, workers=workers)


def states(engine: Engine) -> dict[str, str]:
    query = """SELECT name, delivery.status FROM lswarn.delivery
               JOIN lswarn.subscriber ON subscriber.id = subscriber_id"""
    with transaction(engine) as conn:
        return dict(map(tuple, conn.execute(text(query))))


def test_everybody_is_told_once(queue: Queue, settings: Settings, mail: MailSink, hook: Hook, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    queue(
        person("ann"), room("room", hook.url()), {"name": "folder", "channel": "file", "address": str(folder)}, days=2
    )
    assert run(settings) == Delivery(6, 0)
    assert (len(mail.received), len(hook.taken), len(list(folder.iterdir()))) == (2, 2, 2)
    assert run(settings, NOW + timedelta(days=9)) == Delivery(0, 0)


def test_workers_share_the_work(queue: Queue, settings: Settings, hook: Hook) -> None:
    queue(*(room(f"room {n}", hook.url(str(n))) for n in range(50)), days=2)
    assert run(settings, workers=4) == Delivery(100, 0)
    assert len(hook.taken) == len(set(hook.taken)) == 100


def test_a_relay_that_refuses_one_of_three_takes_the_others(
    queue: Queue, settings: Settings, mail: MailSink, fresh_engine: Engine
) -> None:
    async def handle_RCPT(_server: object, _session: object, envelope: object, address: str, _options: object) -> str:
        if address.startswith("bob"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    mail.handle_RCPT = handle_RCPT
    queue(person("ann"), person("bob"), person("cid"))
    assert run(settings) == Delivery(2, 1)
    assert states(fresh_engine) == {"ann": "sent", "bob": "dead", "cid": "sent"}
    with transaction(fresh_engine) as conn:
        status = find_status(conn, "testland")
    assert status.dead_letters[0].startswith("bob: Rain missing (mail server 127.0.0.1:")
    assert status.failing_lanes == ()


def test_a_relay_that_hangs_holds_up_so_many_and_then_nobody(
    queue: Queue, settings: Settings, fresh_engine: Engine, hook: Hook, mail: MailSink
) -> None:
    queue(*(person(f"p{n}") for n in range(12)), room("room", hook.url()))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        hung = settings.model_copy(update={"smtp_port": silent.getsockname()[1], "timeout_s": 0.1})
        start = time.monotonic()
        assert run(hung) == Delivery(1, circuit.FAILURES, 12 - circuit.FAILURES)
        assert time.monotonic() - start < 5
        assert run(hung) == Delivery(0, 0)  # the circuit is open, for every worker
    assert len(hook.taken) == 1
    with transaction(fresh_engine) as conn:
        (lane,) = find_status(conn, "testland").failing_lanes
    assert lane.startswith("email: 5 times in a row, mail server 127.0.0.1:")
    assert run(settings, NOW + timedelta(hours=2)) == Delivery(12, 0)
    assert len(mail.received) == 12


@pytest.mark.parametrize("status", [500, 429, 401])
def test_a_receiver_that_refuses_is_asked_again_later(
    queue: Queue, settings: Settings, hook: Hook, fresh_engine: Engine, status: int
) -> None:
    hook.status = status
    queue(room("room", hook.url()))
    assert run(settings) == Delivery(0, 1)
    assert run(settings) == Delivery(0, 0)
    hook.status = 204
    assert run(settings, NOW + timedelta(minutes=2)) == Delivery(1, 0)
    assert states(fresh_engine) == {"room": "sent"}


def test_a_receiver_that_asks_for_silence_gets_it(queue: Queue, settings: Settings, hook: Hook) -> None:
    hook.status, hook.headers = 429, {"Retry-After": "1200"}
    queue(room("one", hook.url("1")), room("two", hook.url("2")))
    assert run(settings) == Delivery(0, 1, 1)
    hook.status = 204
    assert run(settings, NOW + timedelta(minutes=19)) == Delivery(0, 0)
    assert len(hook.requests) == 1
    assert run(settings, NOW + timedelta(minutes=20)) == Delivery(2, 0)


def test_a_receiver_that_sends_us_elsewhere_is_given_up_and_nobody_else_told(
    queue: Queue, settings: Settings, hook: Hook, fresh_engine: Engine
) -> None:
    other = Hook()
    with serving(other):
        hook.status, hook.headers = 301, {"Location": other.url()}
        queue(room("room", hook.url()))
        assert run(settings) == Delivery(0, 1)
        assert other.requests == []
    assert states(fresh_engine) == {"room": "dead"}


def test_a_receiver_that_never_answers_keeps_nobody_else_waiting(
    queue: Queue, settings: Settings, hook: Hook, mail: MailSink
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        queue(room("silent", f"http://127.0.0.1:{silent.getsockname()[1]}/"), room("room", hook.url()), person("ann"))
        assert run(settings) == Delivery(2, 1)
    assert (len(hook.taken), len(mail.received)) == (1, 1)


def test_an_address_that_is_none_is_given_up(queue: Queue, settings: Settings, fresh_engine: Engine) -> None:
    queue(person("ann"), person("bob"))
    with transaction(fresh_engine) as conn:  # past region.toml, which refuses it
        conn.execute(text("UPDATE lswarn.subscriber SET address = E'x\\r\\nBcc: all@example.org' WHERE name = 'ann'"))
    assert run(settings) == Delivery(1, 1)
    assert states(fresh_engine) == {"ann": "dead", "bob": "sent"}


WORKER = """
import os, sys
from datetime import UTC, datetime
from lswarn import delivery
from lswarn.db import outbox
from lswarn.settings import load_settings
outbox.mark_delivered = lambda *_: os.kill(os.getpid(), 9)  # taken, and not yet marked
delivery.deliver(load_settings(), lambda: datetime.fromisoformat(sys.argv[1]))
"""


def test_a_worker_that_is_killed_between_sending_and_marking(
    queue: Queue, settings: Settings, hook: Hook, fresh_database_url: str
) -> None:
    queue(room("one", hook.url("1")), room("two", hook.url("2")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LSWARN_")}
    environment |= {"LSWARN_DATABASE_URL": fresh_database_url, "LSWARN_WEBHOOK_SECRET": SECRET}
    killed = subprocess.run(
        [sys.executable, "-c", WORKER, NOW.isoformat()], env=environment, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(hook.taken) == 1
    assert run(settings) == Delivery(0, 0)  # still leased to it
    assert run(settings, NOW + LEASE) == Delivery(2, 0)
    assert len(hook.taken) == 3
    assert len(set(hook.taken)) == 2  # told twice, under one key: a receiver can tell


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_the_clock_jumps_while_it_is_sent(queue: Queue, settings: Settings, hook: Hook, jump: timedelta) -> None:
    queue(*(room(f"room {n}", hook.url(str(n))) for n in range(50)))
    asked = iter(range(10**6))
    assert deliver(settings, lambda: NOW + jump * (next(asked) > 30)) == Delivery(50, 0)
    assert run(settings, NOW) == run(settings, NOW + timedelta(days=800)) == Delivery(0, 0)


def test_a_failure_survives_a_clock_that_jumps_back(queue: Queue, settings: Settings, hook: Hook) -> None:
    hook.status = 500
    queue(room("room", hook.url()))
    assert run(settings) == Delivery(0, 1)
    hook.status = 204
    assert run(settings, NOW - timedelta(days=400)) == Delivery(1, 0)


def test_at_last_it_is_given_up(
    queue: Queue, settings: Settings, hook: Hook, fresh_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TRIES", 3)
    hook.status = 404
    queue(room("room", hook.url()))
    found = []
    for hours in range(3):
        run(settings, NOW + timedelta(hours=2 * hours))
        found += states(fresh_engine).values()
    assert found == ["pending", "pending", "dead"]


def test_no_secret_is_logged_or_kept(
    queue: Queue, settings: Settings, hook: Hook, fresh_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 500
    secrets = {"smtp_user": "duty", "smtp_password": SecretStr("hunter2")}
    secrets |= {"apprise": SecretStr(f"duty=json://user:hunter3@127.0.0.1:{hook.server_port}/hidden")}
    queue(
        person("ann"),
        room("room", hook.url("hook?token=tok3n")),
        {"name": "duty", "channel": "apprise", "address": "duty"},
    )
    with caplog.at_level(logging.DEBUG):
        done = run(settings.model_copy(update=secrets))
    assert done == Delivery(0, 3)
    told = caplog.text
    with transaction(fresh_engine) as conn:
        names = conn.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'lswarn'")).scalars().all()
        kept = {name: str(conn.execute(text(f"SELECT * FROM lswarn.{name}")).all()) for name in names}
    for secret in ("hunter2", "hunter3", "hidden", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in told
        assert secret not in str(kept)
    assert "tok3n" not in told
    assert [name for name, rows in kept.items() if "tok3n" in rows] == ["subscriber"]  # it is the address itself


def test_what_was_given_up_is_listed_and_sent_again_by_hand(
    queue: Queue, settings: Settings, hook: Hook, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSWARN_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("LSWARN_WEBHOOK_SECRET", SECRET)
    hook.status = 410
    queue(room("room", hook.url("hook?token=tok3n")))
    assert run(settings) == Delivery(0, 1)

    def told(*words: str) -> object:
        answer = CliRunner().invoke(app, ["deliver", "--json", *words], catch_exceptions=False)
        assert answer.exit_code == 0
        return json.loads(answer.stdout)

    (letter,) = told("--list-dead")
    assert (letter["name"], letter["subject"], letter["tries"]) == ("room", "Rain missing", 1)
    assert "answered 410" in letter["last_error"]
    assert "tok3n" not in str(letter)
    hook.status = 204
    assert told() == {"delivered": 0, "refused": 0, "held": 0}
    assert told("--retry-dead", "--workers", "2") == {"delivered": 1, "refused": 0, "held": 0}
    assert told("--list-dead") == []
