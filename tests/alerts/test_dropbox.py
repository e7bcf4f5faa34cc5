import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lswarn.alerts.channels.dropbox import save_message
from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError

NOW = datetime(2026, 10, 6, 15, 30, tzinfo=UTC)


@pytest.fixture
def drop(outgoing: Callable[..., Outgoing], tmp_path: Path) -> Callable[..., Path]:
    def drop(**fields: object) -> Path:
        sent = outgoing(**({"channel": "file", "address": str(tmp_path), "idempotency_key": "k1"} | fields))
        return save_message(sent, now=NOW)

    return drop


def test_a_message_is_a_folder(drop: Callable[..., Path], outgoing: Callable[..., Outgoing]) -> None:
    found, said = drop(), outgoing().message
    assert found.name == "2026-10-05-open-k1"
    assert {path.name for path in found.iterdir()} == {"message.json", "message.txt", "message.html", "map.png"}
    facts = json.loads((found / "message.json").read_text("utf-8"))
    assert facts == {
        "id": "k1",
        "delivered_at": "2026-10-06T15:30:00+00:00",
        "status": "actual",
        "subject": said.subject,
        "payload": said.payload,
    }
    assert (found / "message.txt").read_text("utf-8") == said.text
    assert 'src="map.png"' in (found / "message.html").read_text("utf-8")
    assert (found / "map.png").read_bytes() == said.map_png


def test_in_the_language_that_was_chosen(drop: Callable[..., Path], outgoing: Callable[..., Outgoing]) -> None:
    found = drop(language="es")
    assert (found / "message.txt").read_text("utf-8") == outgoing().message.translations["es"].text


def test_a_drill_is_told_by_its_name(drop: Callable[..., Path]) -> None:
    assert drop(message={"status": "test"}).name.startswith("test-2026-10-05")


def test_sent_again_it_lies_there_once(drop: Callable[..., Path], tmp_path: Path) -> None:
    first = drop()
    before = (first / "message.json").stat().st_mtime_ns
    assert drop() == first
    assert (first / "message.json").stat().st_mtime_ns == before
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_worker_left_half_done_is_done_anew(drop: Callable[..., Path], tmp_path: Path) -> None:
    half = tmp_path / ".2026-10-05-open-k1.part"
    half.mkdir()
    (half / "message.txt").write_text("hal")
    assert len(list(drop().iterdir())) == 4
    assert not half.exists()


def test_a_key_is_never_a_path(drop: Callable[..., Path], tmp_path: Path) -> None:
    assert drop(idempotency_key="../../etc/x").parent == tmp_path


def test_a_folder_that_is_not_there_is_not_made(drop: Callable[..., Path], tmp_path: Path) -> None:
    """A disk that is not mounted looks like that: what is written there would vanish under it."""
    with pytest.raises(DeliveryError, match=r"is not there; make it, or mend region.toml") as lost:
        drop(address=str(tmp_path / "unmounted"))
    assert lost.value.lane_down
    assert not lost.value.permanent


def test_what_is_no_folder_is_said(drop: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError, match="cannot be written to: Not a directory"):
        drop(address=str(tmp_path / "file"))
