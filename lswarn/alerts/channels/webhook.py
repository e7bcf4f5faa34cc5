"""Door: messages as JSON to an HTTP receiver, signed.

Whom a name stands for is looked up and judged at every connection, and the connection is made to the very address that
was judged: a name that pointed to the world when it was written down cannot come to point into the network that lswarn
runs in. No proxy is used, for then the proxy would do the looking up; and no redirect is followed.
"""

import json
import socket
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from lswarn.alerts.outgoing import Outgoing, server_of
from lswarn.errors import DeliveryError

_GONE = (301, 308, 410)
"""Answers after which the same address will never do."""

_MOST_ANSWER_BYTES = 65536
"""So much of an answer is read, and thrown away, to keep the connection."""

_NAT64 = IPv6Network("64:ff9b::/96")


class Hooks:
    """Posts messages over connections that it keeps open until it is left."""

    def __init__(self, *, secret: str, timeout_s: float) -> None:
        """`secret` is `whsec_` and base64; `timeout_s` the longest silence of a receiver."""
        self._secret, self._timeout_s = secret, timeout_s
        self._sessions = {allowed: _session(allowed) for allowed in (False, True)}

    def send(self, outgoing: Outgoing, *, now: datetime) -> None:
        """Post a message as JSON, signed by the Standard Webhooks scheme.

        The headers are `webhook-id` (the idempotency key, also as `Idempotency-Key`), `webhook-timestamp` and
        `webhook-signature` (HMAC-SHA256 over id, time stamp and body).

        Args:
            outgoing: a message by itself.
            now: aware instant, for the time stamp.

        Raises:
            DeliveryError: the answer was not 2xx; permanent where the address has moved or gone for good.
        """
        payload = json.dumps(outgoing.message.payload, allow_nan=False)
        receiver = f"webhook at {server_of(outgoing.address).partition('://')[2] or 'an address without a host'}"
        try:
            answer = self._sessions[outgoing.allow_private].post(
                outgoing.address,
                payload.encode(),
                headers=_headers(outgoing.idempotency_key, payload, self._secret, now),
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            )
        except requests.Timeout as error:
            raise DeliveryError(f"{receiver} gave no answer within {self._timeout_s:g} s", lane_down=True) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise DeliveryError(f"{receiver} has no usable address; mend it in region.toml", permanent=True) from error
        except requests.RequestException as error:
            raise DeliveryError(f"{receiver} cannot be reached ({type(error).__name__})", lane_down=True) from error
        with answer, suppress(HTTPError, OSError):
            answer.raw.read(_MOST_ANSWER_BYTES)
        _judge(answer, receiver, now)

    def close(self) -> None:
        """Let go of all connections."""
        for session in self._sessions.values():
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the world: not to a private network, this machine or a group.

    Addresses that wrap another one (IPv4 in IPv6, NAT64, 6to4) are judged by that one too.
    """
    ip = ip_address(address.partition("%")[0])
    wrapped: IPv4Address | None = None
    if isinstance(ip, IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None)
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
    return ip.is_global and not ip.is_multicast and (wrapped is None or is_public(str(wrapped)))


def _headers(key: str, payload: str, secret: str, now: datetime) -> dict[str, str]:
    utc = now.astimezone(UTC)  # the library takes the clock time of any zone for UTC
    try:
        signature = Webhook(secret).sign(key, utc, payload)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise DeliveryError("LSWARN_WEBHOOK_SECRET is not whsec_ and base64") from error
    return {
        "Content-Type": "application/json",
        "User-Agent": "lswarn",
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": str(int(utc.timestamp())),
        "webhook-signature": signature,
    }


def _judge(answer: requests.Response, receiver: str, now: datetime) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    remedy = "; redirects are not followed, give its new address in region.toml" if 300 <= status < 400 else ""
    reason = "".join(c for c in answer.reason or "" if c.isprintable())[:80]
    raise DeliveryError(
        f"{receiver} answered {status} {reason}{remedy}",
        permanent=status in _GONE,
        lane_down=status == 429 or status >= 500,
        retry_after_s=_retry_after_s(answer.headers.get("Retry-After", ""), now),
    )


def _retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds, or an instant; what is neither asks for nothing."""
    if value.strip().isdecimal():
        return float(value[:9])
    with suppress(ValueError, TypeError):
        at = parsedate_to_datetime(value)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
    return None


def _session(allow_private: bool) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # neither proxies nor somebody's netrc
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter() if allow_private else _GuardedAdapter())
    return session


class _Guarded(HTTPConnection):
    """Connects to public addresses only, and to the one that was judged."""

    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            gai = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, gai) from error
        addresses = [str(sockaddr[0]) for *_, sockaddr in found if is_public(str(sockaddr[0]))]
        if not addresses:
            raise DeliveryError(
                f"webhook at {self.host} is in a private network; if that is meant, say allow_private = true "
                "in region.toml"
            )
        last = OSError()
        for address in addresses:
            try:
                return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
            except TimeoutError:
                raise
            except OSError as refused:
                last = refused
        raise NewConnectionError(self, f"no address of it answers: {last}") from last


class _GuardedTLS(_Guarded, HTTPSConnection):
    """The same under TLS: the certificate is that of the name."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
