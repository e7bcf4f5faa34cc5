"""The servers that `lswarn region init` asks, on the loopback, with a small made country behind them (door: network).

    with OpenReplica() as server:
        lswarn region init --bbox 9.02,46.2,9.12,46.27 --name made --from dem={server.url}/dem …

Files are named and laid out as their providers do, but coarser. Overpass and the landslides' server answer what they
are asked: by tags and box, by box and page. All of it is made.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from lswarn.demo.login import Seen
from lswarn.demo.replicas import Published, RainReplica
from lswarn.sources import Bounds

BBOX: Bounds = (9.02, 46.2, 9.12, 46.27)
"""Where the made country lies, if nobody says otherwise."""

AT = datetime(2026, 1, 1, tzinfo=UTC)
DEM_CELLS = 120
CLIMATE_CELLS = 240
STATEMENT = re.compile(r'(node|way|relation)((?:\["[^"]+"[~=]"[^"]*"\])+)\(([-\d.,]+)\);')
FILTER = re.compile(r'\["([^"]+)"([~=])"([^"]*)"\]')


@dataclass(frozen=True)
class Thing:
    """A thing on the made map: its kind, tags and corners (lon, lat); of a relation, its one outer ring."""

    kind: str
    tags: dict[str, str]
    corners: tuple[tuple[float, float], ...]


def made_map(bbox: Bounds) -> list[Thing]:
    """Two roads, a track, a river, three places and two districts, spread over a box."""
    west, south, east, north = bbox

    def at(x: float, y: float) -> tuple[float, float]:
        return round(west + x * (east - west), 6), round(south + y * (north - south), 6)

    def district(name: str, left: float, right: float) -> Thing:
        ring = (at(left, -0.2), at(right, -0.2), at(right, 1.2), at(left, 1.2), at(left, -0.2))
        tags = {"boundary": "administrative", "admin_level": "7", "name": name, "type": "boundary"}
        return Thing("relation", tags, ring)

    return [
        Thing(
            "way", {"highway": "primary", "name": "Valley Road", "ref": "1"}, (at(0.1, 0.1), at(0.5, 0.4), at(0.9, 0.5))
        ),
        Thing("way", {"highway": "secondary", "ref": "2"}, (at(0.5, 0.4), at(0.4, 0.9))),
        Thing("way", {"highway": "footway"}, (at(0.2, 0.2), at(0.3, 0.3))),
        Thing("way", {"waterway": "river", "name": "Made River"}, (at(0.6, 0.9), at(0.5, 0.5), at(0.6, 0.1))),
        Thing("node", {"place": "town", "name": "Highmade", "population": "4 200"}, (at(0.5, 0.42),)),
        Thing("node", {"place": "village", "name": "Lowmade"}, (at(0.88, 0.5),)),
        Thing("node", {"place": "city", "name": "Elsewhere"}, (at(3.0, 3.0),)),
        district("Made West", -0.2, 0.5),
        district("Made East", 0.5, 1.2),
    ]


def made_landslides(bbox: Bounds, number: int = 12) -> list[dict[str, Any]]:
    """Features as the landslides' server gives them: days in milliseconds, some far off, some badly placed."""
    west, south, east, north = bbox
    rng = np.random.default_rng(5)
    features = []
    for n in range(number):
        x, y = rng.uniform(0.1, 0.9, 2)
        day = datetime(2015 + n % 6, 6, 1 + n, tzinfo=UTC)
        properties = {
            "objectid": n + 1,
            "ev_id": 1000 + n,
            "ev_date": int(day.timestamp() * 1000) if n % 4 else None,
            "loc_acc": "exact" if n % 3 else "25km",
            "ls_trig": "downpour",
            "src_name": "made",
        }
        point = [float(west + x * (east - west)), float(south + y * (north - south))]
        features.append(
            {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": point}}
        )
    far = {"type": "Point", "coordinates": [east + 5, north]}
    return [*features, {"type": "Feature", "properties": {"objectid": 999, "ev_id": 1}, "geometry": far}]


class OpenReplica(RainReplica):
    """All open servers in one, each below a path of its own: see `addresses`.

    Attributes:
        things: the made map. remark: what Overpass says at the end of an answer that it gave up on; empty: it does not.
        landslides: features of the layer of events; that of reports is empty.
        page: the most landslides the server gives at once, however many are asked for.
    """

    def __init__(self, bbox: Bounds = BBOX) -> None:
        super().__init__(_files(bbox), now=AT)
        self.things = made_map(bbox)
        self.remark = ""
        self.landslides = made_landslides(bbox)
        self.page = 5

    @property
    def addresses(self) -> dict[str, str]:
        """What to give as --from."""
        below = {
            "dem": "dem",
            "osm": "api/interpreter",
            "faults": "faults/gem_active_faults_harmonized.geojson",
            "rainfall": "worldclim",
            "temperature": "worldclim",
            "seismic": "shaking/GEM-GSHM_PGA-475y-rock_v2023.zip",
            "inventory": "landslides",
        }
        return {key: f"{self.url}/{path}" for key, path in below.items()}

    def made_for(self, seen: Seen) -> Published | None:
        """See `RainReplica.made_for`."""
        asked = {name: values[0] for name, values in parse_qs(seen.query).items()}
        if seen.path == "/api/interpreter":
            return Published(_extract(self.things, asked["data"], self.remark).encode(), AT)
        if seen.path.startswith("/landslides/") and seen.path.endswith("/query"):
            known = self.landslides if "Events" in seen.path else []
            return Published(json.dumps(_page(known, asked, self.page)).encode(), AT)
        return None


def _extract(things: list[Thing], query: str, remark: str) -> str:
    """What Overpass answers: things that a statement of the query means, nodes first."""
    found = [thing for thing in things if any(_meant(thing, each) for each in STATEMENT.finditer(query))]
    nodes, ways, relations = [], [], []
    for number, thing in enumerate(found, 1):
        tags = "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in thing.tags.items())
        corners = list(dict.fromkeys(thing.corners))
        ids = {corner: 1000 * number + n for n, corner in enumerate(corners)}
        alone = tags if thing.kind == "node" else ""
        nodes += [f'<node id="{ids[lon, lat]}" lon="{lon}" lat="{lat}">{alone}</node>' for lon, lat in corners]
        if thing.kind != "node":
            line = "".join(f'<nd ref="{ids[corner]}"/>' for corner in thing.corners)
            ways.append(f'<way id="{number}">{line}{tags if thing.kind == "way" else ""}</way>')
        if thing.kind == "relation":
            member = f'<member type="way" ref="{number}" role="outer"/>'
            relations.append(f'<relation id="{number}">{member}{tags}</relation>')
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6" generator="Overpass API">\n'
    told = "<note>made</note>\n" + '<meta osm_base="2025-12-31T23:59:00Z"/>\n'
    end = f"<remark> {remark} </remark>\n" if remark else ""
    return head + told + "\n".join([*nodes, *ways, *relations]) + f"\n{end}</osm>\n"


def _meant(thing: Thing, statement: re.Match[str]) -> bool:
    kind, filters, box = statement.groups()
    south, west, north, east = map(float, box.split(","))
    lons, lats = zip(*thing.corners, strict=True)
    inside = min(lons) <= east and max(lons) >= west and min(lats) <= north and max(lats) >= south
    tagged = all(
        re.search(value if sign == "~" else f"^{re.escape(value)}$", thing.tags.get(key, "\0"))
        for key, sign, value in FILTER.findall(filters)
    )
    return kind == thing.kind and inside and tagged


def _page(features: list[dict[str, Any]], asked: dict[str, str], most: int) -> dict[str, Any]:
    west, south, east, north = map(float, asked["geometry"].split(","))
    inside = [
        each
        for each in features
        if west <= each["geometry"]["coordinates"][0] <= east and south <= each["geometry"]["coordinates"][1] <= north
    ]
    first, number = int(asked["resultOffset"]), min(most, int(asked["resultRecordCount"]))
    page: dict[str, Any] = {"type": "FeatureCollection", "features": inside[first : first + number]}
    return page | ({"exceededTransferLimit": True} if first + number < len(inside) else {})


def _files(bbox: Bounds) -> dict[str, Published]:
    """What lies ready: tiles around the box, faults and the archive of shaking."""
    from lswarn.prospect.catalogue import climate_tiles, dem_tiles

    west, south, east, north = bbox
    around = (west - 0.2, south - 0.2, east + 0.2, north + 0.2)
    files: dict[str, bytes] = {}
    for tile in dem_tiles(around):
        files[f"dem/{tile}/{tile}.tif"] = _dem_tile(tile)
    for variable, months in {"prec": _rain, "tavg": _warmth}.items():
        for tile in climate_tiles(around, variable):
            files[f"worldclim/{tile}"] = _climate_tile(int(tile.split("_")[1]), months)
    middle = (west + east) / 2
    fault = {"type": "LineString", "coordinates": [[middle, south - 0.1], [middle + 0.05, north + 0.1]]}
    far = {"type": "LineString", "coordinates": [[middle + 40, south], [middle + 41, north]]}
    lines = [{"type": "Feature", "properties": {"slip_type": "made"}, "geometry": each} for each in (fault, far)]
    collection = {"type": "FeatureCollection", "features": lines}
    files["faults/gem_active_faults_harmonized.geojson"] = json.dumps(collection).encode()
    files["shaking/GEM-GSHM_PGA-475y-rock_v2023.zip"] = _shaking()
    return {path: Published(body, AT) for path, body in files.items()}


def _dem_tile(name: str) -> bytes:
    """Hills of some hundred metres, that go on from tile to tile; centres of cells lie on whole degrees."""
    found = re.search(r"_([NS])(\d\d)_00_([EW])(\d{3})_00_", name)
    assert found is not None  # noqa: S101 (our own names)
    south = int(found[2]) * (1 if found[1] == "N" else -1)
    west = int(found[4]) * (1 if found[3] == "E" else -1)
    step = 1 / DEM_CELLS
    lats, lons = south + 1 - step * np.arange(DEM_CELLS), west + step * np.arange(DEM_CELLS)
    lat, lon = np.meshgrid(lats, lons, indexing="ij")
    heights = 900 + 500 * np.sin(40 * lon) * np.cos(37 * lat) + 200 * np.sin(95 * (lon + lat))
    return _geotiff(heights[None].astype(np.float32), west - step / 2, south + 1 + step / 2, step, None)


def _rain(lat: NDArray[np.float64], lon: NDArray[np.float64], month: int) -> NDArray[np.float64]:
    return 80 + 40 * np.sin(month / 2) + 10 * np.sin(lon) + 0 * lat


def _warmth(lat: NDArray[np.float64], lon: NDArray[np.float64], month: int) -> NDArray[np.float64]:
    return 25 - 0.4 * np.abs(lat) - 8 * np.cos(np.pi * month / 6) + 0 * lon


def _climate_tile(number: int, months: Callable[..., NDArray[np.float64]]) -> bytes:
    row, col = divmod(number - 1, 12)
    west, north, step = col * 30 - 180, 90 - row * 30, 30 / CLIMATE_CELLS
    lat, lon = np.meshgrid(
        north - step * (np.arange(CLIMATE_CELLS) + 0.5), west + step * (np.arange(CLIMATE_CELLS) + 0.5), indexing="ij"
    )
    values = np.stack([months(lat, lon, month) for month in range(1, 13)]).astype(np.float32)
    return _geotiff(values, west, north, step, -3.4e38)


def _shaking() -> bytes:
    """Of the whole globe, in half degrees; nothing was worked out in the far north."""
    lat, lon = np.meshgrid(90 - 0.5 * (np.arange(360) + 0.5), -180 + 0.5 * (np.arange(720) + 0.5), indexing="ij")
    values = np.where(lat > 75, 0, 0.2 + 0.1 * np.sin(lon / 5))
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("GEM-GSHM/README.txt", "made")
        files.writestr("__MACOSX/GEM-GSHM/._v2023_1_pga_475_rock_3min.tif", "made")
        files.writestr(
            "GEM-GSHM/v2023_1_pga_475_rock_3min.tif", _geotiff(values[None].astype(np.float32), -180, 90, 0.5, None)
        )
    return whole.getvalue()


def _geotiff(values: NDArray[np.float32], west: float, north: float, step: float, nodata: float | None) -> bytes:
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": "float32", "crs": "EPSG:4326", "nodata": nodata}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", compress="deflate", transform=from_origin(west, north, step, step), **shape
        ) as file:
            file.write(values)
        return bytes(memory.read())
