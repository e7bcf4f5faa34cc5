"""Made rain as bytes laid out as each provider lays out its own: for the replicas and the tests. Pure.

Every encoder takes rain as mm on (lat, lon), cell centres in degrees on any part of the provider's own grid, NaN being
unknown. What lies outside becomes the provider's missing value, or 0 where its format knows none. Files have the
provider's true size but cost little: what is not given is not allocated, or compresses to nothing. The switches break
one thing at a time. Here are netCDF, HDF5 and flat files; `geotiffs` and `gribs` hold those that their names tell.
"""

import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import h5py
import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from lswarn.demo.axes import IMERG_LATS, IMERG_LONS, NORTH_FIRST, Axis, block
from lswarn.demo.geotiffs import chirps, imerg_gis, is_land
from lswarn.demo.gribs import ecmwf, gfs

__all__ = [
    "chirps",
    "cpc",
    "ecmwf",
    "era5_land",
    "gfs",
    "gsmap",
    "imerg_daily",
    "imerg_gis",
    "imerg_half_hour",
    "is_land",
]

IMERG_FILL = -9999.9
GSMAP_MISSING = -999.9
CPC_MISSING = -999.0

MADE = "MADE for lswarn, in the provider's layout; not an observation"


GSMAP_LATS, GSMAP_LONS = Axis(59.95, -0.1, 1200), Axis(0.05, 0.1, 3600)
CPC_LATS, CPC_LONS = Axis(-89.75, 0.5, 360), Axis(0.25, 0.5, 720)
ERA5_LAND_LATS, ERA5_LAND_LONS = Axis(90.0, -0.1, 1801), Axis(0.0, 0.1, 3600)


def _whole(rain: xr.DataArray, lats: Axis, lons: Axis, missing: float, outside: float, dtype: DTypeLike) -> NDArray:
    """A whole grid: `rain`, its unknown cells as `missing`, and all around it `outside`."""
    box, values = block(rain, lats, lons)
    whole = np.empty((lats.size, lons.size), dtype)
    whole[:] = outside
    whole[box] = np.where(np.isnan(values), missing, values)
    return whole


