"""Door: messages by e-mail, over one connection for as long as it lasts.

Every recipient gets a mail of his own: one whom the server refuses keeps nobody else from his.
"""

import smtplib
import ssl
from contextlib import suppress
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from typing import Literal, Self
from urllib.parse import quote

from lswarn.alerts.digest import Letter, letter_of
from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError

Encryption = Literal["none", "starttls", "tls"]
"""In the clear; begun in the clear and gone on with under TLS; under TLS from the first byte."""


class Relay:
    """A mail server, and the connection to it; connects when there is something to send.

    Its connection is left after a failure, and one that the server has closed since the last mail is opened again.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        user: str | None = None,
        password: str | None = None,
        encryption: Encryption = "none",
        timeout_s: float,
    ) -> None:
        """Connects to nobody yet.

        Args:
            encryption: other than "none", nothing is sent in the clear, to a server that shows no valid certificate not
                at all.
            timeout_s: longest silence of the server.
        """
        self._host, self._port, self._sender = host, port, sender
        self._user, self._password, self._encryption = user, password, encryption
        self._timeout_s = timeout_s
        self._server: smtplib.SMTP | None = None

    def send(self, outgoing: Outgoing, *, now: datetime) -> None:
        """Send a mail: plain text, and HTML with the maps inside.

        Its Message-ID follows from the idempotency key.

        Args:
            now: aware instant, for the Date header.

        Raises:
            DeliveryError: it was not taken; permanent where the server refuses this recipient or this content for good.
        """
        sender, recipient, mail = _mail(outgoing, self._sender, now)
        used = self._server is not None
        try:
            try:
                self._transmit(sender, recipient, mail)
            except (smtplib.SMTPServerDisconnected, ConnectionError, smtplib.SMTPResponseException) as error:
                # Servers close a connection that was idle, or carried enough: that is no failure of this mail.
                closing = not isinstance(error, smtplib.SMTPResponseException) or error.smtp_code == 421
                if not (used and closing):
                    raise
                self.close()
                self._transmit(sender, recipient, mail)
        except (OSError, smtplib.SMTPException) as error:
            raise self._translated(error, outgoing) from error

    def _transmit(self, sender: str, recipient: str, mail: bytes) -> None:
        if self._server is None:
            self._server = self._connect()
        self._server.sendmail(sender, [recipient], mail)

    def _connect(self) -> smtplib.SMTP:
        tls = ssl.create_default_context() if self._encryption != "none" else None
        server: smtplib.SMTP
        if self._encryption == "tls":
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=tls)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._encryption == "starttls":
                server.starttls(context=tls)
            if self._user is not None:
                server.login(self._user, self._password or "")
            server.ehlo_or_helo_if_needed()
        except BaseException:
            server.close()
            raise
        return server

    def _translated(self, error: OSError | smtplib.SMTPException, outgoing: Outgoing) -> DeliveryError:
        relay = f"mail server {self._host}:{self._port}"
        match error:
            case smtplib.SMTPRecipientsRefused():
                code, text = next(iter(error.recipients.values()))
                if code == 421:
                    self.close()
                message = f"{relay} refused {outgoing.address}: {_answer(code, text)}"
                return DeliveryError(message, permanent=_for_good(code), lane_down=code == 421)
            case smtplib.SMTPDataError():
                answer = _answer(error.smtp_code, error.smtp_error)
                message = f"{relay} refused the message to {outgoing.address}: {answer}"
                return DeliveryError(message, permanent=_for_good(error.smtp_code))
        self.close()
        match error:
            case smtplib.SMTPResponseException():
                # The server refuses us, not the recipient: once a person has mended the settings, trying again helps.
                answer = _answer(error.smtp_code, error.smtp_error)
                message = f"{relay} refused {self._sender}: {answer}; see LSWARN_SMTP_* and LSWARN_MAIL_FROM"
            case smtplib.SMTPNotSupportedError():
                message = f"{relay} cannot do what the mail needs: {error}; see LSWARN_SMTP_*"
            case ssl.SSLError():
                message = f"{relay} shows no certificate to trust: {error.reason or error}; see LSWARN_SMTP_*"
            case _:
                message = f"{relay} gave no answer within {self._timeout_s:g} s, or broke off: {error}"
        return DeliveryError(message, lane_down=True)

    def close(self) -> None:
        """Take leave of the server, without waiting for its answer."""
        if self._server is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._server.putcmd("quit")
            self._server.close()
        self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _mail(outgoing: Outgoing, sender: str, now: datetime) -> tuple[str, str, bytes]:
    """Sender, recipient and mail as the server gets them: a domain in letters of the world as DNS knows it."""
    try:
        parsed = Address(addr_spec=outgoing.address)  # refuses line breaks, lists and names
        to = f"{parsed.addr_spec.rpartition('@')[0]}@{parsed.domain.encode('idna').decode()}"
    except (HeaderParseError, ValueError, IndexError) as error:
        message = f"{outgoing.address!r} is not a mail address; mend it in region.toml"
        raise DeliveryError(message, permanent=True) from error
    address, domain = _sender(sender)
    key = quote(outgoing.idempotency_key, safe="")
    own = f"To: {to}\r\nDate: {format_datetime(now)}\r\nMessage-ID: <{key}@{domain}>\r\n"
    return address, to, own.encode("ascii") + _shared(letter_of(outgoing.messages, outgoing.language), sender)


@lru_cache(maxsize=4)
def _sender(sender: str) -> tuple[str, str]:
    """Address of the sender, and its domain."""
    head = EmailMessage(policy=SMTP)
    try:
        head["From"] = sender
        (author,) = head["From"].addresses
        domain = Address(addr_spec=author.addr_spec).domain
        author.addr_spec.encode("ascii")
    except (HeaderParseError, ValueError, IndexError) as error:
        raise DeliveryError(f"LSWARN_MAIL_FROM={sender!r} is not a mail address", lane_down=True) from error
    return author.addr_spec, domain


@lru_cache(maxsize=16)
def _shared(letter: Letter, sender: str) -> bytes:
    """All but the headers that speak of one recipient: many get the same letter, and its maps are large."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["Subject"] = letter.subject
    mail["Auto-Submitted"] = "auto-generated"
    if letter.urgent:
        mail["Importance"] = "high"
    mail.set_content(letter.text, cte="quoted-printable")
    mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    _, html = mail.iter_parts()
    for name, picture in letter.pictures:
        html.add_related(picture, "image", "png", cid=f"<{name}>", filename=f"{name}.png", disposition="inline")
    mail["Content-Language"] = letter.language  # after the content, which sweeps such headers away
    return mail.as_bytes()


def _for_good(code: int) -> bool:
    # 530 asks for a login: that is about us, and can be mended.
    return 500 <= code < 600 and code != 530


def _answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())[:200]}"
