"""What a message says beside the change itself: of which day, from which rain, how sure. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lswarn.alerts.policy import Level


def for_people(day: date) -> str:
    """5 October 2026."""
    return f"{day.day} {day:%B %Y}"


@dataclass(frozen=True)
class RainInput:
    """One day of the window: which product it came from, such as `IMERG-Late` `V07B`.

    Attributes:
        version: of a forecast the instant it was issued, as `2026-10-05T00Z`.
        grade: of the product, A to E: C is a stand-in, E is modelled.
        forecast: made before the day was over.
    """

    day: date
    product: str
    version: str
    grade: str
    forecast: bool = False

    @property
    def source(self) -> tuple[str, str, bool]:
        """What days of one origin have in common."""
        return self.product, self.version, self.forecast

    @property
    def issued_at(self) -> datetime | None:
        """When a forecast was made; None where its version does not tell."""
        try:
            return datetime.strptime(self.version.partition(" ")[0], "%Y-%m-%dT%HZ").replace(tzinfo=UTC)
        except ValueError:
            return None


@dataclass(frozen=True)
class Briefing:
    """What a message says beside the change itself.

    Attributes:
        region, title: the region's identifier and its name for people.
        made: what of the inputs is made up; empty for a real region.
        valid_day, issued_at: the day it is about; aware instant of writing.
        lead_days: how far that day lies ahead of the last observed one; 0 where it is no outlook.
        grade: of the seven days' rain, A to E.
        rain: days that are there, oldest first; `missing`: days that are not.
        gaps: names of warning areas in which rain is missing although no whole day is.
        status: `actual`, or that it is only a `test` or an `exercise`.
        withdrawn_by, reason: who takes the warning back and why, where it ends by that and not by the rain.
        model_id: checkpoint that was asked; empty where no rain is known at all.
        clear_after_days: complete days below a level before it is stepped down from.
        area_name: of the warning area; empty in a message about the whole region.
        opened_on: last observed day when the alert's first message was given.
        measure, measure_title: what the rain is of the seven days, by name and for people.
        r7_max_mm: highest rain of seven days in the area, in that measure; None or NaN = unknown.
        forecast_mm: how much of that is forecast.
        lower_bound: more may have fallen in the area than that.
        critical_mm: critical rain where that fell, in the same measure; None or NaN = unknown.
        critical_source: where the critical rain comes from.
        model_max_mm: most rain the model learnt from, in the same measure; None where none was asked.
    """

    region: str
    title: str
    made: str
    valid_day: date
    issued_at: datetime
    grade: str
    rain: tuple[RainInput, ...]
    missing: tuple[date, ...]
    model_id: str
    clear_after_days: int
    lead_days: int = 0
    measure: str = "sum"
    measure_title: str = "rain in 7 days"
    area_name: str = ""
    opened_on: date | None = None
    r7_max_mm: float | None = None
    forecast_mm: float = 0.0
    lower_bound: bool = False
    critical_mm: float | None = None
    critical_source: str = ""
    gaps: tuple[str, ...] = ()
    status: str = "actual"
    withdrawn_by: str = ""
    reason: str = ""
    model_max_mm: float | None = None

    @property
    def beyond_model(self) -> bool:
        """Whether more rain than the model has seen fell in the area: it was judged as if it were that much."""
        if self.r7_max_mm is None or self.model_max_mm is None:
            return False
        return self.r7_max_mm > self.model_max_mm

    @property
    def rain_age_h(self) -> float:
        """Hours from the end of the last observed UTC day to the writing of the message."""
        end_at = datetime.combine(self.observed_to + timedelta(days=1), time(), UTC)
        return (self.issued_at - end_at) / timedelta(hours=1)

    @property
    def observed_to(self) -> date:
        """Last day that is no forecast."""
        return self.valid_day - timedelta(days=self.lead_days)

    @property
    def complete(self) -> bool:
        """Whether low rain means low rain, so that a warning may be lowered on it."""
        return self.grade in ("A", "B", "C") and not self.lead_days

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Products that stand in for better ones."""
        return self._observed("C")

    @property
    def modelled(self) -> tuple[str, ...]:
        """Products that a weather model made of past days."""
        return self._observed("E")

    @property
    def forecasts(self) -> tuple[RainInput, ...]:
        """The forecasts, each issue once."""
        return tuple({each.source: each for each in self.rain if each.forecast}.values())

    def _observed(self, grade: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.product for each in self.rain if each.grade == grade and not each.forecast))


@dataclass(frozen=True)
class Standing:
    """A warning that stays in force while the rain is missing."""

    area_name: str
    level: Level
    opened_on: date
