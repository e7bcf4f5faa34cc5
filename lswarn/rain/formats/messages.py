"""The messages of rain in GRIB2 files, read by ecCodes in a process of its own.

ecCodes ends its process over some damaged messages (an assertion fails), which no handler of errors can catch; so
`grib` runs this file as a program: `python -P messages.py FILE…`. It imports nothing of lswarn. For each file it
answers lines of JSON, `{"fault": …}` or one for each total with the number of bytes that follow: its values, float32,
rows from the first latitude, longitudes ascending, NaN where missing. An empty object ends the answer for a file.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import eccodes
import numpy as np
from numpy.typing import NDArray

MISSING = 1e30
MOST_MESSAGE_BYTES = 1 << 28
MOST_VALUES = 50_000_000

_HOURS = {0: 1 / 60, 1: 1.0, 2: 24.0, 10: 3.0, 11: 6.0, 12: 12.0, 13: 1 / 3600}
"""Units of time, code table 4.4."""

_COUNTS = ("numberOfValues", "numberOfCodedValues", "numberOfGroupsOfDataValues")
"""Lengths of which ecCodes asks for the memory before it looks whether the message is that long."""

DAMAGE = (eccodes.CodesInternalError, OSError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError)
"""What ecCodes and what reads its answers are known to raise over damaged bytes."""


class Fault(Exception):
    """A file that is not what it should be, in words."""


def main(paths: list[str]) -> None:
    """Answer for each file, in their order."""
    for path in paths:
        answers: list[tuple[dict[str, Any], bytes]] = []
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                answers += [(head, values.tobytes()) for head, values in totals(file)]
        except Fault as fault:
            answers = [({"fault": str(fault)}, b"")]
        except DAMAGE as error:
            told = str(error) or type(error).__name__
            answers = [({"fault": f"damaged or cut short: not readable as GRIB2 ({told})"}, b"")]
        for head, values in answers:
            sys.stdout.buffer.write(json.dumps(head | {"bytes": len(values)}).encode() + b"\n" + values)
        sys.stdout.buffer.write(b"{}\n")
        sys.stdout.buffer.flush()


def totals(file: BinaryIO) -> Iterator[tuple[dict[str, Any], NDArray[np.float32]]]:
    """What each message says that sums rain over some hours, and its values.

    Raises:
        Fault: there is none, or one is damaged, on another grid, or cut short.
    """
    others, found = set(), False
    for message in _messages(file):
        handle = eccodes.codes_new_from_message(message)
        try:
            name = str(_get(handle, "shortName"))
            hours = _hours(handle) if name == "tp" else None
            if hours is None:
                others.add(name)
                continue
            found = True
            lat, lon, values = _grid(handle)
            said = {"centre": str(_get(handle, "centre")), "unit": str(_get(handle, "units"))}
            yield {"hours": [each.isoformat() for each in hours], "lat": lat, "lon": lon, **said}, values
        finally:
            eccodes.codes_release(handle)
    if not found:
        raise Fault(f"holds no total precipitation (tp), only {', '.join(sorted(others)) or 'none'}")


def _grid(handle: int) -> tuple[tuple[float, float, int], tuple[float, float, int], NDArray[np.float32]]:
    """First centre, step and number of latitudes and of longitudes, and the values, whichever way the message scans."""
    kind, cols, rows = _get(handle, "gridType"), int(_get(handle, "Ni")), int(_get(handle, "Nj"))
    fits = min(cols, rows) >= 2 and cols * rows <= MOST_VALUES
    if kind != "regular_ll" or not fits or int(_get(handle, "numberOfDataPoints")) != cols * rows:
        raise Fault(f"lies on a {kind} grid of {cols} x {rows}, not on regular longitudes and latitudes")
    if int(_get(handle, "alternativeRowScanning")):
        raise Fault("scans every other row backwards")
    counts = [int(_get(handle, key)) for key in _COUNTS if eccodes.codes_is_defined(handle, key)]
    if max(*counts, eccodes.codes_get_size(handle, "values")) > cols * rows or int(_get(handle, "bitsPerValue")) > 64:
        raise Fault(f"announces more values than its {cols} x {rows} cells")
    north, south, west, east = (
        round(float(_get(handle, f"{which}GridPointInDegrees")), 4)
        for which in ("latitudeOfFirst", "latitudeOfLast", "longitudeOfFirst", "longitudeOfLast")
    )
    westward = bool(int(_get(handle, "iScansNegatively")))
    if westward:
        west, east = east, west
    eccodes.codes_set(handle, "missingValue", MISSING)
    values = np.asarray(eccodes.codes_get_values(handle), float)
    values = values.reshape(cols, rows).T if int(_get(handle, "jPointsAreConsecutive")) else values.reshape(rows, cols)
    values = np.where(values == MISSING, np.nan, values).astype(np.float32)
    lat_step, lon_step = (south - north) / (rows - 1), ((east - west) % 360 or 360.0) / (cols - 1)
    if abs(lat_step) < 1e-4 or (lat_step > 0) != bool(int(_get(handle, "jScansPositively"))):
        raise Fault(f"its latitudes go from {north:g} to {south:g}, against the way it says that it scans")
    return (north, lat_step, rows), (west, lon_step, cols), values[:, ::-1] if westward else values


def _hours(handle: int) -> tuple[datetime, datetime, datetime] | None:
    """When its run began, and the hours a message sums over; None where it is no sum over one range of hours."""
    try:
        if int(_get(handle, "typeOfStatisticalProcessing")) != 1 or int(_get(handle, "numberOfTimeRange")) != 1:
            return None
        run = f"{int(_get(handle, 'dataDate')):08d}{int(_get(handle, 'dataTime')):04d}"
        units = [_HOURS[int(_get(handle, f"indicatorOfUnit{of}TimeRange"))] for of in ("Of", "For")]
        lengths = [int(_get(handle, key)) for key in ("forecastTime", "lengthOfTimeRange")]
        of_end = [int(_get(handle, f"{part}OfEndOfOverallTimeInterval")) for part in ("year", "month", "day", "hour")]
    except (eccodes.KeyValueNotFoundError, KeyError):
        return None
    run_at = datetime.strptime(run, "%Y%m%d%H%M").replace(tzinfo=UTC)
    start_at = run_at + timedelta(hours=lengths[0] * units[0])
    end_at = start_at + timedelta(hours=lengths[1] * units[1])
    year, month, day, hour = of_end
    if end_at != datetime(year, month, day, hour, tzinfo=UTC):
        raise Fault(f"a sum to {end_at:%Y-%m-%d %H} UTC says that it ends {year}-{month}-{day} {hour}")
    return run_at, start_at, end_at


def _get(handle: int, key: str) -> Any:
    return eccodes.codes_get(handle, key)


def _messages(file: BinaryIO) -> Iterator[bytes]:
    """Every message; none whose frame is damaged."""
    size, offset = os.fstat(file.fileno()).st_size, 0
    while offset < size:
        file.seek(offset)
        start = file.read(16)
        edition, length = start[7:8], int.from_bytes(start[8:16], "big")
        if start[:4] != b"GRIB" or edition != b"\x02":
            raise Fault(f"at byte {offset:,} there is no message of GRIB edition 2 but {start[:8]!r}")
        if not 16 < length <= min(size - offset, MOST_MESSAGE_BYTES):
            raise Fault(f"cut short: the message at byte {offset:,} has {length:,} bytes, and the file {size:,}")
        message = start + file.read(length - 16)
        if not _well_framed(message):
            raise Fault(f"damaged: the sections of the message at byte {offset:,} do not add up")
        yield message
        offset += length


def _well_framed(message: bytes) -> bool:
    """Whether the sections of a message, each with its length, lead to the end mark, in an order that makes sense."""
    at, last = 16, 0
    while at < len(message) - 4:
        length, number = int.from_bytes(message[at : at + 4], "big"), message[at + 4]
        follows = number == last + 1 or (last, number) in {(1, 3), (7, 2), (7, 3), (7, 4)}
        if length < 5 or not follows:
            return False
        at, last = at + length, number
    return at == len(message) - 4 and last == 7 and message.endswith(b"7777")


if __name__ == "__main__":
    main(sys.argv[1:])
