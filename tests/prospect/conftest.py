"""The open servers on the loopback, and a small box in the made country behind them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lswarn.demo.open_sources import BBOX, OpenReplica
from lswarn.prospect.begin import Begun, Wish, begin_region
from lswarn.rain import download
from lswarn.settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[OpenReplica]:
    with OpenReplica() as server:
        yield server


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pauses between tries, and nobody's netrc."""
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 4)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def begin(server: OpenReplica, tmp_path: Path) -> Callable[..., Begun]:
    """`begin(level="7", files={…})` in `tmp_path / "made"`."""

    def begin(**wishes: object) -> Begun:
        facts: dict[str, object] = {"name": "made", "title": "Made", "bbox": BBOX, "addresses": server.addresses}
        return begin_region(tmp_path / "made", Wish(**facts | wishes), Settings(timeout_s=2), NOW, lambda what: None)

    return begin
