from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from lswarn.alerts.briefing import Briefing, RainInput
from lswarn.alerts.message import AlertMessage, compose
from lswarn.alerts.outgoing import Outgoing
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level

DAY = date(2026, 10, 5)
HITS = (
    Hit("road", "a", "Jacksboro Pike", "US 25W", 4210.0, 0, 0.83),
    Hit("road", "b", "", "TN 63", 824.0, 0, 0.7),
    Hit("settlement", "l", "LaFollette", "", 0.0, 1243, 0.91),
    Hit("settlement", "d", "Demory", "", 0.0, None, 0.6),
)


@pytest.fixture
def change() -> AlertChange:
    return AlertChange("north", DAY, Kind.OPEN, Level.NONE, Level.RED, HITS, frozenset(hit.key for hit in HITS))


@pytest.fixture
def briefing() -> Briefing:
    return Briefing(
        region="jacksboro",
        title="Jacksboro demo",
        made="",
        valid_day=DAY,
        issued_at=datetime(2026, 10, 6, 15, 30, tzinfo=UTC),
        grade="B",
        rain=tuple(
            RainInput(DAY - timedelta(back), "IMERG-Late" if back else "IMERG-Early", "V07B", "A" if back else "B")
            for back in range(6, -1, -1)
        ),
        missing=(),
        model_id="3f9ac1d07b42",
        clear_after_days=2,
        area_name="North Cumberland",
        opened_on=DAY,
        r7_max_mm=212.4,
        critical_mm=180.0,
        critical_source="made thresholds",
    )


@pytest.fixture
def outlook(briefing: Briefing) -> Briefing:
    """Of two days ahead."""
    ahead = [RainInput(DAY + timedelta(lead), "CHIRPS-GEFS", "2026-10-05T00Z", "E", forecast=True) for lead in (1, 2)]
    return replace(
        briefing,
        valid_day=DAY + timedelta(2),
        lead_days=2,
        grade="E",
        rain=(*briefing.rain[2:], *ahead),
        forecast_mm=95.2,
    )


@pytest.fixture
def outgoing(change: AlertChange, briefing: Briefing) -> Callable[..., Outgoing]:
    """A message on its way; keywords replace fields of the `Outgoing`, `message` those of the message."""

    def make(*, message: dict[str, object] | None = None, **fields: object) -> Outgoing:
        said: AlertMessage = replace(compose(change, briefing, b"\x89PNG map"), **(message or {}))
        return replace(Outgoing(1, "key 1/a", "email", "duty@example.org", (said,)), **fields)

    return make
