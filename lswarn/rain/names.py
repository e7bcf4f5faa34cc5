"""Names of the providers' files: which a day is made of, and where in one of hundreds of fields rain stands. Pure.

What moves (the letter of a version, the suffix of a file) is never built into a name but discovered among those that
are there.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial

from lswarn.errors import CorruptGranule, NotYetPublished

SIDECARS = re.compile(r".*\.(xml|md5|sha\d*|dmrpp|idx|index|json|html?|txt|asc|part|tmp|aux)", re.IGNORECASE)
"""Names of what lies beside the files of rain, which a pattern with `*` must not take for one."""


@dataclass(frozen=True)
class File:
    """One file that a day needs.

    Attributes:
        pattern: matches the whole of its name; group `version`, if there is one, is its version.
        name: the name, where nothing about it must be discovered.
        index: suffix of the index file beside it, where only a record of it is wanted; else empty.
        record: finds the record in the text of the index: first byte and last byte (None: to the end). Raises
            CorruptGranule where the index names no such record.
    """

    pattern: re.Pattern[str]
    name: str | None = None
    index: str = ""
    record: Callable[[str], tuple[int, int | None]] | None = None

    @property
    def shown(self) -> str:
        """Its name for people, with … for what must be discovered."""
        return self.name or re.sub(r"\(.*\)\+?", "…", self.pattern.pattern).replace("\\", "")

    def index_of(self, name: str) -> str:
        """Name of the index file beside a file: ECMWF's takes the place of `.grib2`, NOAA's is appended."""
        return name.removesuffix(".grib2") + self.index


Files = Callable[[date, date | None], tuple[File, ...]]
"""Those of a day; the second argument is the day of issue of a forecast."""

_VERSION = r"(?P<version>V\d{2}[A-Z]?)"
_HDF5 = r"(\.(nc4?|hdf5?|h5|HDF5|H5|RT-H5|RT-NC|SUB))+"
"""V07 is HDF5 at PPS and netCDF at GES DISC, V08 netCDF; who cuts a file out adds a suffix."""


def imerg_daily(run: str) -> Files:
    """A granule of GES DISC; `run` is `-E`, `-L` or, of the Final Run, empty."""

    def files(day: date, issue: date | None) -> tuple[File, ...]:
        return (File(re.compile(rf"3B-DAY{run}\.MS\.MRG\.3IMERG\.{day:%Y%m%d}-S000000-E235959\.{_VERSION}{_HDF5}")),)

    return files


def imerg_half_hours(run: str) -> Files:
    """48 granules, each of its own start."""

    def files(day: date, issue: date | None) -> tuple[File, ...]:
        found = []
        for minute in range(0, 24 * 60, 30):
            start, end = f"{minute // 60:02d}{minute % 60:02d}00", f"{minute // 60:02d}{minute % 60 + 29:02d}59"
            slot = rf"{day:%Y%m%d}-S{start}-E{end}\.{minute:04d}"
            found.append(File(re.compile(rf"3B-HHR{run}\.MS\.MRG\.3IMERG\.{slot}\.{_VERSION}{_HDF5}")))
        return tuple(found)

    return files


def imerg_gis(run: str) -> Files:
    """The total of all phases, whose 24 hours are the UTC day: of eight slots a day the last."""

    def files(day: date, issue: date | None) -> tuple[File, ...]:
        slot = rf"{day:%Y%m%d}-S233000-E235959\.1410"
        return (File(re.compile(rf"3B-HHR{run}\.MS\.MRG\.3IMERG\.{slot}\.{_VERSION}\.1day\.tif")),)

    return files


def one(pattern: str, *, known: bool = False) -> Files:
    """One file a day, whose name holds the date in strftime's terms.

    Args:
        known: nothing in the name must be discovered.
    """

    def files(day: date, issue: date | None) -> tuple[File, ...]:
        written = re.sub(r"%\w", lambda token: day.strftime(token[0]), pattern)
        return (File(re.compile(written), written.replace("\\", "") if known else None),)

    return files


def gfs(day: date, issue: date | None) -> tuple[File, ...]:
    """The steps that end the day's four buckets of six hours, from the 00 UTC run of the day of issue."""
    first = 24 * _lead_days(day, issue)
    return tuple(
        File(re.compile(re.escape(name)), name, ".idx", partial(_gfs_record, step=step))
        for step in range(first + 6, first + 25, 6)
        for name in (f"gfs.t00z.pgrb2.0p25.f{step:03d}",)
    )


def _gfs_record(index: str, step: int) -> tuple[int, int | None]:
    """Bytes of the bucket of six hours that ends with a step; the total since the run's start has another name."""
    lines = [line.split(":") for line in index.splitlines() if re.match(r"\d+(\.\d+)?:\d+:", line)]
    for line in lines:
        if line[3:6] == ["APCP", "surface", f"{step - 6}-{step} hour acc fcst"]:
            begin = int(line[1])
            later = [int(each[1]) for each in lines if int(each[1]) > begin]
            return begin, min(later) - 1 if later else None
    raise CorruptGranule(f"its index names no APCP:surface:{step - 6}-{step} hour acc fcst in {len(lines)} records")


def ecmwf(day: date, issue: date | None) -> tuple[File, ...]:
    """The steps at which the day ends and begins, of the 00 UTC run; nothing has fallen by step 0."""
    first = 24 * _lead_days(day, issue)
    return tuple(
        File(re.compile(re.escape(name)), name, ".index", _ecmwf_record)
        for step in (first, first + 24)
        if step > 0
        for name in (f"{issue or day:%Y%m%d}000000-{step}h-oper-fc.grib2",)
    )


def _ecmwf_record(index: str) -> tuple[int, int | None]:
    """Bytes of total precipitation at the surface."""
    for line in index.splitlines():
        try:
            record = json.loads(line)
            unperturbed = str(record.get("number", 0)) == "0"
            if record["param"] == "tp" and record.get("levtype", "sfc") == "sfc" and unperturbed:
                begin, length = int(record["_offset"]), int(record["_length"])
                if begin >= 0 and length > 0:
                    return begin, begin + length - 1
        except (ValueError, KeyError, TypeError, AttributeError):  # a line of something else
            continue
    raise CorruptGranule(f"its index names no tp in {len(index.splitlines())} lines")


def _lead_days(day: date, issue: date | None) -> int:
    lead = (day - (issue or day)).days
    if lead < 0:
        raise NotYetPublished(f"a forecast issued on {issue} says nothing of {day}, which was over by then")
    return lead
