"""The world that ops/smoke.sh runs its day in: the demo's, in coarse cells, with its servers.

    python ops/smoke_world.py FOLDER

Writes FOLDER/world.env (settings, one a line), builds, trains, and last FOLDER/ready with the day to run. Then it keeps
its servers until it is ended. Beside the region `demo` there is `unready`, whose assets are loaded, but not its factors
built: its day fails.
"""

import signal
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from threading import Event

from pydantic import SecretStr

from lswarn import groundwork, priming, retraining
from lswarn.cascade import fetch_days
from lswarn.db import server
from lswarn.db.engine import migrate
from lswarn.demo.granules import load_published
from lswarn.demo.loopback import Handler, LoopbackServer
from lswarn.demo.providers import Providers
from lswarn.demo.servers import MailSink, WebhookReceiver
from lswarn.demo.story import RUN_AT, WEBHOOK_SECRET
from lswarn.demo.world import World, make_world
from lswarn.rain.window import window_days
from lswarn.region import load_region
from lswarn.settings import PREFIX, Settings

DAY = 6
"""Of the demo's ten: one that has something to say."""

UNREADY = "unready.toml"
MOST_BYTES = 2**20


class Operators(LoopbackServer):
    """Where operators are told: each body becomes a line of a file."""

    def __init__(self, path: Path) -> None:
        class Door(Handler):
            def do_POST(self) -> None:  # noqa: N802 (the name is http.server's)
                body = self.rfile.read(min(int(self.headers["Content-Length"]), MOST_BYTES))
                with path.open("ab") as file:
                    file.write(body.replace(b"\n", b" ") + b"\n")
                self.answer(204)

        super().__init__(Door, 0)


def main(folder: Path) -> None:
    """Make the world and keep it until this process is ended."""
    with (
        Providers() as rain,
        MailSink(folder / "mail") as mail,
        WebhookReceiver(folder / "webhooks", WEBHOOK_SECRET.get_secret_value()) as hooks,
        Operators(folder / "operators.txt") as operators,
    ):
        world = make_world(folder / "demo", rain=rain.addresses, webhook_url=hooks.url, resolution_m=90)
        rain.serve(load_published(world.granules))
        rain.now = datetime.combine(world.days[DAY] + timedelta(days=1), RUN_AT, UTC)
        _make_regions(world)
        settings = Settings(
            var_dir=folder / "var",
            smtp_host=mail.host,
            smtp_port=mail.port,
            webhook_secret=WEBHOOK_SECRET,
            operators_webhook=SecretStr(operators.url),
            **rain.accounts,
        )
        _write(folder / "world.env", _variables(settings))
        migrate(server.start(settings.var_dir))
        _prepare(world, settings)
        _write(folder / "ready", [world.days[DAY].isoformat()])
        asked = Event()
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
        asked.wait()


def _make_regions(world: World) -> None:
    """Have `demo` learn by what learns soonest, and put `unready` beside it."""
    told = world.region_toml.read_text("utf-8")
    world.region_toml.write_text(told.replace("[model]", '[model]\nnetwork = "boosting"', 1), "utf-8")
    other = told.replace('name = "demo"', 'name = "unready"', 1)
    world.region_toml.with_name(UNREADY).write_text(other, "utf-8")


def _variables(settings: Settings) -> list[str]:
    """Settings as an environment file has them."""
    told = settings.model_dump(exclude_defaults=True)
    plain = {n: v.get_secret_value() if isinstance(v, SecretStr) else v for n, v in told.items()}
    return [f"{PREFIX}{name.upper()}={value}" for name, value in plain.items()]


def _prepare(world: World, settings: Settings) -> None:
    """All that must lie ready before the first day."""
    region = load_region(world.region_toml)
    now = datetime.combine(world.days[0], time(), UTC)
    groundwork.build(region, settings, lambda name, share: None)
    for each in (region, load_region(world.region_toml.with_name(UNREADY))):
        groundwork.load_assets(each, settings)
    fetch_days(region, settings, sorted({day for last in world.training_days for day in window_days(last)}), now)
    taken = retraining.snapshot(region, settings, now)
    model_id = retraining.train(region, settings, taken, lambda step, steps, losses: None)
    scores = retraining.evaluate(region, settings, taken, model_id, now)
    retraining.promote(region, settings, taken, model_id, scores)
    priming.prime(region, settings, lambda done, total: None)


def _write(path: Path, lines: list[str]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join(lines) + "\n", "utf-8")
    part.rename(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
