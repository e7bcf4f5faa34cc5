"""A small region, and archived days of rain; the providers' servers are `lswarn.demo.replicas`."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lswarn.rain import download
from lswarn.rain.fetch import fetch_day
from lswarn.rain.window import RainDay
from lswarn.sections import RainSource
from lswarn.settings import Settings

LONS = np.round(np.arange(-84.95, -83.5, 0.1), 2)  # 15 columns
LATS = np.round(np.arange(35.85, 37.0, 0.1), 2)  # 12 rows


@pytest.fixture
def bbox() -> tuple[float, float, float, float]:
    """Cells -84.45 … -84.05 (5 columns) and 36.15 … 36.35 (3 rows)."""
    return -84.41, 36.16, -84.07, 36.34


@pytest.fixture(scope="session")
def made_rain() -> xr.DataArray:
    """10 * row + column mm, on cells of IMERG around the region."""
    values = 10.0 * np.arange(len(LATS))[:, None] + np.arange(len(LONS))
    return xr.DataArray(values, {"lat": LATS, "lon": LONS}, ("lat", "lon"))


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
            "published_at": datetime(2026, 1, 31, 14, 40, tzinfo=UTC),
            "fetched_at": datetime(2026, 1, 31, 15, 30, tzinfo=UTC),
        }
        return RainDay(**known | given)

    return make


@pytest.fixture
def pull(
    bbox: tuple[float, float, float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RainDay | None]:
    """`fetch_day` of 2026-01-31 as seen a day later, without pauses between tries and without anybody's netrc."""
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 4)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))

    def pull(
        at: object,
        *,
        product: str = "IMERG-Late",
        day: date = date(2026, 1, 31),
        now: datetime = datetime(2026, 2, 1, 15, 30, tzinfo=UTC),
        box: tuple[float, float, float, float] = bbox,
        timeout_s: float = 5.0,
        settings: Settings | None = None,
        known: RainDay | None = None,
        issue: date | None = None,
        **source: object,
    ) -> RainDay | None:
        asked = RainSource(product=product, at=str(at), **{"latency_h": 14.75} | source)
        settings = settings or Settings(timeout_s=timeout_s)
        return fetch_day(asked, day, box, now=now, settings=settings, issue=issue, known=known)

    return pull
