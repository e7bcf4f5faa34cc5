"""Years of daily fields in little memory: written to a temporary file day by day, read back by bands of rows.

The file has no name, so that nothing is left of a run that was killed.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import AccessDenied, IncompleteWindow, StorageFull
from lswarn.rain.regrid import regrid
from lswarn.rain.window import RainDay

BAND_BYTES = 1 << 26


@dataclass(frozen=True)
class Spool:
    """The days of a period on one grid.

    Attributes:
        like: the first day, on whose grid all are.
        there: which days of the period were given, bool.
    """

    like: xr.DataArray
    there: NDArray[np.bool_]
    _file: IO[bytes]

    def bands(self, rows: int | None = None) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Some rows of the grid at a time, from the south: which, and mm [days, rows, cols], NaN where unknown.

        Args:
            rows: in each band; left out, as many as `BAND_BYTES` hold.
        """
        shape = len(self.there), *self.like.shape
        rows = rows or max(1, BAND_BYTES // (4 * shape[0] * shape[2]))
        for top in range(0, shape[1], rows):
            # Mapped anew for each band: pages that were looked at count as memory for as long as they are mapped.
            band = np.array(np.memmap(self._file, np.float32, "r", shape=shape)[:, top : top + rows])
            band[~self.there] = np.nan
            yield slice(top, top + band.shape[1]), band


@contextmanager
def spooled(
    days: Iterable[RainDay],
    first: date,
    last: date,
    folder: Path,
    *,
    like: xr.DataArray | None = None,
    on_day: Callable[[int], None] = lambda done: None,
) -> Iterator[Spool]:
    """Days of rain, of `first` to `last`, that can be read by bands of rows until the context ends.

    Args:
        days: in any order; what lies on another grid is brought onto it, keeping the amount of water.
        folder: on the disk that bears the temporary file, 4 bytes a cell and day; made if need be.
        like: any field on the wanted grid; left out, the first day.
        on_day: told how many days of the period are behind it.

    Raises:
        IncompleteWindow: there is no day at all.
        StorageFull: the disk has no room for it.
        AccessDenied: the folder may not be written to.
    """
    there = np.zeros(max((last - first).days + 1, 0), bool)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            for rain in days:
                like = rain.precipitation.transpose("lat", "lon") if like is None else like
                field = regrid(rain.precipitation, like).values.astype(np.float32)
                at = (rain.day - first).days
                file.seek(at * field.nbytes)
                file.write(np.ascontiguousarray(field).data)
                there[at] = True
                on_day(at + 1)
            if like is None:
                raise IncompleteWindow(
                    f"none of the days {first} to {last} is archived; fetch them first (lswarn rain fetch)"
                )
            file.truncate(there.size * like.size * 4)
            yield Spool(like.transpose("lat", "lon"), there, file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{folder}: {error.strerror}; make room: years of rain pass through here") from error
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
            raise AccessDenied(f"{folder}: {error.strerror}; name a folder that this user may write to") from error
        raise
