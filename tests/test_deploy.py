"""What is shipped to be copied is true: every key is known, every flow is there."""

import re
from pathlib import Path

import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint

from lswarn.region import load_region
from lswarn.settings import PREFIX, Settings

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_the_example_region_is_understood():
    region = load_region(DEPLOY / "region.example.toml")
    assert region.rain.sources[0].product == "IMERG-Late"
    assert region.subscribers[1].areas == ("A1", "A2")


def test_every_setting_is_in_the_example_environment_and_no_other():
    named = set(re.findall(rf"^#?({PREFIX}\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert named == {PREFIX + name.upper() for name in Settings.model_fields}


def test_the_deployments_are_of_flows_that_exist():
    deployments = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    assert {d["name"]: [s["cron"] for s in d["schedules"]] for d in deployments} == {
        "daily": ["30 5,15 * * *"],
        "retrain": ["0 20 1 * *"],
        "deliver": ["*/5 * * * *"],
        "drill": ["0 9 3 * *"],
        "retention": ["0 23 * * 0"],
        "hindcast": [],
    }
    for deployment in deployments:
        flow = load_flow_from_entrypoint(str(DEPLOY.parent / deployment["entrypoint"]))
        assert isinstance(flow, Flow)
        assert flow.name == deployment["name"]
        for schedule in deployment["schedules"]:
            assert CronSchedule(**schedule).timezone == "UTC"
