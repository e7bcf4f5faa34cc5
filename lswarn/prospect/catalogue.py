"""The open sources of a region: where each lies, how its files are named, who made it and on which terms. Pure.

Addresses are as their providers publish them; any may be replaced by a mirror that lays its files out alike.
"""

import math
from dataclasses import dataclass
from urllib.parse import urlencode

from lswarn.assets import HIGHWAYS, OSM
from lswarn.sources import Bounds

DEM_HOLES = "none over the sea, and Armenia and Azerbaijan are not released"
CLIMATE_TILE_DEG = 30
RIVERS = ("river", "stream")
AREA_LEVELS = ("6", "7", "8")
"""Levels of administration that are asked for: districts, municipalities and what lies between."""

PAGE = 2000
"""So many landslides are asked for at a time."""


@dataclass(frozen=True)
class Source:
    """One open source.

    Attributes:
        title: what it is.
        at: its address, of which `lswarn region init --from` gives another; empty: it cannot be fetched.
        licence: on which terms it may be used, and by whom it was made; goes into region.toml and the model card.
        citation: how its makers want to be cited.
        supply: what to do where it cannot be had.
        most_bytes: no file of it is larger.
        timeout_s: longest silence of its server; 0: as any other's.
    """

    title: str
    at: str
    licence: str
    citation: str
    supply: str
    most_bytes: int = 1 << 30
    timeout_s: float = 0.0


CATALOGUE = {
    "dem": Source(
        "Copernicus DEM GLO-30 (surface heights, about 30 m)",
        "https://copernicus-dem-30m.s3.amazonaws.com",
        "Copernicus DEM licence, free of charge; © DLR e.V. 2010-2014 and © Airbus Defence and Space GmbH 2014-2018, "
        "provided under COPERNICUS by the European Union and ESA",
        "European Space Agency (2021), Copernicus DEM, doi:10.5270/ESA-c5d3d65",
        "any raster of elevations that GDAL opens and that reaches 1 km beyond the region, such as SRTM",
    ),
    "osm": Source(
        "OpenStreetMap: roads, settlements, areas of administration, rivers",
        "https://overpass-api.de/api/interpreter",
        "ODbL 1.0, © OpenStreetMap contributors",
        "OpenStreetMap contributors, https://www.openstreetmap.org/copyright",
        "an extract (.osm.pbf) that covers the region, such as Geofabrik's: --file osm=extract.osm.pbf; or name roads, "
        "settlements and areas one by one in [assets], as docs/assets.md says",
        timeout_s=240.0,
    ),
    "rivers": Source(
        "OpenStreetMap: rivers and streams",
        "",
        "ODbL 1.0, © OpenStreetMap contributors",
        "OpenStreetMap contributors, https://www.openstreetmap.org/copyright",
        "lines of rivers, such as HydroRIVERS (hydrosheds.org); until then they are derived from the DEM",
    ),
    "faults": Source(
        "GEM Global Active Faults",
        "https://raw.githubusercontent.com/GEMScienceTools/gem-global-active-faults/master/geojson/"
        "gem_active_faults_harmonized.geojson",
        "CC-BY-SA 4.0, GEM Foundation",
        "Styron and Pagani (2020), The GEM Global Active Faults Database, Earthquake Spectra 36(S1), 160-180, "
        "doi:10.1177/8755293020944182",
        "lines of faults, of a geological survey; or fault_distance = { constant = … } in m, where none is near",
    ),
    "rainfall": Source(
        "WorldClim 2.1: rain of a year, mean of 1970-2000, about 1 km",
        "https://geodata.ucdavis.edu/climate/worldclim/2_1/tiles/tile",
        "CC-BY-SA 4.0, worldclim.org; earlier versions were for non-commercial use: ask before you sell",
        "Fick and Hijmans (2017), WorldClim 2, Int. J. Climatology 37, 4302-4315, doi:10.1002/joc.5086",
        "any raster of mean yearly rain, mm: a weather service's, or CHELSA",
        most_bytes=4 << 30,
    ),
    "temperature": Source(
        "WorldClim 2.1: temperature, mean of 1970-2000, about 1 km",
        "https://geodata.ucdavis.edu/climate/worldclim/2_1/tiles/tile",
        "CC-BY-SA 4.0, worldclim.org; earlier versions were for non-commercial use: ask before you sell",
        "Fick and Hijmans (2017), WorldClim 2, Int. J. Climatology 37, 4302-4315, doi:10.1002/joc.5086",
        "any raster of mean temperature, °C; until then it is derived from the DEM: set sea_level_deg_c",
        most_bytes=4 << 30,
    ),
    "seismic": Source(
        "GEM Global Seismic Hazard Map 2023.1: peak ground acceleration, 10 % in 50 years, on rock",
        "https://zenodo.org/records/8409647/files/GEM-GSHM_PGA-475y-rock_v2023.zip",
        "CC-BY-NC-SA 4.0 (not for sale), GEM Foundation",
        "Johnson et al. (2023), Global Seismic Hazard Map, version 2023.1, doi:10.5281/zenodo.8409647",
        'any raster of peak ground acceleration, g: of the national hazard map; or GSHAP\'s, with unit = "m/s2"; or '
        "seismic_intensity = { constant = … } from the building code",
    ),
    "rock": Source(
        "rock",
        "",
        "",
        "",
        "polygons of rock with a field of its kind: the geological survey's map, OneGeology, or GLiM (doi:10.1029/"
        "2012GC004370). No open source has it at the scale of hillsides",
    ),
    "inventory": Source(
        "NASA COOLR: landslides that were reported or mapped",
        "https://gis.earthdata.nasa.gov/gis05/rest/services/Landslides",
        "free to use, with citation; NASA",
        "Kirschbaum et al. (2010), Natural Hazards 52, 561-575; Juang et al. (2019), PLoS ONE 14(7), e0218657",
        "polygons or points of landslides, with their days where these are known: without some dozens well placed "
        "nothing can be learnt; ask the geological survey, the road office, a university",
    ),
}
"""By the name that --file and --from know it by."""

