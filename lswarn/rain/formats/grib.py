"""Forecast rain as GRIB2: GFS in buckets of six hours, ECMWF as totals since the start of the run.

A file may be the one message that was asked for by its bytes, or the whole file with hundreds: the messages of rain are
found in it. What is rain, in which unit and over which hours is read from the message, never from a file's name.
"""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import SourceUnavailable
from lswarn.rain.formats.field import MOST_CELLS, Axis, Cut, cut, gather, rain_field
from lswarn.rain.formats.part import Bounds, Part, corrupt, require_kind
from lswarn.rain.formats.units import canonical, to_mm

BUCKET = timedelta(hours=6)
DAY = timedelta(days=1)
READER = Path(__file__).with_name("messages.py")
LONGEST_S = 120.0
"""A whole file of 500 MB takes seconds; what takes longer is a damaged message that never ends."""


@dataclass(frozen=True)
class Total:
    """Rain summed over some hours, as one message holds it.

    Attributes:
        part: its file.
        run_at, start_at, end_at: aware instants: when its forecast began, and over which hours it sums.
        centre: who made it, as ecCodes abbreviates it: `kwbc` is NOAA, `ecmf` ECMWF.
        unit: its own spelling.
        lat, lon: its cells.
        values: in its unit, as they lie on `lat` and `lon`, NaN where missing.
    """

    part: Part
    run_at: datetime
    start_at: datetime
    end_at: datetime
    centre: str
    unit: str
    lat: Axis
    lon: Axis
    values: NDArray[np.float32] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.start_at:%Y-%m-%d %H} to {self.end_at:%Y-%m-%d %H} UTC"


Needs = Callable[[datetime], list[tuple[int, datetime, datetime]]]
"""Of a run: the totals that make up the day, each with the sign it is added with."""


def decode_gfs(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from GFS: the sum of its four buckets of six hours, of one run. As `products.Decode`."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    buckets = [(1, midnight + n * BUCKET, midnight + (n + 1) * BUCKET) for n in range(DAY // BUCKET)]
    return _decode(parts, day, bounds, lambda _: buckets)


def decode_ecmwf(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from ECMWF: the run's total at its end less that at its beginning. As `products.Decode`."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)

    def needs(run_at: datetime) -> list[tuple[int, datetime, datetime]]:
        return [(1, run_at, midnight + DAY)] + ([(-1, run_at, midnight)] if run_at < midnight else [])

    return _decode(parts, day, bounds, needs)


def read_totals(parts: Sequence[Part]) -> list[Total]:
    """The messages of summed rain in files, in their order.

    Raises:
        CorruptGranule: a file is not GRIB2, damaged or cut short, or without any such message; says what there is.
        SourceUnavailable: the reader cannot be started.
    """
    for part in parts:
        require_kind(part, "GRIB")
    command = [sys.executable, "-P", str(READER), *(str(part.path.absolute()) for part in parts)]
    try:
        answer = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
    except OSError as error:
        raise SourceUnavailable(f"{parts[0].uri}: the reader of GRIB files cannot be started ({error})") from error
    else:
        output = answer.stdout
        if answer.returncode > 0:  # below zero: ended by a signal, of its own or for its memory
            said = answer.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise SourceUnavailable(f"{parts[0].uri}: the reader of GRIB files failed ({said}); is eccodes installed?")
    lines = io.BytesIO(output)
    return [total for part in parts for total in _totals(lines, part)]


def total_field(total: Total, bounds: Bounds | None) -> xr.DataArray:
    """One message's rain, mm, else as a day's; for people."""
    return rain_field(*_mm(total, bounds), total.part.uri)


def _totals(lines: io.BytesIO, part: Part) -> list[Total]:
    """The reader's answer for one file."""
    totals = []
    while (line := lines.readline()) and line != b"{}\n":
        head = json.loads(line)
        values = lines.read(head["bytes"])
        if "fault" in head:
            raise corrupt(part.uri, head["fault"])
        lat, lon = (Axis(*head[name]) for name in ("lat", "lon"))
        if len(values) < head["bytes"] or max(lat.cells, lon.cells) > MOST_CELLS:
            break
        run_at, start_at, end_at = (datetime.fromisoformat(each) for each in head["hours"])
        grid = np.frombuffer(values, np.float32).reshape(lat.cells, lon.cells)
        totals.append(Total(part, run_at, start_at, end_at, head["centre"], head["unit"], lat, lon, grid))
    else:
        if line:
            return totals
    raise corrupt(part.uri, "damaged: not readable as GRIB2 (ecCodes ended over it)")


def _decode(parts: Sequence[Part], day: date, bounds: Bounds | None, needs: Needs) -> xr.DataArray:
    totals = read_totals(parts)
    for run_at in sorted({total.run_at for total in totals}, reverse=True):
        found = {(each.start_at, each.end_at): each for each in reversed(totals) if each.run_at == run_at}
        if all((start, end) in found for _, start, end in needs(run_at)):
            chosen = [(sign, found[start, end]) for sign, start, end in needs(run_at)]
            break
    else:
        there = ", ".join(sorted({str(total) for total in totals}))
        raise corrupt(parts[0].uri, f"holds rain of {there}, which does not make up {day}")
    read = [(sign, *_mm(total, bounds)) for sign, total in chosen]
    uri, (_, first, _) = chosen[0][1].part.uri, read[0]
    if any(not np.array_equal(each.lat, first.lat) or not np.array_equal(each.lon, first.lon) for _, each, _ in read):
        raise corrupt(uri, "lies on another grid than the other hours of its day")
    return rain_field(first, np.sum([sign * mm.astype(float) for sign, _, mm in read], axis=0), uri)


def _mm(total: Total, bounds: Bounds | None) -> tuple[Cut, NDArray[np.float32]]:
    """The cells of a message that a box needs, and their rain, mm."""
    unit = canonical(total.unit)
    if unit not in ("m", "mm"):
        raise corrupt(total.part.uri, f"its rain is in {total.unit}, not in m or kg m**-2")
    cells = cut(total.lat, total.lon, bounds, total.part.uri)
    return cells, to_mm(gather(cells, lambda rows, cols: total.values[rows, cols]), unit)
