"""The rainfall products: which files make up a day, when they are due, whom their servers ask for, how they are read.

Pure. What moves (the letter of a version, the suffix of a file) is never built into a name but discovered among those
that are there.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import Literal

import xarray as xr

from lswarn.errors import NotYetPublished, RegionError
from lswarn.rain import names
from lswarn.rain.formats.binary import decode_cpc, decode_gsmap
from lswarn.rain.formats.geotiff import decode_chirps, decode_pps
from lswarn.rain.formats.grib import decode_ecmwf, decode_gfs
from lswarn.rain.formats.imerg import decode_day, decode_half_hours
from lswarn.rain.formats.layout import decode_layout, file_date
from lswarn.rain.formats.netcdf import decode_era5_land
from lswarn.rain.formats.part import Bounds as Bounds
from lswarn.rain.formats.part import Part as Part
from lswarn.rain.grade import Grade
from lswarn.rain.names import SIDECARS
from lswarn.rain.names import File as File
from lswarn.sections import RainSource

Decode = Callable[[Sequence[Part], date, Bounds | None], xr.DataArray]
"""Rain of one UTC day over a box (west, south, east, north; None: all there is) and a margin around it, of the parts of
one day: `precipitation`, mm/day, float32, (lat, lon) ascending cell centres in degrees, NaN = unknown.

