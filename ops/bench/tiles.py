"""How many tiles a second the web server gives: `python ops/bench/tiles.py REGION [DAY] [--tiles N]`.

Of an installation as LSWARN_* says it, whose database is up; `lswarn demo` leaves one. The server runs with two worker
processes on the loopback, and is asked over kept connections for the classes of a day at zooms 9 to 14: each tile for
the first time (nothing of it is made), again, and by a browser that has it (304). The peer is titiler as it comes, on
the same raster with the same colours, and in turns with ours, for other work on the machine slows both.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

from fastapi import FastAPI
from titiler.core.factory import TilerFactory

from lswarn.db.drawing import find_map_region
from lswarn.db.engine import open_database
from lswarn.db.reading import reading
from lswarn.db.shown import find_shown_run
from lswarn.hazard.classes import Class
from lswarn.settings import load_settings
from lswarn.web.rasters import MERCATOR

WORKERS, CLIENTS = 2, 8


def peer() -> FastAPI:
    """Titiler as it comes."""
    app = FastAPI()
    app.include_router(TilerFactory().router)
    return app


@contextmanager
def served(*command: str) -> Iterator[int]:
    """A server on a free port of the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"LSWARN_WEB_RATE": "10000000"}
    process = subprocess.Popen([*command, "--port", str(port), "--workers", str(WORKERS)], env=environment)
    try:
        for _ in range(120):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, paths: list[str], headers: list[dict[str, str]] | None = None) -> tuple[float, list[str], set[int]]:
    """Ask for everything once, over a few kept connections; seconds, ETags and statuses."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for number in range(len(paths)):
        waiting.put(number)
    tags, statuses = [""] * len(paths), set()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            connection.request("GET", paths[number], headers=headers[number] if headers else {})
            answer = connection.getresponse()
            answer.read()
            tags[number] = answer.getheader("etag", "")
            statuses.add(answer.status)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client) for _ in range(CLIENTS)]:
            done.result()
    return time.perf_counter() - begun, tags, statuses


def main() -> None:
    """Measure, and tell."""
    told = argparse.ArgumentParser()
    told.add_argument("region")
    told.add_argument("day", nargs="?", type=date.fromisoformat)
    told.add_argument("--tiles", type=int, default=600)
    asked = told.parse_args()
    with reading(open_database(load_settings())) as conn:
        area = find_map_region(conn, asked.region)
        run = find_shown_run(conn, asked.region, asked.day)
    if area is None or run is None:
        raise SystemExit("there is no such region, or nothing is published of that day")
    tiles = [tile for z in range(9, 15) for tile in MERCATOR.tiles(*area.box, [z])]
    tiles = tiles[:: max(1, len(tiles) // asked.tiles)][: asked.tiles]
    places = [f"{tile.z}/{tile.x}/{tile.y}" for tile in tiles]
    base = f"/tiles/{asked.region}/{run.valid_day}"
    colours = quote(json.dumps({int(each): each.colour for each in Class}))
    raster = quote(run.rasters["classes"]["path"])
    ours = [f"{base}/classes/{place}.png" for place in places]
    asks = f"url={raster}&colormap={colours}&tilesize=256&nodata=255"
    theirs = [f"/tiles/WebMercatorQuad/{place}.png?{asks}" for place in places]
    program = str(Path(sys.executable).parent / "lswarn")
    uvicorn = (sys.executable, "-m", "uvicorn", "tiles:peer", "--factory", "--app-dir", str(Path(__file__).parent))
    with served(program, "serve") as our_port, served(*uvicorn, "--log-level", "error") as their_port:
        ask(our_port, ours[:16])
        ask(their_port, theirs[:16])
        mine = yours = 0.0
        for part in range(0, len(places), 50):
            mine += ask(our_port, ours[part : part + 50])[0]
            seconds, _, statuses = ask(their_port, theirs[part : part + 50])
            yours += seconds
        again, tags, _ = ask(our_port, ours)
        same, _, same_statuses = ask(our_port, ours, [{"If-None-Match": tag} for tag in tags])
        zones, _, _ = ask(our_port, [f"{base}/zones/{place}.pbf" for place in places])
    count = len(places)
    print(f"{count} tiles of {asked.region}, {run.valid_day}; {WORKERS} processes, {CLIENTS} connections")
    print(f"  pictures, first time     {count / mine:7.0f} a second")
    print(f"  titiler as it comes      {count / yours:7.0f} a second {sorted(statuses)}   ratio {yours / mine:.2f}")
    print(f"  pictures, again          {count / again:7.0f} a second")
    print(f"  not changed (304)        {count / same:7.0f} a second {sorted(same_statuses)}")
    print(f"  zones, first time        {count / zones:7.0f} a second")


if __name__ == "__main__":
    main()
