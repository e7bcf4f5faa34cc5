"""Tiles, features, STAC and CAP as others fetch them: the unknown shows, and nothing that was not published does."""

import hashlib
import io
import json
import shutil
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from PIL import Image
from pyproj import Transformer
from pystac.validation import validate_dict
from sqlalchemy import text
from starlette.testclient import TestClient

from lswarn.db.engine import transaction
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import NEVER, UNKNOWN
from lswarn.web import kept, painting, tiles
from lswarn.web.painting import FIRST, GROUND, OUTSIDE, STRIPE, paint
from lswarn.web.rasters import MERCATOR

DAY = date(2015, 10, 2)
AHEAD, BEFORE, PRUNED = DAY + timedelta(1), DAY - timedelta(1), DAY - timedelta(9)
LON, LAT = -84.25, 36.275
HATCH = {bytes.fromhex(colour[1:]) + b"\xff" for colour in (painting.HATCH["ground"], painting.HATCH["stripe"])}


def at(lon: float, lat: float, z: int) -> str:
    tile = MERCATOR.tile(lon, lat, z)
    return f"{tile.z}/{tile.x}/{tile.y}"


def colours(png: bytes) -> set[bytes]:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).reshape(-1, 4)
    return {bytes(pixel) for pixel in np.unique(pixels, axis=0)}


def of_class(number: int) -> bytes:
    return bytes.fromhex(Class(number).colour[1:]) + b"\xff"


