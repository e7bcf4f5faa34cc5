"""Who does the blocks: threads of this machine, or Dask workers on others. Same blocks, same function, same result."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from lswarn.grid import Block

Result = TypeVar("Result")


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
