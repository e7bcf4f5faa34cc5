"""Made forecast rain as GRIB2 messages and the index files beside them, as NOAA and ECMWF lay them out. Pure.

Messages are packed by CCSDS, as ECMWF's are; GFS packs by complex packing, which ecCodes reads but does not write.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Literal

import eccodes
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.demo.axes import Axis, block

LATS = Axis(90.0, -0.25, 721)
GFS_LONS = Axis(0.0, 0.25, 1440)
ECMWF_LONS = Axis(-180.0, 0.25, 1440)


@dataclass(frozen=True)
class _Field:
    """One message: name, level and time (as wgrib2 says it) in an index, and keys; without values 280 everywhere."""

    name: str
    level: str
    when: str
    keys: Mapping[str, Any]
    values: NDArray[np.float64] | None = None


def gfs(
    issue: date, rain: Mapping[int, xr.DataArray], *, hour: int = 0, last: bool = False, total: bool = True
) -> tuple[bytes, bytes]:
    """The file of the last step, cut down to a few fields, and its `.idx`, the inventory of wgrib2.

    As in the true file, APCP stands there twice: of the six-hour bucket, and of all hours since the issue.

    Args:
        rain: step, hours → mm of the six hours before; the earlier ones are needed for the total alone.
        hour: of the issue, UTC.
        last: the bucket is the last message, whose end no index tells.
        total: with the total; left out in any case where an earlier bucket is not given.
    """
    step = max(rain)
    since_issue = range(6, step + 1, 6)
    bucket = _apcp(step - 6, step, _mm(rain[step], GFS_LONS))
    fields = [bucket]
    if total and all(h in rain for h in since_issue):
        whole = _apcp(0, step, np.sum([_mm(rain[h], GFS_LONS) for h in since_issue], axis=0))
        fields = [whole, bucket] if last else [bucket, whole]
    now = {"stepRange": str(step)}
    fields.insert(
        0, _Field("TMP", "surface", f"{step} hour fcst", now | {"parameterCategory": 0, "parameterNumber": 0})
    )
    if not last:
        fields.append(
            _Field("HGT", "surface", f"{step} hour fcst", now | {"parameterCategory": 3, "parameterNumber": 5})
        )
    body, lines = b"", []
    for number, field in enumerate(fields, 1):
        lines.append(f"{number}:{len(body)}:d={issue:%Y%m%d}{hour:02d}:{field.name}:{field.level}:{field.when}:\n")
        body += _message(issue, hour, "kwbc", GFS_LONS, field)
    return body, "".join(lines).encode()


def ecmwf(
    issue: date, rain: Mapping[int, xr.DataArray], *, hour: int = 0, unit: Literal["m", "mm"] = "m"
) -> tuple[bytes, bytes]:
    """The file of the last step, cut down to a few fields, and its `.index`, a line of JSON a message.

    Args:
        rain: step, hours → mm since the issue.
        hour: of the issue, UTC.
        unit: of `tp`: IFS says metres, AIFS mm (kg m⁻²).
    """
    step = max(rain)
    mm = _mm(rain[step], ECMWF_LONS)
    number = {"m": {"paramId": 228}, "mm": {"paramId": 228228}}[unit]
    fields = [
        _Field("2t", "sfc", "", {"paramId": 167, "stepRange": str(step)}),
        _Field("tp", "sfc", "", number | {"stepRange": f"0-{step}"}, mm / 1000 if unit == "m" else mm),
        _Field("sp", "sfc", "", {"paramId": 134, "stepRange": str(step)}),
    ]
    body, lines = b"", []
    for field in fields:
        message = _message(issue, hour, "ecmf", ECMWF_LONS, field)
        record = {
            "domain": "g", "date": f"{issue:%Y%m%d}", "time": f"{hour:02d}00", "expver": "0001",
            "class": "od" if unit == "m" else "ai", "type": "fc", "stream": "oper", "step": str(step),
            "levtype": field.level, "param": field.name, "_offset": len(body), "_length": len(message),
        }  # fmt: skip
        lines.append(json.dumps(record) + "\n")
        body += message
    return body, "".join(lines).encode()


def _apcp(begin: int, end: int, mm: NDArray[np.float64]) -> _Field:
    """GFS's rain of some hours since the issue."""
    keys = {"parameterCategory": 1, "parameterNumber": 8, "typeOfStatisticalProcessing": 1}
    return _Field("APCP", "surface", f"{_span(begin, end)} acc fcst", keys | {"stepRange": f"{begin}-{end}"}, mm)


def _mm(rain: xr.DataArray, lons: Axis) -> NDArray[np.float64]:
    """A whole field; there is no unknown in a forecast, so 0 where no rain is given."""
    whole = np.zeros((LATS.size, lons.size))
    box, values = block(rain, LATS, lons)
    whole[box] = np.nan_to_num(values)
    return whole


def _span(begin: int, end: int) -> str:
    """As wgrib2 says it: in days where it comes out even."""
    return f"{begin // 24}-{end // 24} day" if begin % 24 == end % 24 == 0 else f"{begin}-{end} hour"


def _message(issue: date, hour: int, centre: str, lons: Axis, field: _Field) -> bytes:
    keys = dict(field.keys)
    step = keys.pop("stepRange")
    handle = eccodes.codes_new_from_message(_air(centre, lons))
    try:
        for key, value in {
            "dataDate": int(f"{issue:%Y%m%d}"),
            "dataTime": 100 * hour,
            "productDefinitionTemplateNumber": 8 if "-" in step else 0,
            "typeOfFirstFixedSurface": 1,
            **keys,
            "stepRange": step,
        }.items():
            eccodes.codes_set(handle, key, value)
        if field.values is not None:
            eccodes.codes_set_values(handle, field.values.ravel())
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


@cache
def _air(centre: str, lons: Axis) -> bytes:
    """A message on a centre's grid, the same everywhere: to be made over, since packing is what takes time."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    try:
        for key, value in {
            "centre": centre,
            **({"tablesVersion": 2, "localTablesVersion": 1} if centre == "kwbc" else {}),
            "Ni": lons.size,
            "Nj": LATS.size,
            "latitudeOfFirstGridPointInDegrees": LATS.first,
            "latitudeOfLastGridPointInDegrees": -LATS.first,
            "longitudeOfFirstGridPointInDegrees": lons.first % 360,
            "longitudeOfLastGridPointInDegrees": (lons.first - lons.step) % 360,
            "iDirectionIncrementInDegrees": lons.step,
            "jDirectionIncrementInDegrees": -LATS.step,
            "packingType": "grid_ccsds",
            "bitsPerValue": 24,
        }.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, np.full(lons.size * LATS.size, 280.0))
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)
