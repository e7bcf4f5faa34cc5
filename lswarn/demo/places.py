"""The places of the demo world, as tables, and the region.toml that watches them. Pure.

Towns are real by name and place; road numbers, valleys and mountains by name only: courses and borders are made.
"""

from dataclasses import dataclass

TOWN_STEEPNESS = 5.0
ROAD_STEEPNESS = {"motorway": 10.0, "trunk": 12.0, "primary": 14.0, "secondary": 20.0, "tertiary": 25.0, "track": 60.0}
"""Slope, degrees, that doubles the cost of building a town, or a road of a kind: lower shuns slopes more."""

CRITICAL_MM = (110.0, 130.0)
"""Critical 7-day rainfall in the mountains and in the valley."""


@dataclass(frozen=True)
class Town:
    """A real town; its outline, of `km2`, is made."""

    id: str
    name: str
    lon: float
    lat: float
    population: int
    km2: float


@dataclass(frozen=True)
class Road:
    """A road through places (lon, lat); its course between them is made."""

    id: str
    name: str
    ref: str
    kind: str
    through: tuple[tuple[float, float], ...]


TOWNS = (
    Town("T1", "Jacksboro", -84.1838, 36.3301, 2300, 6.0),
    Town("T2", "LaFollette", -84.1199, 36.3828, 7400, 6.0),
    Town("T3", "Caryville", -84.2233, 36.2987, 2200, 9.0),
    Town("T4", "Rocky Top", -84.1549, 36.2226, 1700, 6.0),
)
JACKSBORO, LAFOLLETTE, CARYVILLE, ROCKY_TOP = ((town.lon, town.lat) for town in TOWNS)

ROADS = (
    Road("I75", "Interstate 75", "I 75", "motorway",
         ((-84.138, 36.164), ROCKY_TOP, CARYVILLE, (-84.272, 36.375), (-84.310, 36.441))),
    Road("US25W", "Appalachian Highway", "US 25W", "trunk",
         (CARYVILLE, JACKSBORO, LAFOLLETTE, (-84.135, 36.441))),
    Road("TN63", "Howard Baker Highway", "TN 63", "primary",
         ((-84.407, 36.345), (-84.300, 36.352), CARYVILLE)),
    Road("TN63E", "General Carl Stiner Highway", "TN 63", "primary", (LAFOLLETTE, (-84.084, 36.400))),
    Road("TN116", "New River Road", "TN 116", "secondary",
         (ROCKY_TOP, (-84.225, 36.200), (-84.2675, 36.2078), (-84.305, 36.215), (-84.3122, 36.2485), (-84.335, 36.275),
          CARYVILLE)),
    Road("TN62", "Frozen Head Road", "TN 62", "secondary", ((-84.305, 36.215), (-84.345, 36.165))),
    Road("TN297", "Elk Valley Road", "TN 297", "secondary",
         ((-84.310, 36.441), (-84.345, 36.400), (-84.407, 36.390))),
    Road("PINE", "Pine Mountain Road", "", "tertiary",
         ((-84.272, 36.375), (-84.215, 36.395), LAFOLLETTE)),
    Road("FRONT", "Front Mountain Road", "", "track", (JACKSBORO, (-84.160, 36.368), (-84.138, 36.388), LAFOLLETTE)),
    Road("KNOBS", "Powell Knobs Road", "", "tertiary", (JACKSBORO, (-84.1208, 36.3372), (-84.1212, 36.3190))),
    Road("CROSS", "Cross Mountain Road", "", "track",
         (CARYVILLE, (-84.2518, 36.3028), (-84.2498, 36.2602), (-84.2124, 36.2334), (-84.225, 36.200))),
)  # fmt: skip


@dataclass(frozen=True)
class Addresses:
    """Roots of the servers that the demo's rain comes from, such as `http://127.0.0.1:8123`."""

    earthdata: str
    pps: str
    noaa: str


