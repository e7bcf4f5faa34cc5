"""Zones: connected cells of one warned class as polygons, not cut where blocks meet.

Each block is vectorised by itself, so memory follows the block. Pieces that touch a block's edge may belong together;
only those are joined. Cells are connected by sides (4-connectivity), in a block and across its edges alike.
"""

from collections.abc import Iterable

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage

from lswarn.hazard.classes import WARNED

COLUMNS = ("class", "area_m2", "probability_mean", "probability_max")


def block_pieces(classes: NDArray[np.uint8], probability: NDArray[np.float32], transform: Affine) -> pd.DataFrame:
    """Connected pieces of the warned classes within one block.

    Args:
        classes: `Class` values [h, w].
        probability: 0..1 [h, w], known wherever the class is.
        transform: of the block, north up.

    Returns:
        One row a piece: class, cells, probability_sum, probability_max, on_edge (touches the block's edge), geometry.
    """
    found: list[dict[str, object]] = []
    for wanted in WARNED:
        labels, count = ndimage.label(classes == wanted)
        if count == 0:
            continue
        numbers = np.arange(1, count + 1)
        cells = np.bincount(labels.ravel(), minlength=count + 1)
        sums = ndimage.sum_labels(probability, labels, numbers)
        peaks = ndimage.maximum(probability, labels, numbers)
        edge = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]}
        for geometry, label in shapes(labels.astype(np.int32), mask=labels > 0, transform=transform):
            number = int(label)
            found.append(
                {
                    "class": int(wanted),
                    "cells": int(cells[number]),
                    "probability_sum": float(sums[number - 1]),
                    "probability_max": float(peaks[number - 1]),
                    "on_edge": number in edge,
                    "geometry": shapely.geometry.shape(geometry),
                }
            )
    return pd.DataFrame(found, columns=["class", "cells", "probability_sum", "probability_max", "on_edge", "geometry"])


def join_pieces(pieces: Iterable[pd.DataFrame], crs: str, cell_m2: float, min_zone_m2: float) -> gpd.GeoDataFrame:
    """Zones of the whole grid from the pieces of its blocks.

    Args:
        pieces: what `block_pieces` found in each block.
        crs: of the pieces' geometries, metric.
        cell_m2: area of a cell.
        min_zone_m2: smaller zones are left out.

    Returns:
        GeoDataFrame in EPSG:4326 with `COLUMNS` and geometry (valid Polygon), from north to south, then west to east.
    """
    found = [piece for piece in pieces if len(piece)]
    if not found:
        return gpd.GeoDataFrame({name: np.empty(0) for name in COLUMNS}, geometry=[], crs="EPSG:4326")
    rows = pd.concat(found, ignore_index=True)
    rows["zone"] = np.arange(len(rows))
    for wanted in WARNED:
        touching = rows.index[(rows["class"] == wanted) & rows["on_edge"]]
        rows.loc[touching, "zone"] = _joined(rows.loc[touching, "geometry"].to_numpy(), len(rows) * int(wanted))
    merged = rows.groupby("zone", sort=False).agg(
        {"class": "first", "cells": "sum", "probability_sum": "sum", "probability_max": "max"}
    )
    merged["geometry"] = rows.groupby("zone", sort=False)["geometry"].agg(_union)
    merged["area_m2"] = merged["cells"].astype(float) * cell_m2
    merged["probability_mean"] = merged["probability_sum"] / merged["cells"]
    merged = merged[merged["area_m2"] >= min_zone_m2]
    zones = gpd.GeoDataFrame(merged[[*COLUMNS, "geometry"]], geometry="geometry", crs=crs)
    bounds = zones.bounds
    zones = zones.iloc[np.lexsort((zones["class"], bounds["minx"], -bounds["maxy"]))].reset_index(drop=True)
    return zones.to_crs("EPSG:4326")


def _joined(geometries: NDArray[np.object_], first: int) -> NDArray[np.int64]:
    """Number of the joined polygon that each geometry is part of, counted from `first`."""
    whole = shapely.get_parts(shapely.union_all(geometries))
    part, of = shapely.STRtree(whole).query(shapely.point_on_surface(geometries), predicate="within")
    numbers = np.empty(len(geometries), dtype=np.int64)
    numbers[part] = of + first
    return numbers


def _union(geometries: pd.Series) -> shapely.Polygon:
    if len(geometries) == 1:
        return geometries.iloc[0]
    # simplify(0) takes out the vertices that only marked where blocks met.
    return shapely.simplify(shapely.union_all(geometries.to_numpy()), 0)
