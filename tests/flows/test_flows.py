"""Both flows against a real Prefect server."""

from datetime import timedelta

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.daily import daily
from flows.retrain import retrain


@pytest.fixture(scope="module", autouse=True)
def _server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def _environment(house, monkeypatch):
    settings = house.settings
    for name, value in {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "VAR_DIR": str(settings.var_dir),
        "REGION": str(house.world.region_toml),
        "SMTP_HOST": settings.smtp_host,
        "SMTP_PORT": str(settings.smtp_port),
        "WEBHOOK_SECRET": settings.webhook_secret.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"LSWARN_{name}", value)


def test_daily(house):
    day = house.world.days[6]
    house.rain.now = house.run_at(day)
    told = daily(day=day)
    assert f"demo {day}: rain grade D" in told
    assert house.hooks.received
    assert house.rows()["delivery"]
    assert "stood already" in daily(day=day)


def test_daily_waits_for_rain_that_is_not_due(house):
    tomorrow = house.world.days[0] + timedelta(days=4000)
    assert daily(day=tomorrow, return_state=True).is_failed()


def test_retrain(house):
    before = house.rows()
    told = retrain()
    assert "champion" in told
    assert house.rows() == before
