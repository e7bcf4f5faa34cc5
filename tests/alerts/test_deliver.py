import base64
import email.policy
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from lswarn.alerts.channels.mail import Relay
from lswarn.alerts.channels.webhook import Hooks, is_public
from lswarn.alerts.deliver import Courier
from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError
from lswarn.settings import Settings

NOW = datetime(2026, 10, 6, 17, 30, tzinfo=timezone(timedelta(hours=2)))
KEY = base64.b64encode(b"0123456789abcdef01234567").decode()
SECRET = f"whsec_{KEY}"

Make = Callable[..., Outgoing]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def send_email(outgoing: Outgoing, *, now: datetime, **options: object) -> None:
    with Relay(**options) as relay:
        relay.send(outgoing, now=now)


def send_webhook(outgoing: Outgoing, *, secret: str, now: datetime, timeout_s: float) -> None:
    with Hooks(secret=secret, timeout_s=timeout_s) as hooks:
        hooks.send(replace(outgoing, allow_private=True), now=now)


class MailServer:
    """Takes mail, or refuses it with the answers it is given; keeps what it took."""

    def __init__(self) -> None:
        self.rcpt = self.data = "250 OK"
        self.sender = "250 OK"
        self.senders: list[str] = []
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []

    async def handle_MAIL(self, _s: SMTP, _n: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.senders.pop() if self.senders else self.sender

    async def handle_RCPT(self, _s: SMTP, _n: Session, envelope: Envelope, address: str, _o: list[str]) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            self.envelopes.append(envelope)
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return self.data

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        given = (getattr(data, "login", b""), getattr(data, "password", b""))
        return AuthResult(success=given == (b"duty", b"right"), handled=False)


class AnyPort(Controller):
    """A controller that may be given port 0."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(handler: MailServer, **options: object) -> Iterator[dict[str, object]]:
    controller = AnyPort(handler, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield {"host": "127.0.0.1", "port": controller.port, "sender": "warn@example.org", "now": NOW, "timeout_s": 5.0}
    finally:
        controller.stop()


def relay_of(options: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if name != "now"}


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def relay(server: MailServer) -> Iterator[dict[str, object]]:
    with mail_server(server) as relay:
        yield relay


@pytest.fixture
def silent() -> Iterator[int]:
    """Port of a server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class TestSendEmail:
    def test_arrives_as_text_and_html_with_the_map_inside(
        self, outgoing: Make, server: MailServer, relay: dict[str, object]
    ) -> None:
        sent = outgoing()
        send_email(sent, **relay)
        (mail,) = server.mails
        assert mail.get_content_type() == "multipart/alternative"
        text, related = mail.iter_parts()
        assert related.get_content_type() == "multipart/related"
        html, picture = related.iter_parts()
        assert text.get_content().split() == sent.message.text.split()
        assert html.get_content().split() == sent.message.html.split()
        assert picture["Content-ID"] == "<map>"
        assert picture.get_content() == sent.message.map_png
        assert picture.get_content_disposition() == "inline"

    def test_headers(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        sent = outgoing()
        send_email(sent, **relay)
        (mail,) = server.mails
        assert mail["To"] == "duty@example.org"
        assert mail["From"] == "warn@example.org"
        assert mail["Subject"] == sent.message.subject
        assert mail["Content-Language"] == "en"
        assert mail["Message-ID"] == "<key%201%2Fa@example.org>"
        assert mail["Date"].datetime == NOW
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Importance"] == "high"
        assert server.envelopes[0].rcpt_tos == ["duty@example.org"]

    def test_sent_again_it_is_the_same_message(
        self, outgoing: Make, server: MailServer, relay: dict[str, object]
    ) -> None:
        send_email(outgoing(), **relay)
        send_email(outgoing(), **relay | {"now": NOW + timedelta(hours=1)})
        assert server.mails[0]["Message-ID"] == server.mails[1]["Message-ID"]

    def test_no_map_no_picture(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        send_email(outgoing(message={"map_png": b""}), **relay)
        types = [part.get_content_type() for part in server.mails[0].walk()]
        assert types == ["multipart/alternative", "text/plain", "text/html"]

    def test_letters_of_the_world(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        text = "Straße, ירושלים, नेपाल\n" + "x" * 2000
        send_email(outgoing(message={"subject": "Süd, ירושלים", "text": text}), **relay)
        assert server.mails[0]["Subject"] == "Süd, ירושלים"
        assert server.mails[0].get_body(("plain",)).get_content().split() == text.split()
        assert max(len(line) for line in server.envelopes[0].content.splitlines()) <= 998
        assert server.envelopes[0].content.isascii()

    @pytest.mark.parametrize(
        ("code", "permanent"), [(550, True), (553, True), (451, False), (421, False), (530, False)]
    )
    def test_refused_recipient(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], code: int, permanent: bool
    ) -> None:
        server.rcpt = f"{code} not you"
        with pytest.raises(DeliveryError, match=rf"refused duty@example.org: {code} not you") as refused:
            send_email(outgoing(), **relay)
        assert refused.value.permanent is permanent
        assert server.mails == []

    def test_one_of_three_refused(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        for address in ("a@example.org", "b@example.org", "c@example.org"):
            server.rcpt = "550 gone" if address.startswith("b") else "250 OK"
            if address.startswith("b"):
                with pytest.raises(DeliveryError, match="refused b@example"):
                    send_email(outgoing(address=address), **relay)
            else:
                send_email(outgoing(address=address), **relay)
        assert [mail["To"] for mail in server.mails] == ["a@example.org", "c@example.org"]

    @pytest.mark.parametrize(("code", "permanent"), [(554, True), (452, False)])
    def test_refused_content(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], code: int, permanent: bool
    ) -> None:
        server.data = f"{code} not this"
        with pytest.raises(DeliveryError, match=f"refused the message to duty@example.org: {code} not this") as refused:
            send_email(outgoing(), **relay)
        assert refused.value.permanent is permanent

    def test_refused_sender_can_be_mended(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        server.sender = "550 who are you"
        with pytest.raises(DeliveryError, match="who are you; see LSWARN_SMTP_") as refused:
            send_email(outgoing(), **relay)
        assert not refused.value.permanent

    def test_hanging_server(self, outgoing: Make, relay: dict[str, object], silent: int) -> None:
        with pytest.raises(DeliveryError, match=rf"mail server 127.0.0.1:{silent} gave no answer within 0.2 s") as late:
            send_email(outgoing(), **relay | {"port": silent, "timeout_s": 0.2})
        assert not late.value.permanent

    def test_server_down(self, outgoing: Make, relay: dict[str, object], closed: int) -> None:
        with pytest.raises(DeliveryError, match=f"127.0.0.1:{closed}") as down:
            send_email(outgoing(), **relay | {"port": closed})
        assert not down.value.permanent

    def test_never_in_the_clear_where_starttls_is_asked(
        self, outgoing: Make, server: MailServer, relay: dict[str, object]
    ) -> None:
        with pytest.raises(DeliveryError, match="STARTTLS") as refused:
            send_email(outgoing(), **relay, encryption="starttls", user="duty", password="right")
        assert not refused.value.permanent
        assert server.mails == []

    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    def test_login(self, outgoing: Make, server: MailServer) -> None:
        options = {"authenticator": server.login, "auth_required": True, "auth_require_tls": False}
        with mail_server(server, **options) as relay:
            send_email(outgoing(), **relay, user="duty", password="right")
            for user, password in (("duty", "wrong-secret"), (None, None)):
                with pytest.raises(DeliveryError) as refused:
                    send_email(outgoing(), **relay, user=user, password=password)
                assert not refused.value.permanent
                assert "wrong-secret" not in str(refused.value)
        assert len(server.mails) == 1

    @pytest.mark.parametrize(
        "address", ["", "nobody", "a@b\r\nBcc: c@d.org", "a@b, c@d", "<a@b>", "a b@c", "übung@b.org"]
    )
    def test_malformed_address(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], address: str
    ) -> None:
        with pytest.raises(DeliveryError, match="is not a mail address; mend it in region") as bad:
            send_email(outgoing(address=address), **relay)
        assert bad.value.permanent
        assert server.envelopes == []

    def test_a_domain_in_letters_of_the_world(
        self, outgoing: Make, server: MailServer, relay: dict[str, object]
    ) -> None:
        send_email(outgoing(address="duty@exämple.org"), **relay)
        assert server.envelopes[0].rcpt_tos == ["duty@xn--exmple-cua.org"]

    @pytest.mark.parametrize("sender", ["", "nobody", "a@b\r\nBcc: c@d.org", "a@b, c@d"])
    def test_malformed_sender(self, outgoing: Make, relay: dict[str, object], sender: str) -> None:
        with pytest.raises(DeliveryError, match="LSWARN_MAIL_FROM=") as bad:
            send_email(outgoing(), **relay | {"sender": sender})
        assert not bad.value.permanent

    def test_sender_with_a_name(self, outgoing: Make, server: MailServer, relay: dict[str, object]) -> None:
        send_email(outgoing(), **relay | {"sender": "Landslide desk <warn@example.org>"})
        assert server.mails[0]["From"] == "Landslide desk <warn@example.org>"
        assert server.envelopes[0].mail_from == "warn@example.org"


class TestOneConnection:
    """For many mails."""

    @pytest.fixture
    def connections(self, server: MailServer) -> Iterator[list[Session]]:
        """Those that said hello."""
        known: list[Session] = []

        async def handle_EHLO(
            _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
        ) -> list[str]:
            session.host_name = hostname
            known.append(session)
            return responses

        server.handle_EHLO = handle_EHLO
        return known

    def test_many_mails_go_over_one(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], connections: list[Session]
    ) -> None:
        with Relay(**relay_of(relay)) as open_relay:
            for n in range(5):
                open_relay.send(outgoing(idempotency_key=f"k{n}"), now=NOW)
        assert len(server.mails) == 5
        assert len({mail["Message-ID"] for mail in server.mails}) == 5
        assert len(connections) == 1

    def test_one_of_three_refused_keeps_nobody_from_his(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], connections: list[Session]
    ) -> None:
        with Relay(**relay_of(relay)) as open_relay:
            open_relay.send(outgoing(address="a@example.org"), now=NOW)
            server.rcpt = "550 gone"
            with pytest.raises(DeliveryError, match=r"refused b@example.org: 550 gone") as refused:
                open_relay.send(outgoing(address="b@example.org"), now=NOW)
            server.rcpt = "250 OK"
            open_relay.send(outgoing(address="c@example.org"), now=NOW)
        assert refused.value.permanent
        assert not refused.value.lane_down
        assert [mail["To"] for mail in server.mails] == ["a@example.org", "c@example.org"]
        assert len(connections) == 1

    @pytest.mark.parametrize("answer", ["421 enough for now", "closed"])
    def test_a_server_that_hung_up_is_called_again(
        self, outgoing: Make, server: MailServer, relay: dict[str, object], connections: list[Session], answer: str
    ) -> None:
        with Relay(**relay_of(relay)) as open_relay:
            open_relay.send(outgoing(), now=NOW)
            if answer == "closed":
                open_relay._server.sock.close()
                open_relay._server.close()
            else:
                server.senders = [answer]
            open_relay.send(outgoing(), now=NOW)
        assert len(server.mails) == 2
        assert len(connections) == 2

    def test_a_server_that_is_down_is_not_called_twice_a_mail(
        self, outgoing: Make, relay: dict[str, object], closed: int
    ) -> None:
        with Relay(**relay_of(relay) | {"port": closed}) as open_relay, pytest.raises(DeliveryError) as down:
            open_relay.send(outgoing(), now=NOW)
        assert down.value.lane_down


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, today - timedelta(1), today + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TestEncryption:
    @pytest.fixture
    def tls(self, certificate: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    @pytest.mark.parametrize("encryption", ["tls", "starttls"])
    @pytest.mark.parametrize("trusted", [True, False])
    def test_to_a_server_that_shows_whom_it_is_alone(
        self,
        outgoing: Make,
        server: MailServer,
        tls: ssl.SSLContext,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
        encryption: str,
        trusted: bool,
    ) -> None:
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        options = {"ssl_context": tls} if encryption == "tls" else {"tls_context": tls, "require_starttls": True}
        options |= {"authenticator": server.login, "auth_required": True, "auth_require_tls": encryption == "starttls"}
        with mail_server(server, **options) as relay:
            chosen = relay_of(relay) | {"encryption": encryption, "user": "duty", "password": "right"}
            with Relay(**chosen) as open_relay:
                if trusted:
                    open_relay.send(outgoing(), now=NOW)
                else:
                    with pytest.raises(DeliveryError, match="shows no certificate to trust") as refused:
                        open_relay.send(outgoing(), now=NOW)
                    assert refused.value.lane_down
        assert len(server.mails) == trusted


class Receiver(ThreadingHTTPServer):
    """Answers every request with `status`; keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 204
        self.location = self.retry_after = ""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.clients: set[tuple[str, int]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=hidden"


class Answer(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.clients.add(self.client_address)
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


class TestSendWebhook:
    def test_body_and_signature(self, outgoing: Make, hook: Receiver) -> None:
        sent = outgoing(address=hook.url, channel="webhook")
        send_webhook(sent, secret=SECRET, now=NOW, timeout_s=5)
        ((path, headers, body),) = hook.requests
        assert path == "/hook?token=hidden"
        assert json.loads(body) == sent.message.payload
        assert headers["content-type"] == "application/json"
        assert headers["webhook-id"] == headers["idempotency-key"] == "key 1/a"
        assert headers["webhook-timestamp"] == str(int(datetime(2026, 10, 6, 15, 30, tzinfo=UTC).timestamp()))
        signed = f"key 1/a.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"

    def test_a_receiver_can_verify_it(self, outgoing: Make, hook: Receiver) -> None:
        sent = outgoing(address=hook.url)
        send_webhook(sent, secret=SECRET, now=datetime.now(NOW.tzinfo), timeout_s=5)
        _, headers, body = hook.requests[0]
        assert Webhook(SECRET).verify(body, headers) == sent.message.payload

    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    def test_taken(self, outgoing: Make, hook: Receiver, status: int) -> None:
        hook.status = status
        send_webhook(outgoing(address=hook.url), secret=SECRET, now=NOW, timeout_s=5)
        assert len(hook.requests) == 1

    @pytest.mark.parametrize(
        ("status", "permanent"),
        [(500, False), (503, False), (429, False), (401, False), (404, False), (410, True)],
    )
    def test_not_taken(self, outgoing: Make, hook: Receiver, status: int, permanent: bool) -> None:
        hook.status = status
        with pytest.raises(DeliveryError, match=rf"webhook at 127.0.0.1:\d+ answered {status}") as refused:
            send_webhook(outgoing(address=hook.url), secret=SECRET, now=NOW, timeout_s=5)
        assert refused.value.permanent is permanent
        assert "hidden" not in str(refused.value)
        assert len(hook.requests) == 1

    @pytest.mark.parametrize(("status", "permanent"), [(301, True), (308, True), (302, False), (307, False)])
    def test_redirect_is_not_followed(self, outgoing: Make, hook: Receiver, status: int, permanent: bool) -> None:
        with receiver() as other:
            hook.status, hook.location = status, other.url
            with pytest.raises(DeliveryError, match="redirects are not followed") as refused:
                send_webhook(outgoing(address=hook.url), secret=SECRET, now=NOW, timeout_s=5)
            assert refused.value.permanent is permanent
            assert other.requests == []

    def test_hanging_receiver(self, outgoing: Make, silent: int) -> None:
        with pytest.raises(DeliveryError, match=r"gave no answer within 0.2 s") as late:
            send_webhook(outgoing(address=f"http://127.0.0.1:{silent}/"), secret=SECRET, now=NOW, timeout_s=0.2)
        assert not late.value.permanent

    def test_receiver_down(self, outgoing: Make, closed: int) -> None:
        address = f"http://127.0.0.1:{closed}/?token=hidden"
        with pytest.raises(DeliveryError, match="cannot be reached") as down:
            send_webhook(outgoing(address=address), secret=SECRET, now=NOW, timeout_s=5)
        assert not down.value.permanent
        assert "hidden" not in str(down.value)

    @pytest.mark.parametrize("address", ["http://", "http://[", "http:///path"])
    def test_malformed_address(self, outgoing: Make, address: str) -> None:
        with pytest.raises(DeliveryError, match="mend it in region") as bad:
            send_webhook(outgoing(address=address), secret=SECRET, now=NOW, timeout_s=5)
        assert bad.value.permanent

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_x", "ключ"])
    def test_unusable_secret(self, outgoing: Make, hook: Receiver, secret: str) -> None:
        with pytest.raises(DeliveryError, match="LSWARN_WEBHOOK_SECRET is not whsec_ and base64") as bad:
            send_webhook(outgoing(address=hook.url), secret=secret, now=NOW, timeout_s=5)
        assert not bad.value.permanent
        assert hook.requests == []

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("120", 120.0),
            ("Tue, 06 Oct 2026 15:31:30 GMT", 90.0),
            ("Tue, 06 Oct 2026 15:00:00 GMT", 0.0),
            ("", None),
            ("soon", None),
            ("-5", None),
        ],
    )
    @pytest.mark.parametrize("status", [429, 503])
    def test_asked_for_silence(
        self, outgoing: Make, hook: Receiver, header: str, seconds: float | None, status: int
    ) -> None:
        hook.status, hook.retry_after = status, header
        with pytest.raises(DeliveryError) as refused:
            send_webhook(outgoing(address=hook.url), secret=SECRET, now=NOW, timeout_s=5)
        assert refused.value.retry_after_s == seconds
        assert refused.value.lane_down
        assert not refused.value.permanent

    @pytest.mark.parametrize(("status", "down"), [(500, True), (502, True), (404, False), (410, False), (401, False)])
    def test_whose_fault_it_is(self, outgoing: Make, hook: Receiver, status: int, down: bool) -> None:
        hook.status = status
        with pytest.raises(DeliveryError) as refused:
            send_webhook(outgoing(address=hook.url), secret=SECRET, now=NOW, timeout_s=5)
        assert refused.value.lane_down is down

    def test_many_go_over_one_connection(self, outgoing: Make, hook: Receiver) -> None:
        with Hooks(secret=SECRET, timeout_s=5) as hooks:
            for n in range(3):
                hooks.send(outgoing(address=hook.url, allow_private=True, idempotency_key=f"k{n}"), now=NOW)
        assert [headers["idempotency-key"] for _, headers, _ in hook.requests] == ["k0", "k1", "k2"]
        assert len(hook.clients) == 1


class TestPrivateNetworks:
    def post(self, sent: Outgoing) -> None:
        with Hooks(secret=SECRET, timeout_s=2) as hooks:
            hooks.send(sent, now=NOW)

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
    def test_are_refused_whatever_they_are_called(self, outgoing: Make, hook: Receiver, name: str) -> None:
        with pytest.raises(DeliveryError, match=r"is in a private network; .*allow_private = true") as refused:
            self.post(outgoing(address=f"http://{name}:{hook.server_port}/"))
        assert not refused.value.permanent
        assert hook.requests == []

    def test_are_reached_where_they_are_meant(self, outgoing: Make, hook: Receiver) -> None:
        self.post(outgoing(address=hook.url, allow_private=True))
        assert len(hook.requests) == 1

    def test_a_name_that_turns_inward_after_it_was_judged_is_not_followed(
        self, outgoing: Make, hook: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: the first answer is public, every later one is this machine."""
        answers = iter(["192.88.99.7"])
        asked = []

        def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple]:
            asked.append(host)
            address = host if host.replace(".", "").isdigit() else next(answers, "127.0.0.1")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, hook.server_port))]

        connected = []

        def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
            connected.append(address[0])
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr("lswarn.alerts.channels.webhook.create_connection", connect)
        monkeypatch.setattr("lswarn.alerts.channels.webhook.is_public", lambda address: address == "192.88.99.7")
        with pytest.raises(DeliveryError, match="cannot be reached"):
            self.post(outgoing(address="http://hooks.example.org/"))
        assert (asked, connected) == (["hooks.example.org"], ["192.88.99.7"])
        with pytest.raises(DeliveryError, match="private network"):
            self.post(outgoing(address="http://hooks.example.org/"))
        assert connected == ["192.88.99.7"]

    def test_no_proxy_is_asked(self, outgoing: Make, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", hook.url)
        monkeypatch.delenv("NO_PROXY")
        with pytest.raises(DeliveryError, match="cannot be reached"):
            self.post(outgoing(address="http://nowhere.invalid/"))
        assert hook.requests == []

    @pytest.mark.parametrize(
        ("address", "public"),
        [
            ("8.8.8.8", True),
            ("2606:4700::1111", True),
            ("10.1.2.3", False),
            ("172.16.0.1", False),
            ("192.168.1.1", False),
            ("169.254.169.254", False),
            ("100.64.0.1", False),
            ("224.0.0.1", False),
            ("0.0.0.0", False),
            ("::", False),
            ("fe80::1%eth0", False),
            ("fd00::1", False),
            ("::ffff:10.0.0.1", False),
            ("::ffff:8.8.8.8", True),
            ("64:ff9b::a00:1", False),
            ("2002:a00:1::", False),
        ],
    )
    def test_which_they_are(self, address: str, public: bool) -> None:
        assert is_public(address) is public


class TestCourier:
    def test_by_channel(
        self, outgoing: Make, hook: Receiver, server: MailServer, relay: dict[str, object], tmp_path: Path
    ) -> None:
        settings = Settings(
            smtp_host="127.0.0.1", smtp_port=relay["port"], mail_from="w@example.org", webhook_secret=SecretStr(SECRET)
        )
        with Courier(settings) as courier:
            courier.send(outgoing(channel="email"), now=NOW)
            assert (len(server.mails), len(hook.requests)) == (1, 0)
            courier.send(outgoing(channel="webhook", address=hook.url, allow_private=True), now=NOW)
            assert (len(server.mails), len(hook.requests)) == (1, 1)
            courier.send(outgoing(channel="file", address=str(tmp_path)), now=NOW)
            assert len(list(tmp_path.iterdir())) == 1
            with pytest.raises(DeliveryError, match="no channel is called pigeon"):
                courier.send(outgoing(channel="pigeon"), now=NOW)

    def test_webhook_without_secret_waits_for_one(self, outgoing: Make, hook: Receiver) -> None:
        with Courier(Settings()) as courier, pytest.raises(DeliveryError, match="set LSWARN_WEBHOOK_SECRET") as unset:
            courier.send(outgoing(channel="webhook", address=hook.url), now=NOW)
        assert not unset.value.permanent
        assert hook.requests == []
