"""What an installation has once, however many regions it watches: work pools, and who is told of trouble in Prefect.

    python -m flows.installation

`ops/enroll.sh` runs it. It may be run again: everything is found by its name and brought up to date.

Three automations of the Prefect server:

- a run that fails or crashes is told to the operators, a deployment no more often than once in 6 hours;
- so is a daily run that has not begun in time, for its worker may be away;
- a run whose heartbeats have stopped (the machine went down) is given up, so that it does not keep its region's place.

Operators are told by a POST of `{"title": …, "text": …}` to LSWARN_OPERATORS_WEBHOOK, as chat services take it. A
Prefect server that is away tells nobody: that is what ops/freshness.py is for.
"""

from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from lswarn.settings import load_settings
from lswarn.terminal import say

POOLS = {
    "lswarn": "The days of all regions, delivery, drills and retention.",
    "lswarn-train": "Retraining and hindcasts: hours, and perhaps a machine with a GPU.",
}
"""Apart, so that a day never waits for a training."""

QUIET = timedelta(hours=6)
"""How long nothing more is said of a deployment that keeps failing."""

SILENCE = timedelta(minutes=5)
"""After so long without a heartbeat (one is due every 30 s) a run is given up.

Should it live after all, nothing is lost: what it publishes counts, and doing it again changes nothing.
"""

ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
HEARTBEAT = "prefect.flow-run.heartbeat"
RUN = {"prefect.resource.id": "prefect.flow-run.*"}
DEPLOYMENT = "related:deployment:prefect.resource.id"


def automations(tell: ActionTypes | None) -> list[Automation]:
    """What the server shall watch for.

    Args:
        tell: how operators are told; None: they are not, and only the dead are buried.
    """
    gone = Automation(
        name="lswarn: give up runs without a heartbeat",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=RUN,
            for_each={"prefect.resource.id"},
            after={HEARTBEAT},
            expect={HEARTBEAT} | ENDS,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: its machine or worker went down")],
    )
    if tell is None:
        return [gone]
    failed = Automation(
        name="lswarn: tell of failed runs",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match=RUN,
            for_each={DEPLOYMENT},
            expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
            threshold=1,
            within=QUIET,
        ),
        actions=[tell],
    )
    late = Automation(
        name="lswarn: tell of late days",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match=RUN,
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": "daily"},
            for_each={DEPLOYMENT},
            expect={"prefect.flow-run.Late"},
            threshold=1,
            within=QUIET,
        ),
        actions=[tell],
    )
    return [gone, failed, late]


def record_pools(client: SyncPrefectClient) -> None:
    """Door: Prefect server. Pools of worker processes, where they are not there yet."""
    template = ProcessWorker.get_default_base_job_template()
    for name, description in POOLS.items():
        try:
            client.create_work_pool(
                WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
            )
        except ObjectAlreadyExists:
            continue


def record_operators(address: str) -> SendNotification:
    """Door: Prefect server. Keep where operators are told; the server keeps the address encrypted."""
    block = CustomWebhookNotificationBlock(
        name="operators", url=address, json_data={"title": "{{subject}}", "text": "{{subject}}\n{{body}}"}
    )
    return SendNotification(
        block_document_id=block.save("operators", overwrite=True),
        subject="lswarn: {{ deployment.name }} is {{ flow_run.state.name }}",
        body="{{ flow_run.name }}: {{ flow_run.state.message }}. What to do: ops/runbook.md",
    )


def record_automations(tell: ActionTypes | None) -> list[str]:
    """Door: Prefect server.

    Returns:
        Their names.
    """
    wanted = automations(tell)
    for automation in wanted:
        try:
            automation.id = cast(Automation, Automation.read(name=automation.name)).id
        except ValueError:
            automation.create()
        else:
            automation.update()
    return [automation.name for automation in wanted]


def main() -> None:
    """Bring the Prefect server at PREFECT_API_URL up to date."""
    with get_client(sync_client=True) as client:
        record_pools(client)
    address = load_settings().operators_webhook
    names = record_automations(record_operators(address.get_secret_value()) if address else None)
    say(f"work pools: {', '.join(POOLS)}")
    say(f"automations: {', '.join(names)}")
    if not address:
        say("LSWARN_OPERATORS_WEBHOOK is not set: Prefect tells nobody of a run that failed or is late")


if __name__ == "__main__":
    main()
