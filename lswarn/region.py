"""What is watched and how it is judged: region.toml, checked and frozen.

The file may name other files relative to itself. Reading it opens none of them: that a raster really overlaps, or a
vector really has the field, is asked by `groundwork.check`, which is `lswarn region check`.
"""

import hashlib
import json
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from lswarn.errors import RegionError
from lswarn.sections import Alerts, Assets, Factors, Inventory, Model, Rain, Retention, Strict, Subscriber


class Region(Strict):
    """One watched region. Frozen; `digest` goes into every run.

    Attributes:
        name: lower-case identifier, used in paths and the database.
        bbox: west, south, east, north, degrees.
        crs: metric CRS with an EPSG code, in which slopes, lengths and areas are computed.
        resolution_m: cell size.
        made: what of the inputs is made up, printed in every output; empty for a real region.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    title: str
    bbox: tuple[float, float, float, float]
    crs: str
    resolution_m: float = Field(30.0, gt=0, le=1000)
    made: str = ""
    factors: Factors
    assets: Assets
    inventory: Inventory
    rain: Rain
    model: Model = Model()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    subscribers: tuple[Subscriber, ...] = Field((), validate_default=True)

    @field_validator("bbox")
    @classmethod
    def _bbox(cls, bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        west, south, east, north = bbox
        if not (-180 <= west < east <= 180 and -90 < south < north < 90):
            raise ValueError("must be west, south, east, north in degrees, west < east and south < north")
        return bbox

    @field_validator("crs")
    @classmethod
    def _metric(cls, text: str) -> str:
        try:
            crs = CRS.from_user_input(text)
        except CRSError as error:
            raise ValueError(f"{text!r} is not a coordinate reference system") from error
        if crs.to_epsg() is None or not crs.is_projected or crs.axis_info[0].unit_conversion_factor != 1:
            raise ValueError(f"{text!r} must be a projected CRS in metres with an EPSG code, such as a UTM zone")
        return f"EPSG:{crs.to_epsg()}"

    @field_validator("model")
    @classmethod
    def _rain_that_wets(cls, model: Model, given: ValidationInfo) -> Model:
        rain = given.data.get("rain")  # missing where it is at fault itself
        if model.soil is not None and rain is not None and rain.measure != "sum":
            raise ValueError(
                'physics_source = "infinite-slope" is wetted by the sum of seven days, and rain.measure is '
                f'"{rain.measure}": set rain.measure = "sum", or physics_source = "threshold"'
            )
        return model

    @field_validator("subscribers")
    @classmethod
    def _distinct(cls, subscribers: tuple[Subscriber, ...]) -> tuple[Subscriber, ...]:
        names = [s.name for s in subscribers]
        if len(set(names)) < len(names):
            raise ValueError("two subscribers have the same name")
        return subscribers

    @field_validator("subscribers")
    @classmethod
    def _reviewers_are_among_them(
        cls, subscribers: tuple[Subscriber, ...], given: ValidationInfo
    ) -> tuple[Subscriber, ...]:
        alerts = given.data.get("alerts")  # missing where it is at fault itself
        names = {s.name for s in subscribers}
        if alerts is not None and (strangers := [name for name in alerts.reviewers if name not in names]):
            raise ValueError(f"alerts.reviewers names {', '.join(strangers)}, and no subscriber has that name")
        return subscribers

    @property
    def srid(self) -> int:
        """EPSG code of `crs`."""
        return int(self.crs.removeprefix("EPSG:"))

    @property
    def digest(self) -> str:
        """sha256 of every rule and source named in region.toml."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def files(self) -> dict[str, Path]:
        """Every file the region names, by its key in region.toml."""
        found: dict[str, Path | None] = {}
        for section in ("factors", "assets"):
            part = getattr(self, section)
            found |= {f"{section}.{key}": getattr(part, key).file for key in type(part).model_fields}
        found["inventory"] = self.inventory.file
        found["rain.threshold"] = self.rain.threshold.file
        found["rain.threshold.zones"] = zones.file if (zones := self.rain.threshold.zones) else None
        return {key: path for key, path in found.items() if path is not None}


def load_region(path: Path) -> Region:
    """Read region.toml; relative files are taken from its folder.

    Raises:
        RegionError: with every fault found, each naming file, key and value.
    """
    if path.is_dir():
        path = path / "region.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RegionError(f"{path}: no such file; deploy/region.example.toml shows one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegionError(f"{path}: not TOML: {error}") from error
    _anchor(data, path.parent.absolute())
    try:
        return Region.model_validate(data)
    except ValidationError as error:
        raise RegionError(*(f"{path}: {_where(e['loc'])}{e['msg']}{_given(e)}" for e in error.errors())) from error


def _anchor(node: object, folder: Path) -> None:
    """Make every `file`, and every rain folder, absolute, in place in the freshly parsed document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and (key in ("file", "quantile_map") or (key == "at" and "://" not in value)):
                node[key] = str(folder / value)
            else:
                _anchor(value, folder)
    elif isinstance(node, list):
        for item in node:
            _anchor(item, folder)


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) + ": " if loc else ""


def _given(error: object) -> str:
    value = error.get("input") if isinstance(error, dict) else None
    if isinstance(error, dict) and error["type"] == "missing":
        return ""
    return f" (given: {value!r})" if isinstance(value, str | int | float | bool | list | tuple) else ""


def find_region(named: Path | None, default: Path | None) -> Region:
    """The region a command means: the one it names, else `LSWARN_REGION` (`default`), else ./region.toml.

    Raises:
        RegionError: there is none, or it is at fault.
    """
    chosen = named or default or Path("region.toml")
    if named is None and default is None and not chosen.exists():
        raise RegionError("no region is named, LSWARN_REGION is not set, and there is no region.toml in this folder")
    return load_region(chosen)
