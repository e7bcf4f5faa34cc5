"""Verification: what was warned of, held against what came (`lswarn verify`).

Looks back over past days: alerts as they were told, classes and probabilities as they were published, landslides as the
inventory has them now. Changes nothing; writes a page and its figures. What is counted, and how, is told in
`alerts/verify.py`; days of which nothing was known are counted as such and never as right.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.special import logit
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from lswarn import __version__
from lswarn.alerts.policy import Level
from lswarn.alerts.verification.counts import (
    DAY,
    Answer,
    AreaDay,
    Contingency,
    Event,
    Lead,
    Said,
    answer,
    contingency,
    days_between,
    lead_of,
    levels_by_day,
)
from lswarn.alerts.verification.edumap import duration_matrix
from lswarn.alerts.verification.page import write_page
from lswarn.alerts.verification.scorecard import (
    ClassShare,
    LandslideRow,
    LevelScore,
    Probabilities,
    Verification,
    as_dict,
)
from lswarn.db import verify as records
from lswarn.db.engine import open_database, transaction
from lswarn.errors import RegionError
from lswarn.events import count, lessons
from lswarn.hazard.classes import WARNED, Class
from lswarn.hazard.recall import PrimedDay, load_highest, load_probabilities
from lswarn.model.skill import Tally, finite, skill
from lswarn.region import Region
from lswarn.settings import Settings

log = logging.getLogger(__name__)

UNPLACED_M = 5000.0
"""A landslide whose place is worse than this, or unknown, makes neither a hit nor a miss of a warning area."""

_BREAKS = (0.2, 0.4, 0.6, 0.8)
"""`skill` asks for some; nothing is told by them."""


@dataclass(frozen=True)
class Verified:
    """What was found, as JSON knows it, and where the page and the figures lie."""

    found: Verification
    told: dict[str, Any]
    json_path: Path
    html_path: Path


@dataclass(frozen=True)
class Judged:
    """The landslides of a period, as they are judged.

    Attributes:
        events: with their shapes in the region's CRS, and how far around them a class is looked for, m.
        unplaced: of a known day, but not of a known place.
        left_out: how many of the period do not count, and why; undated ones, of whatever period, among them.
        slid, unclear: for the probabilities: shapes by day of what may be learnt from; shapes that may have slid on any
            day.
    """

    events: dict[Event, tuple[BaseGeometry, float]]
    unplaced: tuple[Event, ...]
    left_out: dict[str, int]
    slid: dict[date, list[BaseGeometry]]
    unclear: list[BaseGeometry]


def verify(
    region: Region,
    settings: Settings,
    start: date,
    end: date,
    now: datetime,
    *,
    tolerance_days: int = 1,
    tolerance_m: float = 500.0,
    hindcasts: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Hold the warnings of a period against the landslides of it.

    Args:
        start, end: first and last UTC day.
        tolerance_days, tolerance_m: a warning so near to a landslide in time and place is one of it.
        hindcasts: on days without an observed run, ask a hindcast for classes and probabilities. Alerts are never those
            of a hindcast: nobody was told.
        on_progress: called with days done and days in all.

    Raises:
        RegionError: `end` is before `start`, or no warning area is recorded.
    """
    if end < start:
        raise RegionError(f"END {end} is before START {start}")
    first, last = start - tolerance_days * DAY, end + tolerance_days * DAY
    with transaction(open_database(settings)) as conn:
        areas = records.find_areas(conn, region, start)
        runs = records.find_run_days(conn, region, first, last, hindcasts=hindcasts)
        observed = [run for run in runs.values() if run.kind == "observed"]
        told = records.find_class_areas(conn, observed)
        shown = records.find_class_areas(conn, list(runs.values()))
        said, closed = records.find_said(conn, region, first, last)
        landslides = records.find_known_landslides(conn, region)
    if areas.empty:
        raise RegionError(f"region {region.name} has no warning area to verify by; run: lswarn region build")
    judged = _judged(region, landslides, areas, (start, end), tolerance_days, tolerance_m)
    days = days_between(start, end)
    in_force = levels_by_day(said, closed, days_between(first, last))
    alerts = {event: answer(event, in_force, told.known, tolerance_days) for event in judged.events}
    here, near = _classes(judged, runs, shown.known, tolerance_days)
    zones = {key: highest for key, highest in shown.highest.items() if highest >= Class.HIGH}

    watched = {
        area.area_id: [day for day in days if area.retired_on is None or day < area.retired_on]
        for area in areas.itertuples()
    }
    names = dict(zip(areas["area_id"], areas["name"], strict=True))
    within = [event for event in judged.events if start <= event.day <= end]

    def score(
        name: str, level: int, warned: Mapping[AreaDay, int], known: frozenset[AreaDay], found: Mapping[Event, Answer]
    ) -> LevelScore:
        counted = tuple(
            (
                area_id,
                names[area_id],
                contingency(area_id, asked, level, warned, known, found, judged.unplaced, tolerance_days),
            )
            for area_id, asked in watched.items()
        )
        return LevelScore(name, sum((each for _, _, each in counted), Contingency()), counted)

    matrix = duration_matrix(list(watched), days, in_force, told.known, within, judged.unplaced, tolerance_days)
    found = Verification(
        region=region.name,
        title=region.title,
        made=region.made,
        made_at=now.isoformat(timespec="minutes"),
        software=f"lswarn {__version__}",
        start=start,
        end=end,
        tolerance_days=tolerance_days,
        tolerance_m=tolerance_m,
        days=_days(days, runs),
        hindcast_days=sum(day in runs and runs[day].kind == "hindcast" for day in days),
        judged=len(within),
        left_out=judged.left_out,
        alerts=tuple(
            replace(
                score(level.name.lower(), level, in_force, told.known, alerts),
                leads=_leads(within, level, in_force, said, tolerance_days),
            )
            for level in (Level.ORANGE, Level.RED)
        ),
        classes=tuple(score(each.label, each, zones, shown.known, near) for each in WARNED),
        shares=_shares(shown.area_m2, [here[event] for event in within]),
        unshared=sum(here[event] in (None, Class.UNKNOWN) for event in within),
        matrix=matrix,
        probabilities=_probabilities([runs[day] for day in days if day in runs], judged, on_progress),
        landslides=tuple(
            _row(
                event,
                names[event.area_id],
                alerts[event],
                here[event],
                near[event],
                lead_of(event, Level.ORANGE, in_force, said, tolerance_days),
            )
            for event in sorted(within, key=lambda event: (event.day, event.id))
        ),
        levels={key: level for key, level in in_force.items() if start <= key[1] <= end},
        known=told.known,
    )
    folder = settings.region_dir(region.name) / "verification"
    paths = {kind: folder / f"{start}_{end}.{kind}" for kind in ("json", "html")}
    figures = dict(finite(as_dict(found)))
    write_page(paths["html"], found)
    part = paths["json"].with_name(paths["json"].name + ".part")
    part.write_text(json.dumps(figures, indent=1, default=str, ensure_ascii=False), "utf-8")
    part.replace(paths["json"])
    return Verified(found, figures, paths["json"], paths["html"])


