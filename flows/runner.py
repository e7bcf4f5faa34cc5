"""Who runs the steps of a flow."""

from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from lswarn.settings import Settings, load_settings


def task_runner() -> TaskRunner[Any]:
    """The workers of the Dask cluster that LSWARN_DASK names; without it a thread, which does one step after the other.

    Asked when a flow is loaded, which Prefect does anew for every run.
    """
    address = load_settings().dask
    return DaskTaskRunner(address=address) if address else ThreadPoolTaskRunner(max_workers=1)


def on_a_worker(settings: Settings) -> Settings:
    """For a step that is itself a task of the cluster: its blocks are done by threads of its worker.

    A task that waited for others of the same cluster would keep its place while it waits, until every place is kept by
    one that waits.
    """
    return settings.model_copy(update={"dask": None})
