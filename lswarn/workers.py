"""Who does the blocks: threads of this machine, or Dask workers on others. Same blocks, same function, same result.

The work is one frozen object with `__call__(block)`, shared by all threads of a process. For Dask it must pickle, and
be small: paths and figures. It opens its files where it runs, by the names they have here, so that all machines must
see the region's folder under one path.
"""

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lswarn import __version__
from lswarn.errors import ClusterDown
from lswarn.grid import Block

if TYPE_CHECKING:  # takes half a second, and most runs need none of it
    from distributed import Client

Result = TypeVar("Result")

PATIENCE_S = 60.0
"""How long a scheduler may take to answer, and a cluster to get a worker: also after it lost its last one."""
LOOK_S = 5.0
"""How often a block that takes its time is asked whether anybody is left to do it."""


class Workers(Protocol):
    """Who does the blocks."""

    def over(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[tuple[Block, Result]]:
        """Do each block, and give the results in the order of the blocks, however they were finished.

        A few blocks are under way at a time, so that memory follows the block. What one of them raises is raised here.
        """
        ...


class Threads:
    """Threads of this process.

    Args:
        count: how many; left out, one a core.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or os.cpu_count() or 1

    def over(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[tuple[Block, Result]]:
        """See `Workers.over`."""
        waiting: deque[tuple[Block, Future[Result]]] = deque()
        with ThreadPoolExecutor(self.count) as pool:
            try:
                for block in blocks:
                    waiting.append((block, pool.submit(work, block)))
                    if len(waiting) > 2 * self.count:
                        done, result = waiting.popleft()
                        yield done, result.result()
                while waiting:
                    done, result = waiting.popleft()
                    yield done, result.result()
            finally:
                for _, result in waiting:
                    result.cancel()


class Dask:
    """The workers of a Dask cluster, each with as many threads as it was started with.

    A worker that is lost, killed or cut off, has its blocks done again by the others, and new workers join at any time.
    What comes out is the same as from `Threads`: the same function does the same blocks, and results are taken in their
    order.

    Args:
        address: of the scheduler, `tcp://host:8786`, or `tls://…` with the certificates that Dask's own settings name.

    Raises:
        ClusterDown: no scheduler answers there.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def over(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[tuple[Block, Result]]:
        """See `Workers.over`.

        Raises:
            ClusterDown: no scheduler or no worker, from the start or later on; a block that no worker survives; a
                worker with another version of lswarn, whose result would not be ours.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        packed = pickle.dumps(work)
        waiting: deque[tuple[Block, Any]] = deque()
        client = self._client()
        try:
            self._wait(client)
            for block in blocks:
                # Not pure: the same block of the same work may be another day's, read from files that have changed.
                waiting.append((block, client.submit(_do, packed, block, __version__, pure=False)))
                while len(waiting) > 2 * max(1, sum(client.nthreads().values())):
                    done, future = waiting.popleft()
                    yield done, self._result(client, future)
            while waiting:
                done, future = waiting.popleft()
                yield done, self._result(client, future)
        except KilledWorker as error:
            raise ClusterDown(
                f"{self.address}: {done}: the workers that tried it died, the last was {error.last_worker.address}; "
                "most often their memory was too small: lower LSWARN_BLOCK_CELLS, or give a worker fewer threads"
            ) from error
        except (CommClosedError, CancelledError) as error:
            raise ClusterDown(f"{self.address}: the scheduler is gone; start it and run again") from error
        finally:
            for _, future in waiting:
                future.cancel()
            client.close(timeout=LOOK_S)

    def _client(self) -> "Client":
        from distributed import Client

        try:
            return Client(self.address, timeout=PATIENCE_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # TypeError: TLS without certificates
            raise ClusterDown(
                f"{self.address}: no Dask scheduler lets us in ({error}); start one (docs/scale.md), or leave out "
                "--dask and LSWARN_DASK to work on this machine"
            ) from error

    def _wait(self, client: "Client") -> None:
        """Until there is a worker."""
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            raise ClusterDown(
                f"{self.address}: the scheduler has no worker; start one: dask worker {self.address}"
            ) from error

    def _result(self, client: "Client", future: Any) -> Any:
        """Of a block, however long it takes, as long as there is a worker."""
        while True:
            try:
                return future.result(timeout=LOOK_S)
            except TimeoutError:
                if future.done():  # the work itself ran out of time
                    raise
                if not client.nthreads():
                    self._wait(client)


def workers_of(address: str | None) -> Workers:
    """Dask workers where a scheduler is named, else threads of this process."""
    return Dask(address) if address else Threads()


@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> Callable[[Block], Any]:
    """The work, once a process: its files stay open between blocks."""
    work: Callable[[Block], Any] = pickle.loads(packed)  # noqa: S301  a worker runs what its scheduler sends in any case
    return work


def _do(packed: bytes, block: Block, version: str) -> Any:
    """A block, in a worker."""
    if version != __version__:
        raise ClusterDown(f"a worker has lswarn {__version__}, not {version}: install the same on all machines")
    return _unpacked(packed)(block)