FETCHED = tuple(key for key, source in CATALOGUE.items() if source.at)


def dem_tiles(bounds: Bounds) -> list[str]:
    """Names of the tiles of one degree that cover a box, west to east and south to north."""
    west, south, east, north = (
        math.floor(bounds[0]),
        math.floor(bounds[1]),
        math.ceil(bounds[2]),
        math.ceil(bounds[3]),
    )
    return [
        f"Copernicus_DSM_COG_10_{'NS'[lat < 0]}{abs(lat):02}_00_{'EW'[lon < 0]}{abs(lon):03}_00_DEM"
        for lat in range(south, north)
        for lon in range(west, east)
    ]


def climate_tiles(bounds: Bounds, variable: str) -> list[str]:
    """Names of the tiles of 30 degrees that a box meets; they are numbered from 1 in the north-west, row by row.

    Args:
        variable: `prec` (mm) or `tavg` (°C): twelve bands, one a month.
    """
    west, south, east, north = bounds
    rows = range(math.floor((90 - north) / CLIMATE_TILE_DEG), math.ceil((90 - south) / CLIMATE_TILE_DEG))
    cols = range(math.floor((west + 180) / CLIMATE_TILE_DEG), math.ceil((east + 180) / CLIMATE_TILE_DEG))
    per_row = 360 // CLIMATE_TILE_DEG
    return [f"tile_{row * per_row + col + 1}_wc2.1_30s_{variable}.tif" for row in rows for col in cols]


def osm_url(at: str, bbox: Bounds, around: Bounds) -> str:
    """What is asked of an Overpass server: an extract of roads, settlements, areas, and of the rivers around.

    Nodes come before ways and these before relations, as readers of extracts expect it.
    """
    box, wide = (f"({b[1]:.6f},{b[0]:.6f},{b[3]:.6f},{b[2]:.6f})" for b in (bbox, around))
    roads = "|".join(dict.fromkeys((*OSM["roads"].kinds, *HIGHWAYS)))
    parts = (
        f'way["highway"~"^({roads})$"]{box};',
        f'node["place"~"^({"|".join(OSM["settlements"].kinds)})$"]{box};',
        f'relation["boundary"="administrative"]["admin_level"~"^({"|".join(AREA_LEVELS)})$"]{box};',
        f'way["waterway"~"^({"|".join(RIVERS)})$"]{wide};',
    )
    query = f"[out:xml][timeout:180][maxsize:1073741824];({''.join(parts)});(._;>;);out body;"
    return f"{at}?{urlencode({'data': query})}"


COOLR_LAYERS = {"event": "COOLR_Events_Points", "report": "COOLR_Reports_Points"}


def coolr_url(at: str, layer: str, bbox: Bounds, offset: int) -> str:
    """A page of the landslides of a box, as GeoJSON."""
    asked = {
        "where": "1=1",
        "geometry": ",".join(f"{edge:.6f}" for edge in bbox),
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
        "outFields": "*",
        "outSR": "4326",
        "orderByFields": "objectid",
        "resultOffset": str(offset),
        "resultRecordCount": str(PAGE),
        "f": "geojson",
    }
    return f"{at}/{layer}/FeatureServer/0/query?{urlencode(asked)}"
