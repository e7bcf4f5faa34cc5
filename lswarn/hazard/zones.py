"""Zones: connected cells of one warned class as polygons, not cut where blocks meet.

Each block is vectorised by itself, so memory follows the block. Pieces that lie along a block's edge may belong
together; only those are joined. Cells are connected by sides (4-connectivity), in a block and across its edges alike.
Outlines stay in whole cell corners until the last step: the zones are the same, to the last bit, however the region is
cut into blocks. `outlines` goes around the pieces, `seams` joins them.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from lswarn.errors import NotPrimed
from lswarn.grid import Block, Grid
from lswarn.hazard.outlines import LEAST, ONE, Ints, Longs, Rings, Tally, find_runs, number_pieces, trace, unite_pairs
from lswarn.hazard.seams import mend, tidy

COLUMNS = ("class", "area_m2", "probability_mean", "probability_max")


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of the warned classes within one block. Arrays only: small to send, quick to keep.

    Attributes:
        block: where they are.
        tally: class, cells and probability of each piece [n].
        rings: their outlines, in (row, col) of the grid's cell corners. A piece has one shell, and any number of holes.
        sides: which piece lies along the northern, southern, western and eastern edge, cell by cell [2 w + 2 h]; -1
            where none does.
    """

    block: Block
    tally: Tally
    rings: Rings
    sides: Ints

    def __len__(self) -> int:
        return len(self.tally.classes)


def least_cells(grid: Grid, min_zone_m2: float) -> int:
    """How many cells a zone has at least."""
    return max(1, math.ceil(min_zone_m2 / grid.cell_m2 - 1e-9))


def block_pieces(
    classes: NDArray[np.uint8], probability: NDArray[np.float32], block: Block, min_cells: int = 1
) -> Pieces:
    """Connected pieces of the warned classes within one block.

    Args:
        classes: `Class` values [h, w].
        probability: 0..1 [h, w]; looked at only where the class is warned.
        block: where in the grid.
        min_cells: smaller pieces that lie along no edge of the block are left out; see `least_cells`.

    Raises:
        ValueError: the probability of a warned cell is not known, or the block is of another shape.
    """
    if classes.shape != block.shape or probability.shape != block.shape:
        raise ValueError(f"{block}: classes are {classes.shape}, their probability {probability.shape}")
    runs = find_runs(np.ascontiguousarray(classes, np.uint8), np.ascontiguousarray(probability, np.float32))
    piece = number_pieces(runs)
    tally = runs.tally.by(piece)
    sides = np.full(2 * sum(block.shape), -1, np.int32)
    north, south, west, east = np.split(sides, np.cumsum([block.width, block.width, block.height]))
    top, bottom = slice(0, runs.starts[1]), slice(runs.starts[-2], None)
    north[classes[0] >= LEAST] = np.repeat(piece[top], runs.tally.cells[top])
    south[classes[-1] >= LEAST] = np.repeat(piece[bottom], runs.tally.cells[bottom])
    west[runs.row[runs.begin == 0]] = piece[runs.begin == 0]
    east[runs.row[runs.end == block.width]] = piece[runs.end == block.width]

    keep, number = _worth(tally, sides, min_cells)
    rings = trace(runs, number[piece])
    rings.vertices[:] += np.array([block.row, block.col], np.int32)
    return Pieces(block, tally.chosen(keep), rings, number[sides])


