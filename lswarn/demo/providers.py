"""The three servers that the demo's rain comes from, each with its own habits and its own account (door: network).

Earthdata finds granules by CMR and wants a token, PPS lists folders as text, wants an e-mail address and hangs up on
who asks for what is not out yet, and NOAA's bucket lists nothing and wants nothing.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Self

from pydantic import SecretStr

from lswarn.demo.login import LoginReplica
from lswarn.demo.places import Addresses
from lswarn.demo.replicas import Published, RainReplica

TOKEN = "demo-token-between-two-ends-of-one-process"  # noqa: S105 (no secret)
EMAIL = "demo@county.example"


class Providers:
    """Earthdata, PPS and NOAA on the loopback; a context manager.

    Attributes:
        earthdata, pps, noaa: the servers, with their quirks as switches.
    """

    def __init__(self) -> None:
        self._login = LoginReplica(token=TOKEN)
        self.earthdata = RainReplica({}, account="earthdata", token=TOKEN, login=self._login)
        self.pps = RainReplica({}, account="pps", email=EMAIL, unpublished="reset", listing="text")
        self.noaa = RainReplica({}, listing="none")
        self._entered = ExitStack()
        self.now = datetime.now(UTC)

    @property
    def addresses(self) -> Addresses:
        """Where they listen."""
        return Addresses(self.earthdata.url, self.pps.url, self.noaa.url)

    @property
    def accounts(self) -> dict[str, object]:
        """What `Settings` must say so that they let lswarn in."""
        login = self._login.url.partition("://")[2]
        return {"earthdata_token": SecretStr(TOKEN), "earthdata_login": login, "pps_email": SecretStr(EMAIL)}

    @property
    def now(self) -> datetime:
        """The instant at which they believe to be."""
        return self.noaa.now

    @now.setter
    def now(self, instant: datetime) -> None:
        self.earthdata.now = self.pps.now = self.noaa.now = instant

    def serve(self, files: Mapping[str, Published]) -> None:
        """Give each server the files that lie under its own paths."""
        for server, root in ((self.earthdata, "data/"), (self.pps, "imerg/"), (self.noaa, "gfs.")):
            server.files = {path: file for path, file in files.items() if path.startswith(root)}

    def __enter__(self) -> Self:
        for server in (self._login, self.earthdata, self.pps, self.noaa):
            self._entered.enter_context(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()