# ── IMERG ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def imerg_daily(
    day: date,
    rain: xr.DataArray,
    *,
    version_of: str = "V07",
    variable: str | None = None,
    unit: str | None = "",
    dims: Sequence[str] = ("time", "lon", "lat"),
    north_first: bool = False,
    upside_down: bool = False,
    swapped: bool = False,
    holds: date | None = None,
    times: int = 1,
    fill: float | None = IMERG_FILL,
    junk: bool = False,
) -> bytes:
    """A daily granule of GES DISC: netCDF-4 without groups, longitude before latitude, mm of the day.

    Args:
        version_of: `V06` calls its variable and unit otherwise.
        variable, unit: other than the version's own; a unit of None is left out.
        dims: their order in the variable; data and names agree.
        north_first: latitudes descend, and the data with them.
        upside_down: the data run against the latitudes.
        swapped: what is called lon holds latitudes, and what is called lat longitudes.
        holds: day inside, if another than `day`.
        times: time stamps, the first of them the day's.
        fill: None leaves the attribute out; the value is there all the same.
        junk: variables and groups that have nothing to do with rain.
    """
    old = version_of.startswith("V06")
    name = variable or ("precipitationCal" if old else "precipitation")
    inside = holds or day
    lats = NORTH_FIRST if north_first else IMERG_LATS
    box, values = block(rain, lats, IMERG_LONS)
    if upside_down:
        box = slice(lats.size - box[0].stop, lats.size - box[0].start), box[1]
        values = values[::-1]
    # Opened in memory it is the netCDF library's own file all the same.
    file = netCDF4.Dataset("made.nc4", "w", format="NETCDF4", memory=1 << 20)
    file.setncatts({"BeginDate": str(inside), "BeginTime": "00:00:00.000Z", "EndDate": str(inside)})
    file.setncatts({"EndTime": "23:59:59.999Z", "title": MADE, "DOI": f"10.5067/GPM/IMERGDL/DAY/{version_of[1:3]}"})
    file.FileHeader = f"StartGranuleDateTime={inside}T00:00:00.000Z;\nStopGranuleDateTime={inside}T23:59:59.999Z"
    first = (inside - date(1970, 1, 1)).days
    axes = {"time": np.arange(first, first + times, dtype=float), "lon": IMERG_LONS.values, "lat": lats.values}
    if swapped:
        axes |= {"lon": axes["lat"], "lat": axes["lon"]}
    for axis, centres in axes.items():
        file.createDimension(axis, len(centres))
        file.createVariable(axis, "f8" if axis == "time" else "f4", (axis,))[:] = centres
    file["time"].setncatts({"units": "days since 1970-01-01 00:00:00Z", "standard_name": "time", "calendar": "julian"})
    file["lon"].setncatts({"units": "degrees_east", "long_name": "Longitude"})
    file["lat"].setncatts({"units": "degrees_north", "long_name": "Latitude"})
    dims = [{"lon": "lat", "lat": "lon"}.get(d, d) if swapped else d for d in dims]
    chunk = {"time": 1, "lon": 145, "lat": 1800} if not swapped else {"time": 1, "lat": 145, "lon": 1800}
    grid = file.createVariable(
        name,
        "f4",
        dims,
        zlib=True,
        chunksizes=[min(chunk[d], len(axes[d])) for d in dims],
        fill_value=None if fill is None else fill,
    )
    if unit is not None:
        grid.units = unit or ("mm" if old else "mm/day")
    grid.setncatts({"long_name": "Daily mean precipitation rate", "coordinates": "time lon lat"})
    known = np.where(np.isnan(values), IMERG_FILL if fill is None else fill, values)
    where = {"time": slice(None), "lat": box[0], "lon": box[1]}
    if swapped:
        where |= {"lon": box[0], "lat": box[1]}
    lat_name, lon_name = ("lon", "lat") if swapped else ("lat", "lon")
    stacked = xr.DataArray(known, dims=(lat_name, lon_name)).expand_dims(time=times).transpose(*dims)
    if fill is None:
        grid[:] = np.float32(IMERG_FILL)
    grid[tuple(where[d] for d in dims)] = stacked.values
    if junk:
        file.createDimension("nv", 2)
        file.createVariable("time_bnds", "f8", ("time", "nv"))[:] = [[first + n, first + n + 1] for n in range(times)]
        counts = file.createVariable("precipitation_cnt", "i2", ("time", "lon", "lat"), zlib=True, fill_value=-9999)
        counts.units = "count"
        file.createGroup("NA")
    return _closed(file)