def critical_folder(home: Path, classes: Path) -> Path:
    """Critical layers on the cells of a class map: dry in the west, 50 mm, never, unknown in the east."""
    home.mkdir()
    files = {}
    with rasterio.open(classes) as source:
        profile = source.profile | {"dtype": "uint16", "nodata": UNKNOWN}
        values = np.repeat(np.array([0, 500, NEVER, UNKNOWN], np.uint16), source.width // 4)
    for name in ("high.tif", "very_high.tif"):
        with rasterio.open(home / name, "w", **profile) as file:
            file.write(np.broadcast_to(values, (profile["height"], profile["width"])), 1)
        files[name] = [(home / name).stat().st_size, hashlib.sha256((home / name).read_bytes()).hexdigest()]
    (home / "layers.json").write_text(json.dumps({"files": files}), "utf-8")
    return home


def rain_file(path: Path) -> None:
    """120 mm, on cells of 0.1°, but for one in the north-west that is unknown."""
    cells = np.full((5, 5), 120.0, np.float32)
    cells[1, 1] = np.nan
    profile = {"driver": "GTiff", "height": 5, "width": 5, "count": 1, "crs": 4326, "nodata": np.nan}
    transform = Affine(0.1, 0, LON - 0.25, 0, -0.1, LAT + 0.25)
    with rasterio.open(path, "w", dtype="float32", transform=transform, **profile) as file:
        file.write(cells, 1)


@pytest.fixture
def client(face: Any, tmp_path: Path) -> Iterator[TestClient]:
    """A server of the small world whose runs name copies of their rasters, which a test may spoil."""
    with transaction(face.engine) as conn:
        before = conn.execute(text("SELECT id, rasters FROM lswarn.run")).all()
        for run in before:
            classes = Path(run.rasters["classes"]["path"])
            copies = {name: tmp_path / f"{run.id}-{name}.tif" for name in ("classes", "rain")}
            shutil.copy(
                classes if classes.is_file() else Path(before[-1].rasters["classes"]["path"]), copies["classes"]
            )
            rain_file(copies["rain"])
            rasters = {
                name: {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
                for name, path in copies.items()
            }
            layers = tmp_path / "critical"
            if not layers.exists():
                critical_folder(layers, copies["classes"])
            rasters["layers"] = {"path": str(layers)}
            told = {"id": run.id, "rasters": json.dumps(rasters)}
            conn.execute(text("UPDATE lswarn.run SET rasters = CAST(:rasters AS jsonb) WHERE id = :id"), told)
    tiles._standing = kept.Recent(0.0)
    tiles._made = kept.Kept(2**20)
    yield face.client()
    with transaction(face.engine) as conn:
        for run in before:
            told = {"id": run.id, "rasters": json.dumps(run.rasters)}
            conn.execute(text("UPDATE lswarn.run SET rasters = CAST(:rasters AS jsonb) WHERE id = :id"), told)


def path_of(face: Any, day: date, name: str = "classes") -> Path:
    with transaction(face.engine) as conn:
        query = text("SELECT rasters -> :name ->> 'path' FROM lswarn.run WHERE valid_day = :day AND kind = 'observed'")
        return Path(conn.execute(query, {"name": name, "day": day}).scalar_one())


# Pictures


def test_a_picture_shows_the_classes_as_they_are(client: TestClient) -> None:
    # The middle of the class map: the long zone of class 5, and class 2 around it.
    found = client.get(f"/tiles/testland/{DAY}/classes/{at(LON, LAT, 14)}.png")
    assert found.status_code == 200
    assert found.headers["content-type"] == "image/png"
    assert {of_class(5), of_class(2)} <= colours(found.content) <= {of_class(each) for each in (2, 4, 5)}


def test_what_is_unknown_is_hatched_and_outside_the_region_is_nothing(client: TestClient) -> None:
    url = f"/tiles/testland/{DAY}/classes"
    # In the region, but off the map of that day.
    assert colours(client.get(f"{url}/{at(-84.38, 36.38, 14)}.png").content) == HATCH
    assert colours(client.get(f"{url}/{at(-80, 36, 14)}.png").content) == {b"\x00\x00\x00\x00"}
    whole = colours(client.get(f"{url}/{at(LON, LAT, 9)}.png").content)
    assert whole >= HATCH | {b"\x00\x00\x00\x00", of_class(2)}
    # A corner of the map has no class.
    to_degrees = Transformer.from_crs(32616, 4326, always_xy=True)
    x, y = Transformer.from_crs(4326, 32616, always_xy=True).transform(LON, LAT)
    corner = at(*to_degrees.transform(x + 3500, y - 1500), 16)
    assert colours(client.get(f"{url}/{corner}.png").content) == HATCH


@pytest.mark.parametrize("layer", ["classes", "rain", "critical-high", "critical-very-high"])
def test_a_day_that_nobody_worked_out_is_hatched_and_not_kept(client: TestClient, layer: str) -> None:
    found = client.get(f"/tiles/testland/2015-12-24/{layer}/{at(LON, LAT, 12)}.png")
    assert found.status_code == 200
    assert colours(found.content) == HATCH
    assert found.headers["cache-control"] == "no-store"
    assert "nothing is published" in found.headers["x-lswarn-unknown"]
    assert "etag" not in found.headers


def test_rain_and_critical_rainfall_have_colours_of_their_steps(client: TestClient) -> None:
    rain = client.get(f"/tiles/testland/{DAY}/rain/{at(LON, LAT, 14)}.png")
    (step,) = [step for step in painting.STEPS["rain"] if step.least == 100]
    assert colours(rain.content) == {bytes.fromhex(step.colour[1:]) + b"\xff"}
    assert colours(client.get(f"/tiles/testland/{DAY}/rain/{at(-84.35, 36.375, 14)}.png").content) == HATCH
    found = colours(client.get(f"/tiles/testland/{DAY}/critical-high/{at(LON, LAT, 11)}.png").content)
    by_key = {
        step.key or step.least: bytes.fromhex(step.colour[1:]) + b"\xff" for step in painting.STEPS["critical-high"]
    }
    assert {by_key["dry"], by_key[50], by_key["never"]} <= found
    assert found >= HATCH
    legend = client.get("/tiles/legend.json").json()
    assert [step["label"] for step in legend["layers"]["classes"]["steps"]][-1] == "very high"
    assert legend["unknown"]["label"] == "unknown"


def test_a_picture_is_sent_once_and_with_its_version_kept_for_ever(client: TestClient) -> None:
    url = f"/tiles/testland/newest/classes/{at(LON, LAT, 13)}.png"
    first = client.get(url)
    assert "max-age=30" in first.headers["cache-control"]
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    told = client.get("/tiles/testland/newest/classes.json").json()
    version = told["tiles"][0].split("?v=")[1]
    assert f'"{version}"' == first.headers["etag"]
    assert "immutable" in client.get(url, params={"v": version}).headers["cache-control"]
    assert "immutable" not in client.get(url, params={"v": "0" * 20}).headers["cache-control"]
    assert told["run"]["day"] == str(DAY)
    kept_for = client.get(url, params={"run": told["run"]["run_id"]}).headers["cache-control"]
    assert kept_for == "public, max-age=3600"
    assert "max-age=30," in client.get(url, params={"run": 999}).headers["cache-control"]
    # Another day is another picture, and the newest is that of its day.
    assert client.get(url.replace("newest", str(DAY))).headers["etag"] == first.headers["etag"]
    assert client.get(url.replace("newest", str(BEFORE))).headers["etag"] != first.headers["etag"]


def test_a_raster_that_is_not_what_was_published_is_hatched(client: TestClient, face: Any) -> None:
    path, url = path_of(face, DAY), f"/tiles/testland/{DAY}/classes/{at(LON, LAT, 14)}.png"
    published = path.read_bytes()
    with rasterio.open(path, "r+") as file:
        file.write(np.ones((file.height, file.width), np.uint8), 1)  # all is safe, says somebody
    spoilt = client.get(url)
    assert colours(spoilt.content) == HATCH
    assert spoilt.headers["cache-control"] == "no-store"
    assert str(path) not in str(spoilt.headers)
    path.write_bytes(published[: len(published) // 2])
    assert colours(client.get(url).content) == HATCH
    path.unlink()
    assert colours(client.get(url).content) == HATCH
    path.write_bytes(published)
    assert of_class(5) in colours(client.get(url).content)


def test_a_raster_that_is_replaced_while_it_is_read_is_read_again(client: TestClient, face: Any) -> None:
    path, done = path_of(face, DAY), threading.Event()
    published = path.read_bytes()

    def replace() -> None:
        while not done.is_set():
            fresh = path.with_suffix(".fresh")
            fresh.write_bytes(published)
            fresh.replace(path)
            done.wait(0.005)

    rival = threading.Thread(target=replace)
    rival.start()
    try:
        middle = MERCATOR.tile(LON, LAT, 15)
        for step in range(12):
            found = client.get(
                f"/tiles/testland/{DAY}/classes/15/{middle.x + step % 4 - 2}/{middle.y + step // 4 - 1}.png"
            )
            assert found.status_code == 200
            # Either what was published, or openly unknown; never a mixture.
            assert "x-lswarn-unknown" in found.headers or colours(found.content) <= {of_class(n) for n in (2, 4, 5)}
    finally:
        done.set()
        rival.join()


@given(st.lists(st.sampled_from([0, 1, 5, 249, 250, 3999, 4000, 60000, NEVER, UNKNOWN]), min_size=1, max_size=8))
def test_only_the_unknown_is_hatched(tenths: list[int]) -> None:
    values = np.resize(np.array(tenths, np.uint16), (256, 256))
    known = np.ones((256, 256), bool)
    numbers = paint("critical-high", values, known)
    hatched = (numbers == GROUND) | (numbers == STRIPE)
    assert (hatched == (values == UNKNOWN)).all()
    assert (numbers != OUTSIDE).all()
    assert numbers.max(initial=0) < FIRST + len(painting.STEPS["critical-high"])
    order = np.argsort(values[~hatched], kind="stable")
    assert (np.diff(numbers[~hatched][order].astype(int)) >= 0).all()
    assert np.isin(paint("rain", np.full((256, 256), np.nan, np.float32), known), (GROUND, STRIPE)).all()
    assert np.isin(paint("classes", np.full((256, 256), 5, np.uint8), ~known), (GROUND, STRIPE)).all()


# Vectors


def read(tmp_path: Path, tile: bytes, z: int, x: int = 0, y: int = 0) -> Any:
    path = tmp_path / "tile.pbf"
    path.write_bytes(tile)
    return pyogrio.read_dataframe(path, X=x, Y=y, Z=z, CLIP="NO")


@pytest.mark.parametrize("z", [0, 5, 9, 11])
def test_no_zone_is_too_small_for_the_map(client: TestClient, tmp_path: Path, z: int) -> None:
    place = at(LON, LAT, z)
    _, x, y = map(int, place.split("/"))
    found = client.get(f"/tiles/testland/{DAY}/zones/{place}.pbf")
    assert found.status_code == 200
    zones = read(tmp_path, found.content, z, x, y)
    assert zones["count"].sum() == 5
    assert set(zones["class"]) == {4, 5}
    assert zones["probability_max"].max() == pytest.approx(0.84)
    middle = zones.to_crs(4326).geometry.union_all().centroid
    assert (middle.x, middle.y) == pytest.approx((LON, LAT), abs=max(0.05, 360 / 2**z / 128))
    if z == 0:
        assert set(zones.geom_type) == {"Point"}


def test_what_is_hit_and_what_is_there(client: TestClient, tmp_path: Path) -> None:
    place = at(LON, LAT, 10)
    found = {
        layer: read(tmp_path, client.get(f"/tiles/testland/{DAY}/{layer}/{place}.pbf").content, 10)
        for layer in ("exposed_roads", "exposed_settlements", "roads", "settlements")
    }
    assert set(found["exposed_roads"]["name"]) == {"Long Road"}
    assert found["exposed_roads"]["length_m"].sum() == pytest.approx(1000, rel=0.02)
    assert set(found["exposed_settlements"]["name"]) == {"Town", "Hamlet"}
    hamlet = found["exposed_settlements"].set_index("name").loc["Hamlet"]
    assert np.isnan(hamlet["people"])
    assert len(found["roads"]) == 2
    assert set(found["settlements"]["name"]) == {"Town", "Hamlet"}


def test_areas_stand_as_was_said_of_their_day(client: TestClient, tmp_path: Path) -> None:
    def states(day: object) -> dict[str, tuple[str, int]]:
        areas = read(tmp_path, client.get(f"/tiles/testland/{day}/areas/{at(LON, LAT, 9)}.pbf").content, 9)
        return {row.area_id: (row.state, row.level) for row in areas.itertuples()}

    assert states("newest")["west"] == ("open", 2)
    assert states("newest")["east"][0] == "unknown"
    assert states(BEFORE)["west"] == ("unknown", 0)
    assert states(AHEAD)["west"] == ("open", 2)
    first = client.get(f"/tiles/testland/newest/areas/{at(LON, LAT, 9)}.pbf")
    again = client.get(
        f"/tiles/testland/newest/areas/{at(LON, LAT, 9)}.pbf", headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304


def test_an_empty_vector_tile_is_never_sent_for_what_nobody_knows(client: TestClient) -> None:
    place = at(LON, LAT, 10)
    for layer in ("zones", "exposed_roads", "exposed_settlements", "areas"):
        missing = client.get(f"/tiles/testland/2015-12-24/{layer}/{place}.pbf")
        assert missing.status_code == 404
        assert "nothing is known" in missing.json()["detail"]
    assert client.get(f"/tiles/testland/{PRUNED}/zones/{place}.pbf").status_code == 410
    assert client.get(f"/tiles/testland/{DAY}/zones/{at(10, 40, 10)}.pbf").content == b""


BAD = [
    ("/tiles/nowhere/newest/classes/1/0/0.png", 404),
    ("/tiles/testland/2015-13-40/classes/1/0/0.png", 404),
    ("/tiles/testland/yesterday/classes/1/0/0.png", 422),
    ("/tiles/testland/newest/slope/1/0/0.png", 422),
    ("/tiles/testland/newest/zones/1/0/0.png", 422),
    ("/tiles/testland/newest/classes/1/2/0.png", 404),
    ("/tiles/testland/newest/classes/99/0/0.png", 422),
    ("/tiles/testland/newest/classes/1/-1/0.png", 422),
    ("/tiles/testland/newest/zones/1/0/x.pbf", 422),
    ("/tiles/test'land;--/newest/zones/1/0/0.pbf", 422),
    ("/tiles/testland%00/newest/zones/1/0/0.pbf", 422),
    ("/tiles/<script>/newest/classes/1/0/0.png", 422),
    ("/stac/nowhere", 404),
    ("/stac/testland/999999", 404),
    ("/stac/testland/0", 422),
    ("/stac/testland/1/layers.tif", 422),
    ("/cap/nowhere/feed.atom", 404),
    ("/cap/testland/' OR 1=1--.xml", 422),
    ("/cap/testland/none.xml", 404),
    ("/ogc/collections/lswarn.api_token/items", 404),
    ("/ogc/collections/lswarn.subscriber/items", 404),
    ("/ogc/collections/pg_catalog.pg_authid/items", 404),
    ("/ogc/collections/lswarn.road/items?filter=pg_read_file('/etc/passwd')='x'", 422),
    ("/ogc/collections/lswarn.road/items?filter=name=lo_import('x')", 422),
    ("/ogc/collections/lswarn.road/items?filter=((", 422),
    ("/ogc/collections/lswarn.road/items?bbox=1,2,three,4", 422),
    ("/ogc/collections/lswarn.road/items?sortby=id;drop", 404),
    ("/ogc/collections/lswarn.road/items?limit=1000000", 422),
]


@pytest.mark.parametrize(("url", "status"), BAD)
def test_what_cannot_be_answered_is_refused_with_a_reason(client: TestClient, url: str, status: int) -> None:
    found = client.get(url)
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["detail"]


# OGC, STAC, CAP


def test_features_are_offered_to_read(client: TestClient, face: Any) -> None:
    landing = client.get("/ogc/").json()
    assert all("/ogc/" in link["href"] for link in landing["links"])
    offered = {each["id"] for each in client.get("/ogc/collections").json()["collections"]}
    assert {"lswarn.current_zone", "lswarn.exposed_road_now", "lswarn.area_state"} <= offered
    assert not {each for each in offered if "message" in each or "token" in each or "subscriber" in each}
    url = "/ogc/collections/lswarn.current_zone/items"
    found = client.get(url, params={"filter": "class = 5", "bbox": "-180,-90,180,90", "limit": 2})
    assert found.json()["numberMatched"] == 4
    assert found.json()["numberReturned"] == 2
    assert (
        client.get(url, params={"filter": "S_INTERSECTS(geometry, POINT(-84.25 36.275))"}).json()["numberMatched"] == 1
    )
    assert client.get(url, params={"name": "x' OR '1'='1"}).status_code == 200
    again = client.get(url, headers={"If-None-Match": client.get(url).headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    closed = face.client(web_read="token")
    assert closed.get(url).status_code == 401
    assert closed.get("/ogc/").status_code == 401
    assert closed.get(url, headers=face.bearer("read")).status_code == 200


def test_a_run_is_an_item_of_stac_with_its_rasters(client: TestClient, face: Any) -> None:
    catalogue = client.get("/stac").json()
    validate_dict(catalogue)
    collection = client.get("/stac/testland").json()
    validate_dict(collection)
    days = [link["title"] for link in collection["links"] if link["rel"] == "item"]
    assert days[0] == f"{AHEAD} outlook"
    href = next(link["href"] for link in collection["links"] if link.get("title") == f"{DAY} observed")
    found = client.get(href)
    told = found.json()
    # The extensions' schemas lie on the network.
    validate_dict(told | {"stac_extensions": []})
    assert told["properties"]["lswarn:status"] == "complete"
    assert told["properties"]["lswarn:grade"] == "A"
    assert client.get(href, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    asset = told["assets"]["classes"]
    raster = client.get(asset["href"])
    assert raster.content == path_of(face, DAY).read_bytes()
    assert asset["file:checksum"] == "1220" + hashlib.sha256(raster.content).hexdigest()
    part = client.get(asset["href"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, raster.content[:4])
    path_of(face, DAY).write_bytes(b"II*\x00")
    spoilt = client.get(asset["href"])
    assert spoilt.status_code == 404
    assert str(path_of(face, DAY)) not in spoilt.text
    assert client.get(asset["href"].replace("classes", "probability")).status_code == 404


def test_cap_documents_are_listed_and_given_as_they_were_signed(client: TestClient, face: Any) -> None:
    empty = client.get("/cap/testland/feed.atom")
    assert empty.headers["content-type"] == "application/atom+xml"
    assert b"no all-clear" in empty.content
    xml = b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"> signed, blank for blank </alert>'
    facts = {"id": face.released, "xml": xml, "identifier": "urn:oid:2.49.0/1"}
    with transaction(face.engine) as conn:
        conn.execute(
            text("""UPDATE lswarn.alert_message SET cap = :xml, cap_identifier = :identifier, cap_sent = 'x',
                    cap_expires_at = '2015-10-04T00:00Z', released_at = '2015-10-03T15:30Z' WHERE id = :id"""),
            facts,
        )
    try:
        feed = client.get("/cap/testland/feed.atom")
        root = etree.fromstring(feed.content)
        (link,) = root.findall("{*}entry/{*}link")
        given_ = client.get(f"/cap/testland/{link.get('href')}")
        assert given_.content == xml
        assert given_.headers["content-type"] == "application/cap+xml"
        assert "immutable" in given_.headers["cache-control"]
        assert client.get("/cap/testland/feed.atom", headers={"If-None-Match": feed.headers["etag"]}).status_code == 304
        assert client.get(f"/cap/otherland/{link.get('href')}").status_code == 404
    finally:
        with transaction(face.engine) as conn:
            conn.execute(
                text("""UPDATE lswarn.alert_message SET cap = NULL, cap_identifier = NULL, cap_sent = NULL,
                        cap_expires_at = NULL WHERE id = :id"""),
                facts,
            )
