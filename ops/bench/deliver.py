"""How many messages a second reach a local sink: `python ops/bench/deliver.py [DELIVERIES]`.

In a scratch database of the private server (`lswarn db start`) or of LSWARN_DATABASE_URL, dropped at the end. One
message of a real warning's size goes to so many subscribers by mail, to a sink in a process of its own. The peer is the
obvious way: for every mail a connection, the mail put together anew, and the row marked in a transaction.
"""

import multiprocessing
import os
import smtplib
import socketserver
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text

from lswarn import delivery
from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import Kind, Level
from lswarn.db import alerts
from lswarn.db.assets import record_region
from lswarn.db.engine import connect, database_url, migrate, transaction
from lswarn.region import load_region
from lswarn.sections import Subscriber
from lswarn.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
HTML = "<!doctype html><html><body>" + "<p>Jacksboro Pike, 4.2 km</p>" * 300 + "</body></html>"
MESSAGE = AlertMessage(
    None, Kind.DATA_MISSING, Level.NONE, date(2026, 10, 5), "RED: landslide warning, North Cumberland", "Text\n" * 80,
    HTML, {"type": "landslide_warning.open"}, os.urandom(60_000),
)  # fmt: skip


class Sink(socketserver.StreamRequestHandler):
    """Speaks just enough SMTP to take mail, and faster than any sender: what is timed is the sender."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Called by the server for every connection."""
        self.wfile.write(b"220 sink\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 OK\r\n"))
            if verb == b"DATA":
                end = b""
                while not end.endswith(b"\r\n.\r\n"):
                    end = end[-4:] + self.rfile.read1(1 << 20)
                self.wfile.write(b"250 taken\r\n")
            if verb == b"QUIT":
                return


def serve(port: "multiprocessing.Queue[int]") -> None:
    """Take mail until killed."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink)
    port.put(server.server_address[1])
    server.serve_forever()


@contextmanager
def scratch(settings: Settings) -> Iterator[str]:
    """URL of a migrated database that is dropped afterwards."""
    url = make_url(database_url(settings)).set(drivername="postgresql+psycopg")
    name = f"lswarn_bench_{os.getpid()}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    try:
        made = url.set(database=name).render_as_string(hide_password=False)
        migrate(made)
        yield made
    finally:
        with admin.connect() as conn:
            conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def fill(engine: Engine, count: int) -> None:
    """Queue one message to so many people."""
    people = [
        Subscriber.model_validate({"name": f"p{n}", "channel": "email", "address": f"p{n}@example.org"})
        for n in range(count)
    ]
    region = load_region(ROOT / "deploy/region.example.toml").model_copy(update={"subscribers": tuple(people)})
    with transaction(engine) as conn:
        record_region(conn, region, "bench")
        alerts.queue_messages(conn, region, [MESSAGE], datetime.now(UTC))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE"))


def peer(engine: Engine, port: int, limit: int) -> None:
    """The obvious way."""
    with engine.connect() as conn:
        rows = conn.execute(
            text("""SELECT delivery.id, address FROM lswarn.delivery JOIN lswarn.subscriber
                    ON subscriber.id = subscriber_id WHERE status = 'pending' ORDER BY delivery.id LIMIT :limit"""),
            {"limit": limit},
        ).all()
    for row in rows:
        mail = EmailMessage()
        mail["To"], mail["From"], mail["Subject"] = row.address, "lswarn@localhost", MESSAGE.subject
        mail.set_content(MESSAGE.text)
        mail.add_alternative(MESSAGE.html, subtype="html")
        mail.get_payload()[1].add_related(MESSAGE.map_png, "image", "png", cid="<map>")
        with smtplib.SMTP("127.0.0.1", port) as server:
            server.send_message(mail)
        with engine.begin() as conn:
            conn.execute(
                text("UPDATE lswarn.delivery SET status = 'sent', delivered_at = now() WHERE id = :id"), {"id": row.id}
            )
            conn.execute(
                text("""INSERT INTO lswarn.delivery_attempt (delivery_id, attempted_at, address)
                        VALUES (:id, now(), :address)"""),
                {"id": row.id, "address": row.address},
            )


def timed(what: str, count: int, work: Callable[[], object]) -> float:
    """Print and return deliveries a second."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(f"{what:44s} {count:6d} mails {seconds:7.1f} s {count / seconds:7.0f} a second", flush=True)
    return count / seconds


def main(count: int) -> None:
    """Print the table."""
    port: multiprocessing.Queue[int] = multiprocessing.get_context("spawn").Queue()
    sink = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    sink.start()
    with scratch(load_settings()) as url:
        settings = Settings(database_url=SecretStr(url), smtp_host="127.0.0.1", smtp_port=port.get())
        engine = connect(url)
        fill(engine, count)
        few = max(1, count // 10)
        slow = timed("a connection and a transaction a mail (peer)", few, lambda: peer(engine, settings.smtp_port, few))
        for workers, share in ((1, (count - few) // 2), (4, count - few - (count - few) // 2)):
            with transaction(engine) as conn:  # the rest waits
                conn.execute(
                    text("""UPDATE lswarn.delivery SET due_at = now() + CASE WHEN id IN (
                                SELECT id FROM lswarn.delivery WHERE status = 'pending' ORDER BY id LIMIT :share)
                            THEN interval '0' ELSE interval '20 minutes' END WHERE status = 'pending'"""),
                    {"share": share},
                )

            def work(workers: int = workers) -> None:
                delivery.deliver(settings, lambda: datetime.now(UTC), workers=workers)

            fast = timed(f"lswarn deliver --workers {workers}", share, work)
            print(f"{'':44s} {fast / slow:.1f} times the peer")
        with transaction(engine) as conn:
            left = conn.execute(text("SELECT count(*) FROM lswarn.delivery WHERE status <> 'sent'")).scalar()
        print(f"left over: {left}")
        engine.dispose()
    sink.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