def imerg_half_hour(
    start_at: datetime,
    rain_mm_h: xr.DataArray,
    *,
    run: str = "E",
    version: str = "V07C",
    variable: str | None = None,
    unit: str | None = "mm/hr",
    with_time: bool = True,
    flat: bool = False,
    holds: datetime | None = None,
    junk: bool = False,
) -> bytes:
    """A half-hourly granule, HDF5 as PPS writes it (V08's netCDF-4 is HDF5 too): the group Grid, mm/h.

    Args:
        rain_mm_h: mean rate of the half hour, mm/h.
        version: until V06 the variable was called `precipitationCal`.
        with_time: (time, lon, lat); without it (lon, lat), as until V05.
        flat: no group.
        holds: its true start, if other than `start_at`.
        junk: groups without meaning, such as stand in real files.
    """
    name = variable or ("precipitation" if version >= "V07" else "precipitationCal")
    inside = (holds or start_at).astimezone(UTC)
    ends_at = inside + timedelta(minutes=30) - timedelta(seconds=1)
    minutes = inside.hour * 60 + inside.minute
    own_name = (
        f"3B-HHR-{run}.MS.MRG.3IMERG.{inside:%Y%m%d}-S{inside:%H%M%S}-E{ends_at:%H%M%S}.{minutes:04d}.{version}.RT-H5"
    )
    body = io.BytesIO()
    with h5py.File(body, "w") as file:
        file.attrs["FileHeader"] = _bytes(
            f"DOI=Realtime;\nAlgorithmID=3IMERGHH;\nFileName={own_name};\nSatelliteName=MULTI;\n"
            f"InstrumentName=MERGED;\nStartGranuleDateTime={inside:%Y-%m-%dT%H:%M:%S}.000Z;\n"
            f"StopGranuleDateTime={ends_at:%Y-%m-%dT%H:%M:%S}.999Z;\nNumberOfGrids=1;\nTimeInterval=HALF_HOUR;\n"
            f"ProcessingSystem=PPS-NRT;\nProductVersion={version[1:]};\nEmptyGranule=NOT_EMPTY;\nMissingData=;\n"
        )
        file.attrs["FileInfo"] = _bytes("DataFormatVersion=bh;\nMetadataStyle=PVL;\nEndianType=LITTLE_ENDIAN;\n")
        grid = file if flat else file.create_group("Grid")
        grid.attrs["GridHeader"] = _bytes(
            "BinMethod=ARITHMETIC_MEAN;\nRegistration=CENTER;\nLatitudeResolution=0.1;\nLongitudeResolution=0.1;\n"
            "NorthBoundingCoordinate=90;\nSouthBoundingCoordinate=-90;\nEastBoundingCoordinate=180;\n"
            "WestBoundingCoordinate=-180;\nOrigin=SOUTHWEST;\n"
        )
        dims = ("time", "lon", "lat") if with_time else ("lon", "lat")
        scales = {"lon": IMERG_LONS.values.astype("f4"), "lat": IMERG_LATS.values.astype("f4")}
        units = {"lon": "degrees_east", "lat": "degrees_north", "time": "seconds since 1980-01-06 00:00:00 UTC"}
        if with_time:
            scales["time"] = np.array([(inside - datetime(1980, 1, 6, tzinfo=UTC)).total_seconds()], "i4")
        for scale, values in scales.items():
            grid.create_dataset(scale, data=values).make_scale(scale)
            grid[scale].attrs.update({key: _bytes(units[scale]) for key in ("Units", "units")})
            grid[scale].attrs["DimensionNames"] = _bytes(scale)
        if with_time:
            grid["time"].attrs["calendar"] = _bytes("julian")
        shape, chunks = (3600, 1800), (145, 1800)
        (rows, cols), values = block(rain_mm_h, IMERG_LATS, IMERG_LONS)
        fields: dict[str, tuple[str, np.generic, str | None]] = {name: ("f4", np.float32(IMERG_FILL), unit)}
        if junk:
            fields |= {
                "precipitationQualityIndex": ("f4", np.float32(IMERG_FILL), None),
                "probabilityLiquidPrecipitation": ("i2", np.int16(-9999), "percent"),
            }
        for field, (kind, fill, its_unit) in fields.items():
            data = grid.create_dataset(
                field,
                shape=(1, *shape) if with_time else shape,
                chunks=(1, *chunks) if with_time else chunks,
                dtype=kind,
                compression="gzip",
                compression_opts=1,
                fillvalue=fill,  # of chunks that are never written; a real file has them all
            )
            data.attrs.update({"DimensionNames": _bytes(",".join(dims)), "_FillValue": fill})
            data.attrs.update({"CodeMissingValue": _bytes(str(fill)), "coordinates": _bytes(" ".join(dims))})
            if its_unit is not None:
                data.attrs.update({key: _bytes(its_unit) for key in ("Units", "units")})
            for dimension, scale in zip(data.dims, dims, strict=True):
                dimension.attach_scale(grid[scale])
        known = np.where(np.isnan(values), IMERG_FILL, values).astype("f4").T
        grid[name][(0, cols, rows) if with_time else (cols, rows)] = known
        if junk:
            file.create_group("NA/NA")
            file.create_group("+ FileHeader")
            if not flat:
                file.create_group("precipitation")  # a group by the variable's name, beside Grid
                grid.create_group(f"inst/extdata/{own_name}")
                grid.create_group("Intermediate").create_dataset("MWprecipitation", (1, 3600, 1800), "f4", chunks=True)
    return body.getvalue()


# ── the others ───────────────────────────────────────────────────────────────────────────────────────────────────────


def gsmap(
    rain: xr.DataArray, *, gzipped: bool = True, missing: float = GSMAP_MISSING, upside_down: bool = False
) -> bytes:
    """A daily file of GSMaP: little-endian floats, 60° N first, from 0° eastwards, the mean rate of the day in mm/h."""
    whole = _whole(rain / 24, GSMAP_LATS, GSMAP_LONS, missing, GSMAP_MISSING, "<f4")
    body = (whole[::-1] if upside_down else whole).tobytes()
    return gzip.compress(body, 1, mtime=0) if gzipped else body


