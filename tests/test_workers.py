import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from lswarn.errors import ClusterDown, GridMismatch
from lswarn.grid import Block
from lswarn.workers import Dask, Threads, _do, workers_of

BLOCKS = list(Block(0, 0, 40, 60).split(10))


@dataclass(frozen=True)
class Sums:
    """Of a block of a file, which is opened where the work runs."""

    path: Path
    slow_s: float = 0.0

    def __call__(self, block):
        time.sleep(self.slow_s)
        cells = np.load(self.path, mmap_mode="r")[block.slices()]
        return cells.sum(axis=0, dtype=np.float32)


@dataclass(frozen=True)
class Fails:
    at: Block

    def __call__(self, block):
        if block == self.at:
            raise GridMismatch(f"{block} does not fit")
        return block.row


@dataclass(frozen=True)
class Dies:
    def __call__(self, block):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def field(tmp_path):
    path = tmp_path / "field.npy"
    np.save(path, np.random.default_rng(0).normal(size=(40, 60)).astype(np.float32))
    return path


def bytes_of(workers, work):
    return [(block, result.tobytes()) for block, result in workers.over(work, iter(BLOCKS))]


def pids(cluster):
    with Client(cluster, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def test_two_workers_give_the_bytes_of_one_process(cluster, field):
    assert len(set(pids(cluster))) == 2
    assert bytes_of(Dask(cluster.scheduler_address), Sums(field)) == bytes_of(Threads(1), Sums(field))
    assert bytes_of(Threads(3), Sums(field)) == bytes_of(Threads(1), Sums(field))


def test_the_blocks_of_a_worker_that_is_killed_are_done_again(cluster, field):
    victim, _ = pids(cluster)
    found = []
    for block, result in Dask(cluster.scheduler_address).over(Sums(field, slow_s=0.1), iter(BLOCKS)):
        if len(found) == 2:
            os.kill(victim, signal.SIGKILL)
        found.append((block, result.tobytes()))
    assert found == bytes_of(Threads(1), Sums(field))


def test_few_blocks_are_under_way(cluster, field):
    drawn = []
    for number, _ in enumerate(
        Dask(cluster.scheduler_address).over(Sums(field), (drawn.append(b) or b for b in BLOCKS))
    ):
        assert len(drawn) - number <= 2 * 2 + 1


def test_what_the_work_raises_is_raised_here(cluster):
    with pytest.raises(GridMismatch, match="does not fit"):
        list(Dask(cluster.scheduler_address).over(Fails(BLOCKS[7]), BLOCKS))


def test_a_block_that_no_worker_survives_is_named(cluster):
    with pytest.raises(ClusterDown, match=r"Block\(row=0, col=0.*lower LSWARN_BLOCK_CELLS"):
        list(Dask(cluster.scheduler_address).over(Dies(), BLOCKS[:1]))


def test_a_worker_of_another_version_is_refused():
    with pytest.raises(ClusterDown, match="install the same on all machines"):
        _do(b"", BLOCKS[0], "0.0.0")


def test_no_scheduler_and_no_worker(monkeypatch):
    monkeypatch.setattr("lswarn.workers.PATIENCE_S", 0.5)
    with pytest.raises(ClusterDown, match="no Dask scheduler lets us in"):
        list(workers_of("tcp://127.0.0.1:9").over(Fails(BLOCKS[0]), BLOCKS))
    with pytest.raises(ClusterDown, match="TLS"):
        list(workers_of("tls://127.0.0.1:9").over(Fails(BLOCKS[0]), BLOCKS))
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(ClusterDown, match="has no worker; start one"),
    ):
        list(workers_of(empty.scheduler_address).over(Fails(BLOCKS[0]), BLOCKS))
    assert isinstance(workers_of(None), Threads)