def join_pieces(pieces: Iterable[Pieces], grid: Grid, min_zone_m2: float, simplify_m: float = 0.0) -> gpd.GeoDataFrame:
    """Zones of the whole grid from the pieces of its blocks.

    Args:
        pieces: what `block_pieces` found in each block, in any order; the blocks lie side by side. Where a block is
            left out, nothing is warned of.
        grid: the region's cells.
        min_zone_m2: smaller zones are left out.
        simplify_m: corners of outlines are left out that make up less than about the square of this; zones that
            touched still do, without gap or overlap. 0 = none. `area_m2` is that of the cells either way.

    Returns:
        GeoDataFrame in EPSG:4326 with `COLUMNS` and geometry (valid Polygon), from north to south, then west to east.
        Shells go against the clock.
    """
    least = least_cells(grid, min_zone_m2)
    found = [each for each in (_without_small(each, least) for each in pieces) if len(each)]
    found.sort(key=lambda each: (each.block.row, each.block.col))
    tally = Tally.together([each.tally for each in found])
    rings = Rings.together([each.rings for each in found], [len(each) for each in found])
    stride = grid.width + 1  # a corner's place in the grid is row * stride + col
    pairs, seams = _meetings(found, tally.classes, stride)
    zone = unite_pairs(len(tally.classes), *pairs)
    parts, tally = np.bincount(zone), tally.by(zone)

    frame = _frames(found)[rings.of]
    rings = Rings(rings.vertices, rings.starts, zone[rings.of])
    large = tally.cells[rings.of] >= least
    torn = large & (parts[rings.of] > 1)
    mended = mend(rings.chosen(torn), frame[torn], seams, stride)
    rings = Rings.together([rings.chosen(large & ~torn), mended])
    rings, zones = tidy(rings, tally.classes)
    tally = tally.chosen(zones)
    return gpd.GeoDataFrame(
        {
            "class": tally.classes.astype(np.int64),
            "area_m2": tally.cells * grid.cell_m2,
            "probability_mean": tally.sums / ONE / tally.cells,
            "probability_max": tally.peaks.astype(np.float64),
        },
        geometry=_polygons(rings, grid, simplify_m),
        crs="EPSG:4326",
    )


def save_pieces(path: Path, pieces: Sequence[Pieces]) -> None:
    """Keep the pieces of many blocks in one file: the same pieces, the same bytes."""
    blocks = [(each.block.row, each.block.col, each.block.height, each.block.width) for each in pieces]
    tally = Tally.together([each.tally for each in pieces])
    rings = Rings.together([each.rings for each in pieces], [len(each) for each in pieces])
    draft = path.with_name(f".{path.name}.part")
    with draft.open("wb") as file:
        np.savez_compressed(
            file,
            blocks=np.array(blocks, np.int64).reshape(-1, 4),
            counts=np.array([(len(each), len(each.rings.of)) for each in pieces], np.int64).reshape(-1, 2),
            sides=np.concatenate([np.empty(0, np.int32), *(each.sides for each in pieces)]),
            **{f"tally_{name}": values for name, values in vars(tally).items()},
            **{f"rings_{name}": values for name, values in vars(rings).items()},
        )
    draft.replace(path)


def load_pieces(path: Path) -> list[Pieces]:
    """Read back what `save_pieces` kept.

    Raises:
        NotPrimed: there is no such file, or it was cut or edited.
    """
    try:
        with np.load(path) as kept:
            values = {name: kept[name] for name in kept.files}
        return list(_apart(values))
    except (OSError, EOFError, KeyError, ValueError, IndexError, BadZipFile, zlib.error) as error:
        raise NotPrimed(f"{path}: not the pieces that priming kept ({error}); run `lswarn prime`") from error


def _apart(values: dict[str, NDArray]) -> Iterator[Pieces]:
    tally = Tally(*(values[f"tally_{name}"] for name in Tally.__dataclass_fields__))
    rings = Rings(*(values[f"rings_{name}"] for name in Rings.__dataclass_fields__))
    piece = ring = side = 0
    for (row, col, height, width), (count, ring_count) in zip(values["blocks"], values["counts"], strict=True):
        block = Block(int(row), int(col), int(height), int(width))
        mine = slice(piece, piece + count)
        starts = rings.starts[ring : ring + ring_count + 1]
        outlines = Rings(
            rings.vertices[starts[0] : starts[-1]], starts - starts[0], rings.of[ring : ring + ring_count] - piece
        )
        length = 2 * (block.height + block.width)
        yield Pieces(block, tally.chosen(mine), outlines, values["sides"][side : side + length])
        piece, ring, side = piece + count, ring + ring_count, side + length


def _worth(tally: Tally, sides: Ints, min_cells: int) -> tuple[NDArray[np.bool_], Ints]:
    """Which pieces may be of a large enough zone [n], and their new numbers [n + 1]: -1 for others, and for none."""
    keep = tally.cells >= min_cells
    keep[sides[sides >= 0]] = True
    return keep, np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)