def cpc(rain: xr.DataArray, *, gauges: float = 1.0, byteorder: str = "<") -> bytes:
    """A daily file of CPC's gauges: two records of floats, 0.1 mm and number of gauges, from the south upwards."""
    whole = _whole(rain * 10, CPC_LATS, CPC_LONS, CPC_MISSING, CPC_MISSING, f"{byteorder}f4")
    counts = np.where(whole == CPC_MISSING, CPC_MISSING, gauges).astype(f"{byteorder}f4")
    return whole.tobytes() + counts.tobytes()


def era5_land(
    days: Mapping[date, xr.DataArray],
    *,
    old: bool = False,
    hourly: bool = True,
    variable: str = "tp",
    unit: str | None = "m",
    south_first: bool = False,
) -> bytes:
    """ERA5-Land as the Climate Data Store hands out an area: netCDF, `tp` in m since 00 UTC, north first.

    The value at 00 UTC is all the rain of the day before; the first 00 UTC is unknown if that day is not among `days`.
    The area is that of the first day's rain, on the whole tenths of degrees of ERA5-Land's own grid.

    Args:
        days: one or more days in a row.
        old: as the Store wrote them until 2024: `time` in hours since 1900, packed into 16 bits.
        hourly: without it 00 UTC alone.
        south_first: latitudes ascend, and the data with them.
    """
    order = sorted(days)
    area = days[order[0]]
    lats = np.sort(area["lat"].values)[:: 1 if south_first else -1]
    lons = np.sort(area["lon"].values)
    ERA5_LAND_LATS.index(lats), ERA5_LAND_LONS.index(lons)
    start = datetime.combine(order[0], datetime.min.time(), UTC)
    hours = range(0, 24 * len(order) + 1, 1 if hourly else 24)
    metres = np.full((len(hours), len(lats), len(lons)), np.nan)
    for row, hour in enumerate(hours):
        day = (start + timedelta(hours=hour - 1)).date()  # 00 UTC belongs to the day that ends with it
        if day in days:
            share = ((hour - 1) % 24 + 1) / 24
            metres[row] = days[day].transpose("lat", "lon").sel(lat=lats, lon=lons).values / 1000 * share
    file = netCDF4.Dataset("made.nc", "w", format="NETCDF4", memory=1 << 20)
    file.setncatts({"Conventions": "CF-1.7", "institution": MADE})
    time = "time" if old else "valid_time"
    for name, size in ((time, len(hours)), ("latitude", len(lats)), ("longitude", len(lons))):
        file.createDimension(name, size)
    origin, per_hour = (datetime(1900, 1, 1, tzinfo=UTC), 1) if old else (datetime(1970, 1, 1, tzinfo=UTC), 3600)
    stamps = file.createVariable(time, "i4" if old else "i8", (time,))
    stamps[:] = [int((start - origin).total_seconds() // 3600 + hour) * per_hour for hour in hours]
    stamps.units = "hours since 1900-01-01 00:00:00.0" if old else "seconds since 1970-01-01"
    stamps.calendar = "gregorian" if old else "proleptic_gregorian"
    for name, values, units in (("latitude", lats, "degrees_north"), ("longitude", lons, "degrees_east")):
        file.createVariable(name, "f4" if old else "f8", (name,))[:] = values
        file[name].units = units
    tp = file.createVariable(
        variable, "i2" if old else "f4", (time, "latitude", "longitude"), zlib=True,
        fill_value=-32767 if old else np.float32(np.nan),
    )  # fmt: skip
    tp.long_name = "Total precipitation"
    if unit is not None:
        tp.units = unit
    if old:
        top = float(np.nanmax(metres, initial=1e-6))
        tp.setncatts({"missing_value": np.int16(-32767), "scale_factor": top / 65000, "add_offset": top / 2})
    tp[:] = np.ma.array(np.nan_to_num(metres), mask=np.isnan(metres))
    return _closed(file)


def _closed(file: netCDF4.Dataset) -> bytes:
    """The bytes of a file in memory, without what the library set aside beyond its end (as its superblock tells it)."""
    body = bytes(file.close())
    return body[: int.from_bytes(body[28:36], "little")]


def _bytes(text: str) -> np.bytes_:
    """Text as HDF5 files of PPS hold it: of fixed length."""
    return np.bytes_(text)