Raises CorruptGranule (of another day, schema, unit, grid, orientation or size; damaged; implausible; all of the box
missing) and GridMismatch (the box reaches beyond the file's grid).
"""


@dataclass(frozen=True)
class Product:
    """One rainfall product.

    Attributes:
        name: as region.toml says it.
        title: for people.
        grade: of a window made of it alone.
        family: products of one family measure alike, and may stand in for each other without a quantile map.
        latency_h: hours after the end of its day by which it is out in 95 of 100 days; of a forecast, after its issue.
        at: its own address; None where there is none that can be had without asking.
        account: what its server asks for.
        short_name: of its collection, where granules are found by CMR.
        version: where names hold none.
        files: those that make up a day; the second argument is the day of issue of a forecast.
        decode: reads them.
        ends_h: hours from 00 UTC of the day to the end of what its file holds.
        template: `at` names the file, not its folder.
        forecast: made before the day is over.
        resets: its server answers a question for an unpublished file by resetting the connection.
    """

    name: str
    title: str
    grade: Grade
    family: str
    latency_h: float
    files: Callable[[date, date | None], tuple[File, ...]]
    decode: Decode
    at: str | None = None
    account: Literal["", "earthdata", "pps"] = ""
    short_name: str = ""
    version: str = ""
    ends_h: float = 24.0
    template: bool = False
    forecast: bool = False
    resets: bool = False


PRODUCTS: dict[str, Product] = {}  # filled at the end of this module


def find_product(source: RainSource) -> Product:
    """The product that an entry of region.toml means; one with a layout is made up from it.

    Of a product whose `at` names the file, the files are those of the source's own `at`.

    Raises:
        RegionError: there is none of that name and no layout either, there are both, or it needs an `at`.
    """
    if source.layout is not None:
        if source.product in PRODUCTS:
            raise RegionError(
                f"rain.sources: {source.product} is a product that lswarn reads; leave out its layout, or rename yours"
            )
        product = Product(
            name=source.product,
            title=f"{source.product}, as declared in region.toml",
            grade=Grade.C,
            family=source.product,
            latency_h=source.latency_h or 24.0,
            version="unversioned",
            files=lambda day, issue: (),
            decode=partial(decode_layout, layout=source.layout),
            ends_h=source.layout.ends_h,
            template=True,
        )
    elif source.product in PRODUCTS:
        product = PRODUCTS[source.product]
    else:
        raise RegionError(
            f"rain.sources: product {source.product!r} is unknown; use one of {', '.join(PRODUCTS)}, or give a layout"
        )
    if source.at is None and product.at is None:
        raise RegionError(f"rain.sources: {product.name} has no address of its own; give at = … where its files lie")
    return replace(product, files=partial(_named_by, source)) if product.template else product


def grade_of(name: str) -> Grade:
    """Grade of a window made of one product alone; one that lswarn does not know is a stand-in."""
    return PRODUCTS[name].grade if name in PRODUCTS else Grade.C


def family_of(name: str) -> str:
    """Products of one family measure alike; one that lswarn does not know is a family of its own."""
    return PRODUCTS[name].family if name in PRODUCTS else name


def address(source: RainSource, day: date, issue: date | None = None) -> str:
    """`at` with its placeholders filled in: of the issue of a forecast, else of the date the file is named by.

    That date is the day itself; of ERA5-Land the next one, whose 00 UTC holds it; of a declared layout the one whose 24
    hours share most with the day.

    Raises:
        RegionError: another placeholder than {year} {month} {day} {doy}, a scheme other than http(s), or no `at`.
    """
    known = PRODUCTS.get(source.product)
    at = source.at or (known.at if known else None)
    if at is None:
        raise RegionError(f"rain.sources: {source.product} has no address of its own; give at = … where its files lie")
    named = _named_date(source, day, issue)
    try:
        filled = at.format(year=f"{named:%Y}", month=f"{named:%m}", day=f"{named:%d}", doy=f"{named:%j}")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise RegionError(
            f"rain.sources: at = {at!r} cannot be filled in ({error}); use {{year}} {{month}} {{day}} {{doy}}"
        ) from error
    if "://" in filled and not filled.startswith(("http://", "https://")):
        raise RegionError(f"rain.sources: at = {at!r} is neither a folder nor an http(s) address")
    return filled


def due_at(source: RainSource, day: date, issue: date | None = None) -> datetime:
    """Instant by which a day should be out: the end of the file's 24 hours (a forecast: its issue) and the latency."""
    known = PRODUCTS.get(source.product)
    latency_h = source.latency_h or (known.latency_h if known else 24.0)
    if known is not None and known.forecast:
        start, ends_h = issue or day, 0.0
    elif source.layout is not None:
        start, ends_h = file_date(day, source.layout.ends_h), source.layout.ends_h
    else:
        start, ends_h = day, known.ends_h if known else 24.0
    return datetime.combine(start, time(), UTC) + timedelta(hours=ends_h + latency_h)


def newest_due(sources: Sequence[RainSource], now: datetime) -> date:
    """The newest day of which one of some products is due by now."""
    yesterday = (now.astimezone(UTC) - timedelta(days=1)).date()
    wait = min(due_at(source, yesterday) for source in sources) - now
    return yesterday - timedelta(days=max(0, math.ceil(wait / timedelta(days=1))))


def choose(files: Sequence[File], there: Iterable[str]) -> list[tuple[str, str]]:
    """For each file the newest version among the names that are there: its name and version (empty if it has none).

    Raises:
        NotYetPublished: one of them is not there; says how many are, and what there is instead.
    """
    listed, chosen, missing = sorted(set(there)), [], []
    for file in files:
        found = [
            (name, hit.groupdict().get("version") or "") for name in listed if (hit := file.pattern.fullmatch(name))
        ]
        if found:
            chosen.append(max(found, key=lambda each: (version_rank(each[1]), version_rank(each[0]), each[0])))
        else:
            missing.append(file)
    if missing:
        wanted = missing[0].shown
        dates = re.findall(r"\d{4}\.?\d{2}\.?\d{2}", wanted)
        alike = [name for name in listed if any(each in name for each in dates)] if len(files) == 1 else []
        instead = f"; of that date there is {', '.join(alike[:5])}" if alike else ""
        rest = f" ({len(chosen)} of {len(files)} files are)" if len(files) > 1 else ""
        raise NotYetPublished(f"{wanted} is not there{rest}{instead}")
    return chosen


def version_rank(version: str) -> tuple[tuple[int, str], ...]:
    """Sort key of versions, number by number: V06 < V07 < V07A < V07C < V10A, and by issue for forecasts."""
    return tuple((int(number), letters) for number, letters in re.findall(r"(\d{1,18})([A-Za-z]*)", version))


# ── whose file it is ─────────────────────────────────────────────────────────────────────────────────────────────────


def _named_date(source: RainSource, day: date, issue: date | None) -> date:
    """The date that stands in the address."""
    known = PRODUCTS.get(source.product)
    if source.layout is not None:
        return file_date(day, source.layout.ends_h)
    if known is not None and known.forecast:
        return issue or day
    return day + timedelta(days=1) if known is not None and known.name == "ERA5-Land" else day


def _named_by(source: RainSource, day: date, issue: date | None) -> tuple[File, ...]:
    """The file whose name, perhaps with `*`, is the last part of `at`."""
    name = PurePosixPath(address(source, day, issue)).name
    if "*" not in name:
        return (File(re.compile(re.escape(name)), name),)
    fixed = ".*".join(re.escape(piece) for piece in name.split("*"))
    beside = "" if SIDECARS.fullmatch(name) else f"(?!{SIDECARS.pattern}$)"
    return (File(re.compile(f"(?i:{beside}){fixed}")),)


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────

_CMR = "https://cmr.earthdata.nasa.gov/search/granules.json"
_PPS = "https://jsimpsonhttps.pps.eosdis.nasa.gov/imerg/gis"
_CHC = "https://data.chc.ucsb.edu/products"
_FINAL_H = 2520.0
"""Three and a half months."""


def _imerg(run: str, letter: str, short: str, grade: Grade, at_pps_h: float, at_ges_disc_h: float) -> list[Product]:
    """The forms in which one run of IMERG is to be had; latencies in hours."""
    daily = Product(
        f"IMERG-{run}", f"IMERG {run} Run, daily, GES DISC", grade, "IMERG", at_ges_disc_h,
        names.imerg_daily(letter), decode_day, _CMR, "earthdata", f"GPM_3IMERGD{short or 'F'}",
    )  # fmt: skip
    half_hourly = Product(
        f"IMERG-{run}-30min", f"IMERG {run} Run, 48 half hours, GES DISC", grade, "IMERG", at_ges_disc_h,
        names.imerg_half_hours(letter), decode_half_hours, _CMR, "earthdata", f"GPM_3IMERGHH{short}",
    )  # fmt: skip
    folder = {"E": "/early", "L": ""}.get(short)
    if folder is None:
        return [daily, half_hourly]
    gis = Product(
        f"IMERG-{run}-GIS", f"IMERG {run} Run, 1-day GeoTIFF, PPS", grade, "IMERG", at_pps_h,
        names.imerg_gis(letter), decode_pps, f"{_PPS}{folder}/{{year}}/{{month}}/", "pps", resets=True,
    )  # fmt: skip
    return [daily, gis, half_hourly]


def _chirps(kind: str, title: str, folder: str, family: str, latency_h: float, written: str) -> Product:
    return Product(
        f"CHIRPS-{kind}", title, Grade.C, family, latency_h,
        names.one(rf"chirps-(?P<version>v3\.\d+)\.{written}\.%Y\.%m\.%d\.(tiff?|cog)"), decode_chirps,
        at=f"{_CHC}/CHIRPS/v3.0/daily/{folder}/{{year}}/", version="v3.0",
    )  # fmt: skip


def _gsmap(run: str, title: str, latency_h: float) -> Product:
    written = rf"gsmap_{run}\.%Y%m%d\.0\.1d\.daily\.00Z-23Z(\.(?P<version>v\d+(\.\d+)*))?\.dat(\.gz)?"
    name = f"GSMaP-{run.upper() if run == 'nrt' else run}"
    return Product(name, title, Grade.C, "GSMaP", latency_h, names.one(written), decode_gsmap, version="v8")


PRODUCTS |= {
    product.name: product
    for product in (
        *_imerg("Early", "-E", "E", Grade.B, 4.6, 12.6),
        *_imerg("Late", "-L", "L", Grade.A, 14.7, 22.7),
        *_imerg("Final", "", "", Grade.A, _FINAL_H, _FINAL_H),
        _chirps("prelim", "CHIRPS v3 preliminary", "prelim/sat", "CHIRPS-sat", 168.0, r"prelim(\.sat)?"),
        _chirps("sat", "CHIRPS v3, days split by IMERG", "final/sat", "CHIRPS-sat", 2900.0, "sat"),
        _chirps("rnl", "CHIRPS v3, days split by ERA5", "final/rnl", "CHIRPS-rnl", 2900.0, "rnl"),
        _gsmap("nrt", "GSMaP near real time, daily", 4.0),
        _gsmap("gauge", "GSMaP gauge-adjusted, daily", 72.0),
        Product(
            "CPC-Unified", "CPC Unified gauge analysis, 0.5°", Grade.C, "CPC", 30.0,
            names.one(r"PRCP_CU_GAUGE_(?P<version>V\d+\.\d+)GLB_0\.50deg\.lnx\.%Y%m%d\.RT(\.gz)?"), decode_cpc,
            at="https://ftp.cpc.ncep.noaa.gov/precip/CPC_UNI_PRCP/GAUGE_GLB/RT/{year}/", version="V1.0",
        ),
        Product(
            "ERA5-Land", "ERA5-Land reanalysis, files from the Climate Data Store", Grade.E, "ERA5-Land", 120.0,
            lambda day, issue: (), decode_era5_land, version="v1", template=True,
        ),
        Product(
            "CHIRPS-GEFS", "CHIRPS-GEFS v3 forecast", Grade.E, "CHIRPS-GEFS", 9.0,
            names.one(r"c3g_%Y\.%m\.%d\.tif", known=True), decode_chirps,
            at=f"{_CHC}/CHIRPS-GEFS/v3/daily/global/{{year}}/{{month}}/{{day}}/", forecast=True,
        ),
        Product(
            "GFS", "GFS 0.25° forecast, NOAA", Grade.E, "GFS", 5.5, names.gfs, decode_gfs,
            at="https://noaa-gfs-bdp-pds.s3.amazonaws.com/gfs.{year}{month}{day}/00/atmos/", forecast=True,
        ),
        Product(
            "ECMWF", "ECMWF IFS open data 0.25° forecast (CC BY 4.0)", Grade.E, "ECMWF", 8.5, names.ecmwf, decode_ecmwf,
            at="https://ecmwf-forecasts.s3.eu-central-1.amazonaws.com/{year}{month}{day}/00z/ifs/0p25/oper/",
            forecast=True,
        ),
    )
}  # fmt: skip