def _judged(
    region: Region,
    landslides: gpd.GeoDataFrame,
    areas: gpd.GeoDataFrame,
    period: tuple[date, date],
    tolerance_days: int,
    tolerance_m: float,
) -> Judged:
    """Which landslides count, where, and which do not, and why."""
    rules = region.inventory
    placed_by = rules.model_copy(update={"max_accuracy_m": max(UNPLACED_M, rules.max_accuracy_m)})
    why, teaches = (np.array(lessons(landslides, each), dtype=object) for each in (placed_by, rules))
    dated = landslides["day"].notna().to_numpy(bool)
    first, last = period[0] - tolerance_days * DAY, period[1] + tolerance_days * DAY
    within = np.array([not pd.isna(day) and first <= day <= last for day in landslides["day"]], bool)
    metric, ground = landslides.to_crs(region.crs).geometry.to_numpy(), areas.to_crs(region.crs)
    tree = STRtree(ground.geometry.to_numpy())
    ids = ground["area_id"].to_numpy()
    events: dict[Event, tuple[BaseGeometry, float]] = {}
    unplaced: list[Event] = []
    reasons = ["day unknown"] * int((~dated).sum())
    for i in np.flatnonzero(within):
        asked = period[0] <= landslides["day"].iloc[i] <= period[1]
        accuracy, outline = landslides["accuracy_m"].iloc[i], landslides["outline"].iloc[i]
        reach = max(tolerance_m, (0.0 if outline else UNPLACED_M) if pd.isna(accuracy) else float(accuracy))
        near = tree.query(metric[i], predicate="dwithin", distance=reach)
        if why[i] and not why[i].startswith("location"):
            reasons += [why[i]] * asked
            continue
        if not near.size:
            reasons += ["outside every warning area"] * asked
            continue
        shapes = ground.geometry.iloc[near]
        order = sorted(
            range(len(near)),
            key=lambda k: (-shapes.iloc[k].intersection(metric[i]).area, shapes.iloc[k].distance(metric[i])),
        )
        event = Event(
            str(landslides["id"].iloc[i]), str(ids[near[order[0]]]), landslides["day"].iloc[i], frozenset(ids[near])
        )
        if why[i]:
            unplaced.append(event)
            reasons += [why[i]] * asked
        else:
            events[event] = (metric[i], reach)
    taught = within & (teaches == "")
    slid: dict[date, list[BaseGeometry]] = {}
    for i in np.flatnonzero(taught):
        slid.setdefault(landslides["day"].iloc[i], []).append(metric[i])
    # A place that slid on another day of the period is known not to have slid on this one.
    unclear = [metric[i] for i in np.flatnonzero(~dated | (within & ~taught))]
    return Judged(events, tuple(unplaced), count(reasons), slid, unclear)


