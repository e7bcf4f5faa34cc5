import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely import Point, box

from lswarn.demo import places, storms, truth, world as world_module
from lswarn.demo.world import BBOX, CRS, STAMP, make_world, warning_areas
from lswarn.grid import Grid, sample
from lswarn.rain.thresholds import critical_rainfall
from lswarn.region import load_region

from .conftest import COARSE_M

URLS = {"rain_url": "http://127.0.0.1:1", "webhook_url": "http://127.0.0.1:2/hook"}


@pytest.fixture
def folder(world):
    return world.region_toml.parent
