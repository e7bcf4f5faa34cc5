"""Door: one message to one subscriber, by e-mail or webhook.

A message counts as delivered when the other side has said that it took it. Whoever calls records every attempt and
tries again; both ways carry the same key at every attempt, so that a receiver can tell a repetition.
"""

import json
import smtplib
import ssl
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import quote, urlsplit

import requests
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from lswarn.alerts.message import Outgoing
from lswarn.alerts.policy import Kind
from lswarn.errors import DeliveryError
from lswarn.settings import Settings

_GONE = (301, 308, 410)
"""Answers after which the same address will never do."""


def send(outgoing: Outgoing, settings: Settings, *, now: datetime) -> None:
    """Send a message over its channel, with the relay and the secrets of the environment.

    Raises:
        DeliveryError: it was not taken.
    """
    if outgoing.channel == "webhook":
        if settings.webhook_secret is None:
            raise DeliveryError("webhooks are signed: set LSWARN_WEBHOOK_SECRET (whsec_ and base64)")
        secret = settings.webhook_secret.get_secret_value()
        send_webhook(outgoing, secret=secret, now=now, timeout_s=settings.timeout_s)
        return
    send_email(
        outgoing,
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        starttls=settings.smtp_starttls,
        now=now,
        timeout_s=settings.timeout_s,
    )


def send_email(
    outgoing: Outgoing,
    *,
    host: str,
    port: int,
    sender: str,
    user: str | None = None,
    password: str | None = None,
    starttls: bool = False,
    now: datetime,
    timeout_s: float,
) -> None:
    """Send a mail: plain text, and HTML with the map inside.

    Its Message-ID follows from the idempotency key. With `starttls` nothing is sent in the clear, to a server that
    shows no valid certificate not at all.

    Args:
        now: aware instant, for the Date header.
        timeout_s: longest silence of the server.

    Raises:
        DeliveryError: it was not taken; permanent where the server refuses this recipient or this content for good.
    """
    mail = _mail(outgoing, sender, now)
    relay = f"mail server {host}:{port}"
    try:
        with smtplib.SMTP(host, port, timeout=timeout_s) as server:
            if starttls:
                server.starttls(context=ssl.create_default_context())
            if user is not None:
                server.login(user, password or "")
            server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        message = f"{relay} refused {outgoing.address}: {_answer(code, text)}"
        raise DeliveryError(message, permanent=_for_good(code)) from error
    except smtplib.SMTPDataError as error:
        answer = _answer(error.smtp_code, error.smtp_error)
        message = f"{relay} refused the message to {outgoing.address}: {answer}"
        raise DeliveryError(message, permanent=_for_good(error.smtp_code)) from error
    except smtplib.SMTPResponseException as error:
        # The server refuses us, not the recipient: once a person has mended the settings, trying again helps.
        answer = _answer(error.smtp_code, error.smtp_error)
        raise DeliveryError(f"{relay} refused {sender}: {answer}; see LSWARN_SMTP_* and LSWARN_MAIL_FROM") from error
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryError(f"{relay} cannot do what the mail needs: {error}; see LSWARN_SMTP_*") from error
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"{relay} gave no answer within {timeout_s:g} s, or broke off: {error}") from error


def send_webhook(outgoing: Outgoing, *, secret: str, now: datetime, timeout_s: float) -> None:
    """Post a message as JSON, signed by the Standard Webhooks scheme.

    The headers are `webhook-id` (the idempotency key, also as `Idempotency-Key`), `webhook-timestamp` and
    `webhook-signature` (HMAC-SHA256 over id, time stamp and body). Redirects are not followed.

    Args:
        secret: `whsec_` and base64.
        now: aware instant, for the time stamp.
        timeout_s: longest silence of the server.

    Raises:
        DeliveryError: the answer was not 2xx; permanent where the address has moved or gone for good.
    """
    key, payload = outgoing.idempotency_key, json.dumps(outgoing.message.payload, allow_nan=False)
    # The library takes the clock time of any zone for UTC.
    utc = now.astimezone(UTC)
    try:
        signature = Webhook(secret).sign(key, utc, payload)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise DeliveryError("LSWARN_WEBHOOK_SECRET is not whsec_ and base64") from error
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": str(int(utc.timestamp())),
        "webhook-signature": signature,
    }
    receiver = f"webhook at {_host(outgoing.address)}"
    try:
        answer = requests.post(
            outgoing.address, payload.encode(), headers=headers, timeout=timeout_s, allow_redirects=False, stream=True
        )
    except requests.Timeout as error:
        raise DeliveryError(f"{receiver} gave no answer within {timeout_s:g} s") from error
    except requests.exceptions.InvalidURL as error:
        raise DeliveryError(f"{receiver} has no usable address; mend it in region.toml", permanent=True) from error
    except requests.RequestException as error:
        raise DeliveryError(f"{receiver} cannot be reached ({type(error).__name__})") from error
    with answer:
        status = answer.status_code
    if not 200 <= status < 300:
        remedy = "; redirects are not followed, give its new address in region.toml" if 300 <= status < 400 else ""
        raise DeliveryError(f"{receiver} answered {status} {answer.reason}{remedy}", permanent=status in _GONE)


def _host(address: str) -> str:
    """What errors say of a webhook's address: its path and query may hold a token."""
    try:
        return urlsplit(address).hostname or "an address without a host"
    except ValueError:
        return "an address that is none"


def _mail(outgoing: Outgoing, sender: str, now: datetime) -> EmailMessage:
    said = outgoing.message
    mail = EmailMessage(policy=SMTP)
    try:
        mail["To"] = Address(addr_spec=outgoing.address)
    except (HeaderParseError, ValueError, IndexError) as error:
        message = f"{outgoing.address!r} is not a mail address; mend it in region.toml"
        raise DeliveryError(message, permanent=True) from error
    try:
        mail["From"] = sender
        (author,) = mail["From"].addresses
        domain = Address(addr_spec=author.addr_spec).domain
    except (HeaderParseError, ValueError, IndexError) as error:
        raise DeliveryError(f"LSWARN_MAIL_FROM={sender!r} is not a mail address") from error
    mail["Subject"] = said.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{quote(outgoing.idempotency_key, safe='')}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if said.kind in (Kind.OPEN, Kind.RAISE):
        mail["Importance"] = "high"
    mail.set_content(said.text, cte="quoted-printable")
    mail.add_alternative(said.html, subtype="html", cte="quoted-printable")
    if said.map_png:
        _, html = mail.iter_parts()
        html.add_related(said.map_png, "image", "png", cid="<map>", filename="map.png", disposition="inline")
    return mail


def _for_good(code: int) -> bool:
    # 530 asks for a login: that is about us, and can be mended.
    return 500 <= code < 600 and code != 530


def _answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())[:200]}"
