"""A raster of working values in a nameless file: larger than memory, gone when it is closed (door: disk).

Read and written, not mapped: pages of a mapped file count as memory of the process, and grow with the region.
"""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lswarn.grid import Block

_BYTES = 4


class Scratch:
    """Cells of float32, 0 until they are written. Many threads may read and write it at once.

    Args:
        folder: on a disk with room for 4 bytes a cell.
        shape: height and width, cells.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `__exit__`)
        self._file.truncate(shape[0] * shape[1] * _BYTES)

    def read(self, block: Block) -> NDArray[np.float32]:
        """The cells of a block that lies inside."""
        values = np.empty(block.shape, np.float32)
        for row, at in self._pieces(block, values):
            left = row.view(np.uint8).data
            while left:
                done = os.preadv(self._file.fileno(), [left], at)
                left, at = left[done:], at + done
        return values

    def write(self, block: Block, values: NDArray[np.float32]) -> None:
        """Put the cells of a block that lies inside."""
        for row, at in self._pieces(block, np.ascontiguousarray(values, np.float32)):
            left = row.view(np.uint8).data
            while left:
                done = os.pwrite(self._file.fileno(), left, at)
                left, at = left[done:], at + done

    def _pieces(self, block: Block, values: NDArray[np.float32]) -> list[tuple[NDArray[np.float32], int]]:
        """What lies in one piece in the file, and at which byte."""
        width = self.shape[1]
        if block.width == width:
            return [(values.reshape(-1), block.row * width * _BYTES)]
        return [(row, ((block.row + down) * width + block.col) * _BYTES) for down, row in enumerate(values)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
