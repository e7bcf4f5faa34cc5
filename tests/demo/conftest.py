from pathlib import Path

import pytest

from lswarn.demo.places import Addresses
from lswarn.demo.world import World, make_world

COARSE_M = 180.0


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The demo world in coarse cells: quick to make, and read by all tests here."""
    folder: Path = tmp_path_factory.mktemp("demo") / "world"
    rain = Addresses(*(f"http://127.0.0.1:{port}" for port in (1, 2, 3)))
    return make_world(folder, rain=rain, webhook_url="http://127.0.0.1:4/hook", resolution_m=COARSE_M)