AREAS = (
    # id, name, a point inside
    ("elk-valley", "Elk Valley", (-84.36, 36.41)),
    ("pine-mountain", "Pine Mountain", (-84.20, 36.40)),
    ("new-river", "New River", (-84.35, 36.25)),
    ("cross-mountain", "Cross Mountain", (-84.215, 36.25)),
    ("powell-valley", "Powell Valley", (-84.12, 36.33)),
    ("coal-creek", "Coal Creek", (-84.12, 36.22)),
)
_WRENCH, _FRONT, _FOOT = (-84.255, 36.350), (-84.235, 36.312), (-84.19, 36.290)
DIVIDES = (
    ((-84.320, 36.47), (-84.290, 36.420), _WRENCH, _FRONT),  # the wrench valley
    (_FRONT, (-84.190, 36.352), (-84.130, 36.403), (-84.05, 36.435)),  # the crest of the front
    ((-84.43, 36.335), (-84.340, 36.362), _WRENCH),
    (_WRENCH, (-84.268, 36.300), (-84.262, 36.240), (-84.265, 36.14)),
    (_FRONT, _FOOT, (-84.185, 36.240), (-84.190, 36.14)),
    (_FOOT, (-84.06, 36.290)),
)

FAULTS = (
    ((-84.33, 36.47), (-84.30, 36.425), (-84.275, 36.38), (-84.245, 36.325), (-84.22, 36.30)),
    ((-84.22, 36.30), (-84.18, 36.345), (-84.12, 36.395), (-84.04, 36.44)),
    ((-84.22, 36.30), (-84.185, 36.255), (-84.165, 36.215), (-84.185, 36.14)),
    ((-84.43, 36.31), (-84.37, 36.325), (-84.31, 36.315)),
)

VALLEY = ((-83.7, 35.8), (-84.185, 35.8), (-84.185, 36.24), _FOOT, _FRONT, (-84.130, 36.403), (-83.7, 36.62))


def region_toml(
    bbox: tuple[float, ...], crs: str, resolution_m: float, made: str, *, rain: Addresses, webhook_url: str
) -> str:
    """The text of region.toml; files are relative to its folder."""
    return f"""\
name = "demo"
title = "Jacksboro, Tennessee (demo)"
bbox = {list(bbox)}
crs = "{crs}"
resolution_m = {resolution_m}
made = "{made}"

[factors]
dem = {{ file = "dem.tif", unit = "m" }}
slope = "derive"
curvature = "derive"
aspect = "derive"
landform = "derive"
rock_type = {{ file = "rock.gpkg", field = "code" }}
river_distance = {{ derive = true, min_upslope_km2 = 1.0 }}
fault_distance = {{ file = "faults.gpkg" }}
rainfall = {{ file = "normals.tif", unit = "mm/year" }}
temperature = {{ derive = true, sea_level_deg_c = 16.5, lapse_deg_c_per_km = 6.5 }}
seismic_intensity = {{ file = "seismic.tif", unit = "g" }}

[assets]
roads = {{ file = "roads.gpkg", id = "id", name = "name", ref = "ref", kind = "class" }}
settlements = {{ file = "towns.gpkg", id = "id", name = "name", population = "population" }}
warning_areas = {{ file = "areas.gpkg", id = "id", name = "name" }}

[inventory]
file = "inventory.gpkg"
id = "id"
date = "date"

[[rain.sources]]
product = "IMERG-Late"
at = "{rain.earthdata}/search/granules.json"
latency_h = 15

[[rain.sources]]
product = "IMERG-Early-GIS"
at = "{rain.pps}/text/imerg/gis/early/{{year}}/{{month}}/"

[[rain.forecasts]]
product = "GFS"
at = "{rain.noaa}/gfs.{{year}}{{month}}{{day}}/00/atmos/"

[rain.threshold.zones]
file = "thresholds.gpkg"
field = "critical_mm"

[model]
seed = 7

[alerts]
min_zone_m2 = 3600
red_people = 10
clear_after_days = 2

[[subscribers]]
name = "County emergency management"
channel = "email"
address = "duty@county.example"

[[subscribers]]
name = "Road maintenance, Powell Valley and Pine Mountain"
channel = "email"
address = "roads@county.example"
areas = ["powell-valley", "pine-mountain"]

[[subscribers]]
name = "Control room"
channel = "webhook"
address = "{webhook_url}"
allow_private = true
"""
