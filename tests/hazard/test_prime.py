import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lswarn.errors import ModelError, NotEnoughMemory, StorageFull
from lswarn.grid import Grid
from lswarn.hazard import prime as priming
from lswarn.hazard.critical import NEVER, open_layers
from lswarn.workers import Threads


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the only layers in a folder."""
    (layers,) = folder.glob("*/layers.json")
    return {path.name: path.read_bytes() for path in layers.parent.iterdir()}


@pytest.fixture(scope="module")
def expected(hills: SimpleNamespace) -> dict[str, bytes]:
    return content(hills.folder)


@pytest.mark.parametrize("options", [{"workers": Threads(1)}, {"block_cells": 1024}, {"block_cells": 192}])
def test_threads_and_blocks_do_not_change_a_byte(hills: SimpleNamespace, expected, tmp_path, options):
    hills.primed(tmp_path, **options)
    assert content(tmp_path) == expected


def test_what_is_primed_is_not_primed_again(hills: SimpleNamespace):
    model = hills.Steep()
    hills.primed(hills.folder, model=model)
    assert model.asked == []


def test_progress_counts_the_blocks(hills: SimpleNamespace, tmp_path):
    told: list[tuple[int, int]] = []
    hills.primed(tmp_path, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 4) for done in range(5)]


def test_a_priming_that_is_stopped_goes_on_and_ends_with_the_same_bytes(hills: SimpleNamespace, expected, tmp_path):
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hills.primed(tmp_path, workers=Threads(1), on_progress=stop)
    assert not list(tmp_path.glob("*/layers.json"))
    model, told = hills.Steep(), []
    hills.primed(tmp_path, model=model, on_progress=lambda done, _: told.append(done))
    assert told[0] == 2
    assert len(model.asked) == 2
    assert content(tmp_path) == expected
    assert not list(tmp_path.glob(".draft-*"))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.999])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_torn_spool_is_gone_on_with_from_its_last_whole_tile(
    hills: SimpleNamespace, expected, tmp_path, monkeypatch, share, damage
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(priming, "_save_layers", stop)
        with pytest.raises(KeyboardInterrupt):
            hills.primed(tmp_path)
    (spool,) = tmp_path.glob(".draft-*/tiles.spool")
    whole = bytearray(spool.read_bytes())
    at = int(share * len(whole))
    if damage == "flipped":
        whole[at] ^= 0x10
    spool.write_bytes(whole if damage == "flipped" else whole[:at])
    hills.primed(tmp_path)
    assert content(tmp_path) == expected


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import primed
folder, dice = Path(sys.argv[2]), random.Random(6)
primed(folder / "warm")
started = time.monotonic()
primed(folder / "timed")
took = time.monotonic() - started
kills = ended = 0
while kills < 20:
    child = os.fork()
    if child == 0:
        try:
            primed(folder / "killed")
        finally:
            os._exit(0)
    time.sleep(dice.uniform(0, took))
    os.kill(child, signal.SIGKILL)
    kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for found in (folder / "killed").glob("*/layers.json"):  # it came to its end: from the beginning
        primed(folder / "killed")
        found.parent.rename(folder / f"ended-{ended}")
        ended += 1
primed(folder / "killed")
print(kills, ended)
"""


def test_killed_at_random_points_it_ends_with_the_same_bytes(hills: SimpleNamespace, expected, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(hills.home), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert int(done.stdout.split()[0]) >= 20
    assert content(tmp_path / "killed") == expected
    for folder in tmp_path.glob("ended-*"):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import primed
from lswarn.errors import StorageFull
for size in (100, 500_000, 1_000_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        primed(Path(sys.argv[2]))
    except StorageFull as error:
        print(error)
"""


def test_a_full_disk_is_told_and_the_next_priming_goes_on(hills: SimpleNamespace, expected, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", FULL, str(hills.home), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.count("File too large while priming; make room and run `lswarn prime` again") == 3
    assert not list(tmp_path.glob("*/layers.json"))
    hills.primed(tmp_path)
    assert content(tmp_path) == expected


@pytest.mark.parametrize("file", ["save_cog", "ClassWriter", "load_dry_pieces"])
def test_a_disk_that_fills_while_layers_are_written_leaves_none(
    hills: SimpleNamespace, expected, tmp_path, monkeypatch, file
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(priming, file, full)
        with pytest.raises(StorageFull, match="No space left"):
            hills.primed(tmp_path)
    assert not list(tmp_path.glob(".draft-*/layers"))
    hills.primed(tmp_path)
    assert content(tmp_path) == expected


def test_where_memory_does_not_suffice_the_block_shrinks(hills: SimpleNamespace, expected, tmp_path):
    model = hills.Steep(most_cells=200 * 200)
    hills.primed(tmp_path, model=model)
    assert content(tmp_path) == expected
    assert max(model.asked) > model.most_cells


def test_memory_that_suffices_for_no_block_is_told(hills: SimpleNamespace, tmp_path):
    with pytest.raises(NotEnoughMemory):
        hills.primed(tmp_path, model=hills.Steep(most_cells=100))


def test_a_model_that_may_fall_as_rain_rises_is_refused(hills: SimpleNamespace, tmp_path):
    with pytest.raises(ModelError, match="--full"):
        hills.primed(tmp_path, model=hills.Steep(rises=False))
    with pytest.raises(ModelError, match=f"{NEVER / 10:g} mm"):
        hills.primed(tmp_path, model=hills.Steep(rain_max_mm=7000.0))


def test_a_model_that_sees_far_is_asked_in_larger_blocks(hills: SimpleNamespace, expected, tmp_path):
    model = hills.Steep(halo=72)
    hills.primed(tmp_path, model=model)
    assert model.asked == [(hills.grid.height + 144) * (hills.grid.width + 144)]
    assert content(tmp_path) == expected


def test_two_at_once_prime_once(hills: SimpleNamespace, expected, tmp_path):
    models = [hills.Steep(), hills.Steep()]
    both = [threading.Thread(target=hills.primed, args=(tmp_path,), kwargs={"model": model}) for model in models]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(len(model.asked) for model in models) == [0, 4]
    assert content(tmp_path) == expected


def test_the_layers_before_stay_and_older_ones_go(hills: SimpleNamespace, tmp_path):
    small = Grid(hills.grid.crs, hills.grid.transform, 70, 90)

    def prime(model_id: str, stack: str = "hills", **options: object) -> None:
        hills.primed(tmp_path, hills.Hills(small, stack), hills.Steep(model_id), **options)
        time.sleep(0.01)  # which is newer is told by the clock of the disk

    def there() -> set[str]:
        return {path.parent.name for path in tmp_path.glob("*/layers.json")}

    def name(model_id: str, stack: str = "hills") -> str:
        return open_layers(tmp_path, model_id, stack).folder.name

    prime("first")
    prime("second")
    assert there() == {name("first"), name("second")}
    prime("third")
    assert there() == {name("second"), name("third")}
    prime("fourth", keep=frozenset({"second"}))  # the champion, while others are tried
    assert there() == {name("second"), name("third"), name("fourth")}
    (tmp_path / ".draft-0123456789abcdef").mkdir()
    prime("fourth", stack="rebuilt")
    assert there() == {name("fourth"), name("fourth", "rebuilt")}
    assert not list(tmp_path.glob(".draft-*"))
