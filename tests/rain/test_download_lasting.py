"""Downloads that outlive their process: what is here is gone on from, unless the server has another version by now."""

import hashlib
from datetime import UTC, datetime

import pytest

from lswarn.demo.replicas import Published, RainReplica
from lswarn.errors import CorruptGranule, SourceUnavailable
from lswarn.rain import download, transfer
from lswarn.rain.accounts import Account
from lswarn.rain.download import Client

AT = datetime(2026, 2, 1, tzinfo=UTC)
BODY = hashlib.shake_128(b"a large file").digest(400_000)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 4)
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 10_000)


@pytest.fixture
def server():
    with RainReplica({"large.tif": Published(BODY, AT)}, now=AT) as server:
        yield server


@pytest.fixture
def resume(server, tmp_path):
    def resume(most_bytes=1 << 20):
        with Client(Account(), timeout_s=5.0, connections=1, named="--from dem=…") as client:
            return client.resume_file(f"{server.url}/large.tif", tmp_path / "large.tif.part", most_bytes=most_bytes)

    return resume


@pytest.fixture
def half(server, resume, tmp_path):
    """Half of the file is here, and the process is gone."""
    server.quirks["/large.tif"] = ["cut", *[503] * 9]
    with pytest.raises(SourceUnavailable):
        resume()
    server.quirks.clear()
    server.seen.clear()
    part = tmp_path / "large.tif.part"
    assert part.stat().st_size == 200_000
    return part


def test_a_whole_one_leaves_no_mark(resume, tmp_path):
    resume()
    assert (tmp_path / "large.tif.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["large.tif.part"]


def test_the_next_process_asks_for_the_rest(server, resume, half):
    resume()
    assert half.read_bytes() == BODY
    assert [seen.range for seen in server.seen] == ["bytes=200000-"]


@pytest.mark.parametrize("quirk", ["changed", "no-range"])
def test_half_of_another_version_is_discarded(server, resume, half, quirk):
    server.quirks["/large.tif"] = [quirk]
    resume()
    assert half.read_bytes() == BODY + bytes(16 if quirk == "changed" else 0)


@pytest.mark.parametrize("mark", [None, b"", b"[]", b"\xff", b'{"validator": "x"}'])
def test_half_of_what_is_not_known_is_worth_nothing(server, resume, half, mark):
    of = half.with_name("large.tif.part.of")
    of.unlink() if mark is None else of.write_bytes(mark)
    resume()
    assert half.read_bytes() == BODY
    assert [seen.range for seen in server.seen] == [None]


def test_all_of_it_was_here_but_for_its_name(server, resume, half):
    half.write_bytes(BODY)
    resume()
    assert half.read_bytes() == BODY


def test_more_than_it_can_have(resume):
    with pytest.raises(CorruptGranule, match="announces 400,000 bytes"):
        resume(most_bytes=1000)


def test_messages_name_what_gave_the_address(server, resume):
    server.quirks["/large.tif"] = [418]
    with pytest.raises(SourceUnavailable, match="answered 418; is --from dem=… right"):
        resume()
