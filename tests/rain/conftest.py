"""Made granules in the provider's layout, and a server with the provider's bad habits as switches."""

import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

import h5py
import numpy as np
import pytest
import xarray as xr

from lswarn.rain.window import RainDay

LONS = np.round(np.arange(-84.95, -83.5, 0.1), 2)  # 15 columns
LATS = np.round(np.arange(35.85, 37.0, 0.1), 2)  # 12 rows
FILL = np.float32(-9999.9)


@pytest.fixture
def bbox() -> tuple[float, float, float, float]:
    """Cells -84.45 … -84.05 (5 columns) and 36.15 … 36.35 (3 rows); with the margin 9 columns and 7 rows."""
    return -84.41, 36.16, -84.07, 36.34


@pytest.fixture(scope="session")
def make_granule() -> Callable[..., bytes]:
    def make(
        day: date,
        rain: np.ndarray | None = None,  # [lat, lon], mm; by default 100 * row + column
        *,
        variable: str = "precipitation",
        units: str | None = "mm/day",
        lons: np.ndarray = LONS,
        lats: np.ndarray = LATS,
        axes: tuple[str, ...] = ("time", "lon", "lat"),
        times: int = 1,
        fill: np.float32 | None = FILL,
        extra: dict[str, float] | None = None,
    ) -> bytes:
        if rain is None:
            rain = 100.0 * np.arange(len(lats))[:, None] + np.arange(len(lons))
        whole = xr.DataArray(np.where(np.isnan(rain), FILL, rain), dims=("lat", "lon")).expand_dims(time=times)
        file = io.BytesIO()
        with h5py.File(file, "w") as granule:
            coordinates = {
                "time": (day - date(1970, 1, 1)).days + np.arange(times, dtype="f8"),
                "lon": lons,
                "lat": lats,
            }
            for name, values in coordinates.items():
                scale = granule.create_dataset(name, data=values, dtype="f8" if name == "time" else "f4")
                scale.make_scale(name)
            granule["time"].attrs.update(
                {"units": np.bytes_("days since 1970-01-01 00:00:00Z"), "calendar": np.bytes_("julian")}
            )
            data = granule.create_dataset(
                variable, data=whole.transpose(*axes).values.astype("f4"), chunks=True, compression="gzip"
            )
            for dimension, name in zip(data.dims, axes, strict=True):
                dimension.attach_scale(granule[name])
            if units is not None:
                data.attrs["units"] = np.bytes_(units)
            if fill is not None:
                data.attrs["_FillValue"] = np.array([fill])
            data.attrs.update(extra or {})
            granule.create_group("NA")  # other programs leave such things behind
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def make_day() -> Callable[..., RainDay]:
    def make(day: date, rain: np.ndarray | float = 1.0, **given: object) -> RainDay:
        lats, lons = LATS[:3], LONS[:4]
        values = np.broadcast_to(np.asarray(rain, np.float32), (3, 4)).copy()
        known = {
            "day": day,
            "precipitation": xr.DataArray(values, {"lat": lats, "lon": lons}, ("lat", "lon"), "precipitation"),
            "product": "IMERG-Late",
            "version": "V07C",
            "uri": f"http://rain.example/{day}",
            "sha256": f"{day:%Y%m%d}".ljust(64, "0"),
            "fetched_at": datetime(2026, 1, 31, 15, 30, tzinfo=UTC),
        }
        return RainDay(**known | given)

    return make


@pytest.fixture(scope="session")
def granule(make_granule: Callable[..., bytes]) -> bytes:
    """Of 2026-01-31."""
    return make_granule(date(2026, 1, 31))


@dataclass
class Server:
    """Serves `files` by path, and a listing of every folder they are in.

    Attributes:
        quirks: what to do at the next requests of a path; each request uses up one. A status, `html`, `login`,
            `cut` (less than announced), `stub` (less, unannounced), `reset`, or `http…` (a redirect).
        seen: host, path and authorisation of every request.
        retry_after: header sent with 429 and 5xx.
        plain: listings as text instead of HTML.
    """

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    quirks: dict[str, list[str | int]] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    retry_after: str = "0"
    plain: bool = False

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def requests_of(self, path: str) -> int:
        return sum(asked == path for _, asked, _ in self.seen)

    def body(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        names = [PurePosixPath(file).name for file in self.files if f"{PurePosixPath(file).parent}/" == path]
        if not names:
            return None
        listed = [name for file in names for name in (file, f"{file}.xml", f"{file}.md5")]
        line = "{0}\n" if self.plain else '<tr><td><a href="{0}">{0}</a></td><td>29M</td></tr>\n'
        page = "".join(line.format(name) for name in listed)
        return (page if self.plain else f"<!DOCTYPE html><html><table>{page}</table></html>").encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Server = self.server.state  # type: ignore[attr-defined]
        server.seen.append((self.headers["Host"].split(":")[0], self.path, self.headers["Authorization"]))
        waiting = server.quirks.get(self.path, [])
        quirk = waiting.pop(0) if waiting else ""
        body = server.body(self.path)
        if quirk == "reset":
            # A linger of zero makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif isinstance(quirk, int):
            self.answer(quirk, b"", {"Retry-After": server.retry_after} if quirk == 429 or quirk >= 500 else {})
        elif quirk.startswith("http"):
            self.answer(302, b"", {"Location": quirk})
        elif quirk == "html":
            self.answer(200, b"<!DOCTYPE html><html><h1>Service is down for maintenance</h1></html>")
        elif quirk == "login":
            self.answer(200, b'<html><form action="/oauth"><input name="p" type="password"></form></html>')
        elif body is None:
            self.answer(404, b"not here")
        elif quirk == "stub":
            self.answer(200, body[: len(body) // 2])
        else:
            self.answer(200, body[: len(body) // 2] if quirk == "cut" else body, {"Content-Length": str(len(body))})
            self.close_connection = quirk == "cut"

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.state = Server(http.server_port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.state  # type: ignore[attr-defined]
        http.shutdown()
        thread.join()
