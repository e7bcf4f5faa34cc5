"""A small region, and a model whose critical rainfall is known in closed form: primed in a moment, without torch."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine

from lswarn.errors import NotEnoughMemory
from lswarn.grid import Block, Grid
from lswarn.hazard.critical import CriticalLayers
from lswarn.hazard.prime import prime
from lswarn.workers import Threads

GRID = Grid("EPSG:32616", Affine(30, 0, 732_360, 0, -30, 4_027_770), 530, 600)  # two tiles each way, cut at the edges


@dataclass(frozen=True)
class Hills:
    """Ten factors of waves and noise, made anew for any block; unknown in a corner, along a line, and outside."""

    grid: Grid = GRID
    digest: str = "hills"

    def read(self, block: Block) -> np.ndarray:
        rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width]
        noise = ((rows * 7919 + cols * 104_729) % 1009) / 1009
        values = (0.5 + 0.3 * np.sin(rows / 90) * np.cos(cols / 130) + 0.2 * noise).astype(np.float32)
        outside = (rows < 0) | (cols < 0) | (rows >= self.grid.height) | (cols >= self.grid.width)
        values[outside | ((rows < 40) & (cols < 70)) | (rows == 300)] = np.nan
        return np.repeat(values[None], 10, axis=0)


@dataclass(frozen=True)
class Steep:
    """Rain makes a cell the more probable the greater its factor; the greatest are LOW, and HIGH, without rain."""

    model_id: str = "steep"
    measure: str = "sum"
    breaks: tuple[float, float, float, float] = (0.1, 0.2, 0.4, 0.6)
    rain_max_mm: float = 400.0
    halo: int = 8
    rises: bool = True
    most_cells: int = 10**9  # of a block that fits its memory
    asked: list[int] = field(default_factory=list)

    def probability(self, factors: np.ndarray, rain: np.ndarray) -> np.ndarray:
        rain = np.minimum(rain, np.float32(self.rain_max_mm))
        without = np.select([factors[0] > 0.95, factors[0] > 0.8], [0.45, 0.15], 0.02)
        probability = without + 0.5 * factors[0] * rain / 400
        return np.where(np.isnan(rain), np.nan, probability).astype(np.float32)

    def prime(self, factors: np.ndarray) -> SimpleNamespace:
        size = factors.shape[1] * factors.shape[2]
        self.asked.append(size)
        if size > self.most_cells:
            raise NotEnoughMemory(f"{size} cells")
        dry, most = (self.probability(factors, np.float32(mm)) for mm in (0, 1e6))
        critical = []
        for wanted in np.array(self.breaks, np.float32):
            # In closed form to a tenth or two, then the least at which `probability` itself says so.
            tenths = np.ceil((wanted - dry) * 800 / factors[0] * 10).clip(2) - 2
            for _ in range(4):
                tenths += self.probability(factors, (tenths / 10).astype(np.float32)) < wanted
            critical.append(np.select([dry >= wanted, most >= wanted], [0, tenths / 10], np.inf))
        found = np.where(np.isnan(dry), np.nan, critical).astype(np.float32)
        return SimpleNamespace(critical_mm=found, probability_dry=dry, probability_most=most)


def primed(folder: Path, factors: object = None, model: object = None, **options: object) -> CriticalLayers:
    """The layers of the model on the hills."""
    told = {"workers": Threads(2), "on_progress": lambda done, total: None} | options
    return prime("hills", factors or Hills(), model or Steep(), folder, **told)


@pytest.fixture(scope="session")
def hills(tmp_path_factory) -> SimpleNamespace:
    """The made region, the model, how they are primed, and the layers that come of it (to be read only)."""
    folder = tmp_path_factory.mktemp("critical")
    return SimpleNamespace(
        grid=GRID,
        Hills=Hills,
        Steep=Steep,
        primed=primed,
        folder=folder,
        layers=primed(folder),
        home=Path(__file__).parent,
    )
