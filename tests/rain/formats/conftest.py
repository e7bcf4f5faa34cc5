"""Rain that differs from cell to cell, and files of it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lswarn.rain.formats.part import Part

DAY = date(2026, 1, 31)


@pytest.fixture(scope="session")
def day() -> date:
    return DAY


@pytest.fixture(scope="session")
def make_rain() -> Callable[..., xr.DataArray]:
    """Rain on cells of a step, from a corner; row 3, column 4 is unknown and row 5, column 6 dry."""

    def make(step: float, south: float, west: float, rows: int = 40, cols: int = 50) -> xr.DataArray:
        mm = np.round(1 + 2.0 * np.arange(rows)[:, None] + 0.1 * np.arange(cols), 1)
        mm[3, 4], mm[5, 6] = np.nan, 0
        axes = {"lat": south + step * np.arange(rows), "lon": west + step * np.arange(cols)}
        return xr.DataArray(mm, {name: np.round(axis, 4) for name, axis in axes.items()}, ("lat", "lon"))

    return make


@pytest.fixture
def as_part(tmp_path: Path) -> Callable[[str, bytes], Part]:
    def write(name: str, data: bytes) -> Part:
        (tmp_path / name).write_bytes(data)
        return Part(name, tmp_path / name, f"https://rain.example/{name}")

    return write


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    """Whether what was read is what was written, cell by cell by its coordinates, NaN where NaN."""

    def check(read: xr.DataArray, written: xr.DataArray, within_mm: float = 1e-3) -> None:
        assert read.dims == ("lat", "lon")
        assert read.dtype == np.float32
        assert read.attrs["units"] == "mm/day"
        assert (np.diff(read["lat"]) > 0).all()
        assert (np.diff(read["lon"]) > 0).all()
        one, other = xr.align(read, written, join="inner")
        assert one.size == written.size, f"only {one.shape} cells of {written.shape} came"
        np.testing.assert_allclose(one, other, rtol=0, atol=within_mm)

    return check
