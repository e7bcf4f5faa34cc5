"""Where things are: the environment, read once at the top of a command or flow.

How a region is judged stands in region.toml; secrets stand only here.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lswarn.errors import SettingsError

PREFIX = "LSWARN_"


class Settings(BaseSettings):
    """Paths, addresses and secrets, from `LSWARN_*` variables. Frozen.

    Attributes:
        region: region.toml, or the folder that holds it, meant where a command or flow names none.
        database_url: PostgreSQL URL; None means the private server under `var_dir`.
        var_dir: everything lswarn writes: private database, rain archive, factor stacks, models, days.
        smtp_host, smtp_port, smtp_user, smtp_password: the mail relay.
        smtp_starttls, smtp_tls: speak to it under TLS, after STARTTLS or from the first byte (port 465).
        mail_from: sender of warnings.
        apprise, apprise_file: lines TAG=ADDRESS of the services that channel `apprise` reaches, or the file with them.
        webhook_secret: key of the webhook signature, `whsec_` and base64 (Standard Webhooks).
        cap_key_file, cap_cert_file: private key and certificate (PEM) that seal CAP documents; without them documents
            go out unsigned.
        earthdata_token: bearer token of an Earthdata account; left out, netrc is asked for `earthdata_login`.
        earthdata_login: host, and port if need be, of Earthdata's login server.
        pps_email: address registered with PPS, which is both user and password there.
        device: where networks run; `auto` takes a GPU if there is one.
        block_cells: side of the blocks in which a day is worked out, cells: lower it where memory does not suffice.
        dask: scheduler of the Dask cluster whose workers do the blocks; None: threads of this machine do.
        timeout_s: limit of one network exchange.
        heartbeat_url: address of a dead-man's switch, fetched by `ops/freshness.py` as long as all is well.
        operators_webhook: address at which Prefect tells operators of runs that fail or are late.
        web_read: whether anybody may read over the web, or only whoever holds a token; writing always takes one.
        web_rate: requests a minute that one address may make of a process of the web server.
        log: how the log is written to standard error: for people, or a JSON object a line.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    region: Path | None = None
    database_url: SecretStr | None = None
    var_dir: Path = Path("var")
    smtp_host: str = "localhost"
    smtp_port: int = Field(25, gt=0, lt=65536)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_starttls: bool = False
    smtp_tls: bool = False
    mail_from: str = "lswarn@localhost"
    apprise: SecretStr | None = None
    apprise_file: Path | None = None
    webhook_secret: SecretStr | None = None
    cap_key_file: Path | None = None
    cap_cert_file: Path | None = None
    earthdata_token: SecretStr | None = None
    earthdata_login: str = Field("urs.earthdata.nasa.gov", pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")
    pps_email: SecretStr | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Every network's phase (2 to the power of its depth, at most 32) divides it.
    block_cells: int = Field(512, ge=64, le=4096, multiple_of=64)
    dask: str | None = Field(None, pattern=r"^(tcp|tls)://[^/\s]+:[0-9]{1,5}$")
    timeout_s: float = Field(30.0, gt=0)
    heartbeat_url: SecretStr | None = None
    operators_webhook: SecretStr | None = None
    web_read: Literal["open", "token"] = "open"
    web_rate: int = Field(6000, gt=0)
    log: Literal["text", "json"] = "text"

    def region_dir(self, region: str) -> Path:
        """Folder of one region's rain archive, factors, models and days."""
        return self.var_dir.absolute() / "regions" / region


def load_settings(*, dask: str | None = None) -> Settings:
    """Read the environment.

    Args:
        dask: scheduler to use instead of the one that the environment names.

    Raises:
        SettingsError: names every unknown or unusable `LSWARN_*` variable.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        return Settings(dask=dask) if dask else Settings()
    except ValidationError as error:
        lines = [f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from error
