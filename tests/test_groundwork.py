"""What is wrong with region.toml, said before anything is built; the factors' own files are asked in tests/factors."""

import pytest

from lswarn import groundwork
from lswarn.region import Region


@pytest.fixture
def problems(make_region, monkeypatch):
    monkeypatch.setattr(groundwork, "check_files", lambda region, today: [])

    def problems(**rain) -> list[str]:
        facts = make_region().model_dump()
        return groundwork.check(Region.model_validate(facts | {"rain": facts["rain"] | rain}))

    return problems


def source(product, **entry):
    return {"product": product, "at": "/data/{year}", **entry}


def test_nothing_is_wrong(problems):
    assert problems() == []
    known = [source("IMERG-Late"), source("IMERG-Early-GIS"), source("GFS")]
    assert problems(sources=known, forecasts=[source("GFS"), source("ECMWF")]) == []


def test_everything_is_said_at_once(problems):
    told = problems(
        sources=[source("IMERG-Soon"), source("IMERG-Late", at="/data/{moon}")],
        forecasts=[source("CPC-Unified")],
        threshold={"file": "/nowhere/rc.tif", "source": "made"},
    )
    for word in ("'IMERG-Soon' is unknown", "'moon'", "CPC-Unified is no forecast", "/nowhere/rc.tif"):
        assert any(word in problem for problem in told), word


def test_products_that_do_not_measure_alike_need_a_quantile_map(problems):
    mixed = [source("IMERG-Late"), source("CHIRPS-prelim")]
    (told,) = problems(sources=mixed)
    assert "CHIRPS-prelim and IMERG-Late do not measure alike; give CHIRPS-prelim a quantile_map" in told
    assert problems(sources=[mixed[0], mixed[1] | {"quantile_map": "/data/chirps.nc"}]) == []