def _without_small(pieces: Pieces, min_cells: int) -> Pieces:
    keep, number = _worth(pieces.tally, pieces.sides, min_cells)
    if keep.all():
        return pieces
    rings = pieces.rings.chosen(keep[pieces.rings.of])
    rings = Rings(rings.vertices, rings.starts, number[rings.of])
    return Pieces(pieces.block, pieces.tally.chosen(keep), rings, number[pieces.sides])


def _frames(found: Sequence[Pieces]) -> Ints:
    """Of each piece, its block's first row and column, and those behind its last [n, 4]."""
    blocks = [each.block for each in found]
    frames = [(block.row, block.col, block.row + block.height, block.col + block.width) for block in blocks]
    return np.repeat(np.array(frames, np.int32).reshape(-1, 4), [len(each) for each in found], axis=0)


def _meetings(
    found: Sequence[Pieces], classes: NDArray[np.uint8], stride: int
) -> tuple[tuple[Longs, Longs], tuple[Longs, Longs]]:
    """Pieces of one class that meet at the edges of their blocks; and where, as `mend` wants it: level, upright.

    Args:
        classes: of all pieces, block by block.
    """
    sides: list[list[tuple[Longs, Longs]]] = [[], [], [], []]
    first = 0
    for each in found:
        block = each.block
        rows, cols = np.arange(block.height) + block.row, np.arange(block.width) + block.col
        places = (
            block.row * stride + cols,
            (block.row + block.height) * stride + cols,
            rows * stride + block.col,
            rows * stride + block.col + block.width,
        )
        parts = np.split(each.sides, np.cumsum([block.width, block.width, block.height]))
        for side, place, piece in zip(sides, places, parts, strict=True):
            side.append((place[piece >= 0], piece[piece >= 0].astype(np.int64) + first))
        first += len(each)
    north, south, west, east = (
        [np.concatenate([np.empty(0, np.int64), *(part[n] for part in side)]) for n in (0, 1)] for side in sides
    )
    met = []
    for one, other in ((south, north), (east, west)):
        place, at, beside = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
        pieces = one[1][at], other[1][beside]
        same = classes[pieces[0]] == classes[pieces[1]]
        met.append((pieces[0][same], pieces[1][same], place[same]))
    level, upright = met
    pairs = np.concatenate([level[0], upright[0]]), np.concatenate([level[1], upright[1]])
    return pairs, (level[2], upright[2])


def _polygons(rings: Rings, grid: Grid, simplify_m: float) -> NDArray[np.object_]:
    """Polygons in degrees of closed rings, shell before holes, polygon after polygon."""
    owners = np.concatenate([[0], np.cumsum(np.bincount(rings.of))]).astype(np.int64)
    vertices, starts = rings.vertices, rings.starts
    if simplify_m and len(rings.of):
        # Zones that touch must have the same corners where they do, or they would be simplified each for itself.
        vertices, starts = _every_corner(rings)
        whole = shapely.from_ragged_array(shapely.GeometryType.POLYGON, vertices.astype(np.float64), (starts, owners))
        simple = shapely.coverage_simplify(whole, simplify_m / grid.resolution_m)
        _, places, (starts, owners) = shapely.to_ragged_array(simple)
        vertices = np.rint(places).astype(np.int32)
    lon, lat = grid.corners_lonlat(vertices[:, 0], vertices[:, 1])
    return shapely.from_ragged_array(shapely.GeometryType.POLYGON, np.column_stack([lon, lat]), (starts, owners))


def _every_corner(rings: Rings) -> tuple[Ints, Longs]:
    """Vertices and starts of closed rings, with a vertex at every corner of a cell that they pass."""
    step = np.diff(rings.vertices, axis=0, append=rings.vertices[-1:])
    length = np.abs(step).sum(axis=1)
    length[rings.starts[1:] - 1] = 1  # what closes a ring is where it began
    begins = np.concatenate([[0], np.cumsum(length)])
    vertex = np.repeat(np.arange(len(length)), length)
    along = np.arange(begins[-1]) - begins[vertex]
    return rings.vertices[vertex] + along[:, None] * np.sign(step)[vertex], begins[rings.starts]
