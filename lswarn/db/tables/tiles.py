"""The class maps of the runs, in tiles."""

from geoalchemy2 import Raster
from sqlalchemy import ForeignKey, Integer, PrimaryKeyConstraint, Table, Text

from lswarn.db.tables.columns import check, column, metadata, of_run

class_tile = Table(
    "class_tile",
    metadata,
    column("sha256", Text, "Digest of its place and cells"),
    column(
        "rast",
        Raster(spatial_index=False),
        "Susceptibility of each cell: 0 unknown (no nodata), 1 very low, 2 low, 3 moderate, 4 high, 5 very high;"
        " in the region's metric CRS",
    ),
    PrimaryKeyConstraint("sha256"),
    comment="Pieces of class maps; one that stays the same from day to day is stored once",
)

run_tile = Table(
    "run_tile",
    metadata,
    of_run(),
    column("tile_row", Integer, "Row of tiles, from 0 in the north"),
    column("tile_col", Integer, "Column of tiles, from 0 in the west"),
    column("sha256", Text, "Which tile", ForeignKey("class_tile.sha256"), index=True),
    PrimaryKeyConstraint("run_id", "tile_row", "tile_col"),
    check("place", "tile_row >= 0 AND tile_col >= 0"),
    comment="Which tiles make up the class map of a run",
)
