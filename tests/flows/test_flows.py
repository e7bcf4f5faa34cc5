"""Both flows against a real Prefect server."""

from datetime import timedelta

import pytest
from distributed import LocalCluster
from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.testing.utilities import prefect_test_harness

from flows.daily import daily
from flows.deliver import deliver
from flows.drill import drill
from flows.hindcast import hindcast
from flows.installation import POOLS
from flows.installation import main as install
from flows.retention import retention
from flows.retrain import retrain
from flows.runner import task_runner


@pytest.fixture(scope="module", autouse=True)
def _server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def _environment(house, monkeypatch):
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)


def test_daily(house):
    day = house.world.days[6]
    house.rain.now = house.run_at(day)
    told = daily(day=day)
    assert f"demo {day}: rain grade D" in told
    assert house.hooks.received
    assert house.rows()["delivery"]
    again = daily(day=day, lead_days=1)
    assert "stood already" in again
    assert f"outlook to {day + timedelta(days=1)}" in again


def test_a_day_is_assessed_by_the_workers_of_a_cluster(house, monkeypatch):
    assert isinstance(task_runner(), ThreadPoolTaskRunner)
    day = house.world.days[6]
    house.rain.now = house.run_at(day)
    here = {"processes": False, "protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **here) as cluster:
        monkeypatch.setenv("LSWARN_DASK", cluster.scheduler_address)
        told = daily.with_options(task_runner=task_runner())(day=day, lead_days=1)
    assert f"outlook to {day + timedelta(days=1)}" in told


def test_daily_waits_for_rain_that_is_not_due(house):
    tomorrow = house.world.days[0] + timedelta(days=4000)
    assert daily(day=tomorrow, return_state=True).is_failed()


def test_hindcast(house):
    first = house.world.days[1]
    house.rain.now = house.run_at(first) + timedelta(days=9)
    assert hindcast(first, first + timedelta(days=1)) == 2
    assert len(house.rows()["run"]) == 2
    assert house.rows()["message"] == []


def test_deliver():
    assert deliver() == "0 delivered, 0 refused"


def test_retention():
    assert retention() == "demo: nothing is older than it may be"


def test_retrain(house):
    before = house.rows()
    told = retrain()
    assert "champion" in told
    assert house.rows() == before


def test_drill(house):
    before = house.rows()
    assert "drill in cross-mountain, 3 messages" in drill(area="cross-mountain")
    assert len(house.rows()["message"]) == len(before["message"]) + 3


def test_an_installation_is_brought_up_to_date_and_not_doubled(monkeypatch, capsys):
    for address in ("http://127.0.0.1:9/first", "http://127.0.0.1:9/second"):
        monkeypatch.setenv("LSWARN_OPERATORS_WEBHOOK", address)
        install()
    with get_client(sync_client=True) as client:
        assert {pool.name for pool in client.read_work_pools()} >= set(POOLS)
        found = [each.name for each in client.read_automations() if each.name.startswith("lswarn:")]
    assert len(found) == len(set(found)) == 3
    late = Automation.read(name="lswarn: tell of late days")
    block = CustomWebhookNotificationBlock.load("operators")
    assert block.url == "http://127.0.0.1:9/second"
    assert late.actions[0].block_document_id == block._block_document_id
    assert "/second" not in capsys.readouterr().out
