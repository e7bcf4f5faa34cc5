"""Doors: a message to one subscriber, over the channel he chose.

A message counts as delivered when the other side has said that it took it. Whoever calls records every attempt and
tries again; mail, webhooks and folders carry the same key at every attempt, so that a receiver can tell a repetition.
"""

import logging
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from typing import Self

from lswarn.alerts.channels.dropbox import save_message
from lswarn.alerts.channels.mail import Relay
from lswarn.alerts.channels.services import Services
from lswarn.alerts.channels.webhook import Hooks
from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError
from lswarn.settings import Settings

# Both would log addresses, which may hold tokens, and answers, which may repeat what was asked.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class Courier:
    """Takes messages where they are to go, with the relay and the secrets of the environment.

    It keeps its connections from one message to the next until it is left; one for each worker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = ExitStack()

    def send(self, outgoing: Outgoing, *, now: datetime) -> None:
        """Send a message over its channel.

        Args:
            now: aware instant, for what it says of its sending.

        Raises:
            DeliveryError: it was not taken.
        """
        match outgoing.channel:
            case "email":
                self._relay.send(outgoing, now=now)
            case "webhook":
                self._hooks.send(outgoing, now=now)
            case "file":
                save_message(outgoing, now=now)
            case "apprise":
                self._services.send(outgoing, now=now)
            case _:
                raise DeliveryError(f"no channel is called {outgoing.channel}; this lswarn may be too old")

    @cached_property
    def _relay(self) -> Relay:
        known = self._settings
        relay = Relay(
            host=known.smtp_host,
            port=known.smtp_port,
            sender=known.mail_from,
            user=known.smtp_user,
            password=known.smtp_password.get_secret_value() if known.smtp_password else None,
            encryption="tls" if known.smtp_tls else "starttls" if known.smtp_starttls else "none",
            timeout_s=known.timeout_s,
        )
        return self._open.enter_context(relay)

    @cached_property
    def _hooks(self) -> Hooks:
        secret = self._settings.webhook_secret
        if secret is None:
            raise DeliveryError("webhooks are signed: set LSWARN_WEBHOOK_SECRET (whsec_ and base64)")
        return self._open.enter_context(Hooks(secret=secret.get_secret_value(), timeout_s=self._settings.timeout_s))

    @cached_property
    def _services(self) -> Services:
        inline, file = self._settings.apprise, self._settings.apprise_file
        lines = inline.get_secret_value() if inline else ""
        if file:
            try:
                lines += "\n" + file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise DeliveryError(f"LSWARN_APPRISE_FILE={file} cannot be read", lane_down=True) from error
        return Services(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