def _classes(
    judged: Judged, runs: Mapping[date, records.RunDay], known: frozenset[AreaDay], tolerance_days: int
) -> tuple[dict[Event, Class | None], dict[Event, Answer]]:
    """The class at each landslide on its own day (None: nothing is known), and the highest near it."""
    here: dict[Event, Class | None] = dict.fromkeys(judged.events)
    near: dict[Event, Answer] = {event: Answer(0, False) for event in judged.events}
    for day, run in sorted(runs.items()):
        asked = [event for event in judged.events if abs(event.day - day) <= tolerance_days * DAY]
        if not asked or not run.model_id:
            continue
        shapes = [judged.events[event] for event in asked]
        around = load_highest(run.classes, [shape.buffer(reach) for shape, reach in shapes])
        for event, highest in zip(asked, around, strict=True):
            before = near[event]
            on_day = event.day == day and highest not in (None, Class.UNKNOWN) and (event.area_id, day) in known
            level = highest if highest in WARNED else 0
            near[event] = Answer(max(before.level, int(level or 0)), before.known or on_day)
        today = [event for event in asked if event.day == day]
        if run.status == "complete" and today:
            found = load_highest(run.classes, [judged.events[event][0] for event in today])
            here |= dict(zip(today, found, strict=True))
    return here, near


def _leads(
    events: Sequence[Event], level: int, warned: Mapping[AreaDay, int], said: Sequence[Said], tolerance_days: int
) -> tuple[Lead, ...]:
    leads = (lead_of(event, level, warned, said, tolerance_days) for event in events)
    return tuple(lead for lead in leads if lead is not None)


def _days(days: Sequence[date], runs: Mapping[date, records.RunDay]) -> dict[str, int]:
    """Days by what was known on them, in words."""
    words = {
        "complete": "complete",
        "lower_bound": "with rain missing (grade D)",
        "modelled": "with modelled rain (grade E)",
        "unknown": "of unknown rain",
    }
    found = [words[runs[day].status] if day in runs else "without a run" for day in days]
    return {word: found.count(word) for word in (*words.values(), "without a run") if word in found}


def _shares(area_m2: Sequence[float], here: Sequence[Class | None]) -> tuple[ClassShare, ...]:
    """Where landslides lay, class by class, against the ground of known class."""
    known = sum(area_m2[1:])
    placed: list[Class] = [each for each in here if each not in (None, Class.UNKNOWN)]
    rows = []
    for each in list(Class)[1:]:
        ground = area_m2[each] / known if known else math.nan
        landslides = sum(one is each for one in placed)
        slides = landslides / len(placed) if placed else math.nan
        ratio = slides / ground if ground > 0 else math.nan
        rows.append(ClassShare(each.label, ground, landslides, slides, ratio))
    return tuple(rows)


def _source(run: records.RunDay) -> Path | PrimedDay:
    """Where a day's probabilities are read.

    Raises:
        FileNotFoundError: the run says of none.
    """
    if run.probability:
        return run.probability
    if run.rain and run.layers:
        return PrimedDay(run.rain, run.layers)
    raise FileNotFoundError("no raster of probabilities, nor rain and critical layers")


def _probabilities(
    runs: Sequence[records.RunDay], judged: Judged, on_progress: Callable[[int, int], None]
) -> Probabilities:
    """All complete days' probabilities against what came, at true prevalence."""
    total, days, gone = Tally.empty(), 0, 0
    complete = [run for run in runs if run.status == "complete"]
    for done, run in enumerate(complete, 1):
        slid = judged.slid.get(run.valid_day, [])
        try:
            for probability, label, stands_for in load_probabilities(
                _source(run), slid, judged.unclear, day_number=run.valid_day.toordinal()
            ):
                with np.errstate(
                    divide="ignore"
                ):  # a probability of 0 is a step of the raster, and is put at its floor
                    counted = Tally.of(logit(probability), label, np.zeros_like(label))
                total += Tally(counted.stable * stands_for, counted.slid, counted.endangered)
            days += 1
        except FileNotFoundError as error:
            log.warning("%s: the probabilities of %s are not told of", error, run.valid_day)
            gone += 1
        on_progress(done, len(complete))
    told = skill([(total, _BREAKS)])
    return Probabilities(
        days,
        gone,
        told.cells,
        told.landslide_cells,
        told.auc,
        told.brier,
        told.brier_skill,
        told.calibration_error,
        told.reliability,
    )


def _row(
    event: Event, area_name: str, alert: Answer, here: Class | None, near: Answer, lead: Lead | None
) -> LandslideRow:
    unknown = "not known"
    return LandslideRow(
        event.id,
        event.day,
        event.area_id,
        area_name,
        Level(alert.level).name.lower() if alert.level or alert.known else unknown,
        unknown if here in (None, Class.UNKNOWN) else Class(here).label,
        Class(near.level).label if near.level else ("below high" if near.known else unknown),
        None if lead is None else lead.lead_h,
    )
