"""Door: messages over the many services that Apprise speaks to.

Which services, and with which secrets, stands in the environment or a file (`TAG=ADDRESS`, a line each); the rest of
lswarn knows tags alone.
"""

import tempfile
from datetime import datetime
from pathlib import Path

from apprise import Apprise, NotifyBase, NotifyFormat, NotifyType
from apprise.config.base import ConfigBase

from lswarn.alerts.digest import letter_of
from lswarn.alerts.outgoing import Outgoing
from lswarn.alerts.policy import Kind, Level
from lswarn.errors import DeliveryError


class Services:
    """The services of one text of `TAG=ADDRESS` lines."""

    def __init__(self, text: str) -> None:
        """`text` may be empty: then no tag is known. A line of it that Apprise cannot read is left out."""
        found, _ = ConfigBase.config_parse_text(text)
        self._known = Apprise()
        self._tags: set[str] = set()
        for service in found:
            if isinstance(service, NotifyBase):
                self._known.add(service)
                self._tags |= set(service.tags)

    def send(self, outgoing: Outgoing, *, now: datetime) -> None:
        """Send a message, or a digest, to the service its tag stands for.

        Raises:
            DeliveryError: no service has the tag, or it did not take it.
        """
        tag = outgoing.address
        if tag not in self._tags:
            raise DeliveryError(f"no usable line {tag}=… in LSWARN_APPRISE or LSWARN_APPRISE_FILE", lane_down=True)
        letter = letter_of(outgoing.messages, outgoing.language)
        worst = max(message.level for message in outgoing.messages)
        ended = all(message.kind is Kind.CLEAR for message in outgoing.messages)
        kind = NotifyType.FAILURE if worst is Level.RED else NotifyType.SUCCESS if ended else NotifyType.WARNING
        with tempfile.TemporaryDirectory() as folder:
            maps = []
            for name, picture in letter.pictures:
                maps.append(Path(folder) / f"{name}.png")
                maps[-1].write_bytes(picture)
            taken = self._known.notify(
                letter.text,
                title=letter.subject,
                notify_type=kind,
                body_format=NotifyFormat.TEXT,
                tag=tag,
                attach=[str(path) for path in maps] or None,
            )
        if not taken:
            raise DeliveryError(f"the service {tag} did not take it; see LSWARN_APPRISE", lane_down=True)
