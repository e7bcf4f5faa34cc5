"""What a day is made from: the rain that was fetched, and the network in use; how far both have moved apart."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import isnan, nan
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from lswarn.db import tables
from lswarn.errors import NoModel, RegionError
from lswarn.region import Region


class RainRecord(Protocol):
    """A granule in the archive."""

    @property
    def day(self) -> date: ...  # noqa: D102
    @property
    def product(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def uri(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def published_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def fetched_at(self) -> datetime: ...  # noqa: D102


@dataclass(frozen=True)
class ModelRow:
    """A trained network. `role`: candidate, champion or retired; `metrics`: how it did on held-out blocks."""

    id: str
    role: str
    path: Path
    snapshot_id: str
    metrics: dict[str, Any]
    made_at: datetime
    promoted_at: datetime | None


class ShiftRecord(Protocol):
    """How far one factor, or rain, has moved from what a model learnt from; `psi` NaN: not told."""

    @property
    def of(self) -> str: ...  # noqa: D102
    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def psi(self) -> float: ...  # noqa: D102
    @property
    def cells(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class DriftRow:
    """How far one factor, or rain, has moved from what a model learnt from, as it was last asked.

    Attributes:
        of: `ground`, or the period of the rain.
        psi: population stability index; NaN: not told.
        cells: known values it was told by.
    """

    of: str
    subject: str
    psi: float
    cells: int
    made_at: datetime


def record_rain_days(conn: Connection, region: Region, records: Iterable[RainRecord]) -> None:
    """Write down the archive's granules; of each day the best one counts and the others are superseded.

    Whatever was observed is better than any forecast. Best is then the product that region.toml names first, then the
    newest version, which of a forecast is the newest issue, then the newest fetched.

    Raises:
        RegionError: the region has not been built.
    """
    known = text("SELECT EXISTS (SELECT FROM lswarn.region WHERE name = :name)")
    if not conn.execute(known, {"name": region.name}).scalar():
        raise RegionError(f"region {region.name} has not been built; run: lswarn region build")
    observed, forecasts = (
        [source.product for source in sources] for sources in (region.rain.sources, region.rain.forecasts)
    )
    names = ("day", "product", "version", "uri", "sha256", "published_at", "fetched_at")
    rows = [
        {name: getattr(record, name) for name in names} | {"forecast": record.product in forecasts}
        for record in records
    ]
    if rows:
        conn.execute(insert(tables.rain_day).values(region=region.name).on_conflict_do_nothing(), rows)
    conn.execute(
        text("""
            WITH ranked AS (
                SELECT id, fetched_at, row_number() OVER best AS place, first_value(fetched_at) OVER best AS best_at
                FROM lswarn.rain_day
                WHERE region = :region
                WINDOW best AS (PARTITION BY day ORDER BY forecast, array_position(:products, product), version DESC,
                                fetched_at DESC, id DESC)
            )
            UPDATE lswarn.rain_day AS kept
            SET superseded_at = CASE WHEN place > 1 THEN greatest(ranked.fetched_at, best_at) END
            FROM ranked
            WHERE kept.id = ranked.id AND (superseded_at IS NULL) <> (place = 1)"""),
        {"region": region.name, "products": [*observed, *forecasts]},
    )


def record_model(
    conn: Connection,
    region: Region,
    model_id: str,
    *,
    path: Path,
    snapshot_id: str,
    metrics: Mapping[str, Any],
    made_at: datetime,
) -> None:
    """Write down a trained network as a candidate; one that is known keeps its role, and what the gate found of it."""
    facts = {"path": str(path), "snapshot_id": snapshot_id, "metrics": dict(metrics), "made_at": made_at}
    row = insert(tables.model).values(region=region.name, id=model_id, role="candidate", **facts)
    kept = tables.model.c.metrics.concat(row.excluded.metrics)
    conn.execute(row.on_conflict_do_update("pk_model", set_=facts | {"metrics": kept}))


def record_verdict(conn: Connection, region: Region, model_id: str, verdict: Mapping[str, Any]) -> None:
    """Write what the gate found of a recorded network beside its scores, under `verdict`."""
    query = """UPDATE lswarn.model SET metrics = metrics || jsonb_build_object('verdict', cast(:verdict AS jsonb))
               WHERE region = :region AND id = :id"""
    conn.execute(text(query), {"region": region.name, "id": model_id, "verdict": json.dumps(dict(verdict))})


def record_drift(
    conn: Connection, region: Region, model_id: str, shifts: Iterable[ShiftRecord], made_at: datetime
) -> None:
    """Write down how far ground or rain has moved from what a recorded network learnt from; the newest counts."""
    rows = [
        {"of": each.of, "subject": each.subject, "cells": each.cells, "psi": None if isnan(each.psi) else each.psi}
        for each in shifts
    ]
    if rows:
        row = insert(tables.model_drift).values(region=region.name, model_id=model_id, made_at=made_at)
        newer = {name: row.excluded[name] for name in ("psi", "cells", "made_at")}
        conn.execute(row.on_conflict_do_update("pk_model_drift", set_=newer), rows)


def find_drift(conn: Connection, region: Region, model_id: str) -> list[DriftRow]:
    """What was recorded of a network's drift: ground first, then rain, the newest period first."""
    query = text("""SELECT "of", subject, psi, cells, made_at FROM lswarn.model_drift
                    WHERE region = :region AND model_id = :id
                    ORDER BY "of" <> 'ground', made_at DESC, "of" DESC, subject""")
    rows = conn.execute(query, {"region": region.name, "id": model_id}).mappings()
    return [DriftRow(**{**row, "psi": nan if row["psi"] is None else row["psi"]}) for row in rows]


def promote_model(conn: Connection, region: Region, model_id: str) -> None:
    """Make a recorded network the champion, and retire the one before.

    Raises:
        NoModel: it was never recorded.
    """
    facts = {"region": region.name, "id": model_id}
    retire = "UPDATE lswarn.model SET role = 'retired' WHERE region = :region AND role = 'champion' AND id <> :id"
    promote = """UPDATE lswarn.model SET role = 'champion', promoted_at = now()
                 WHERE region = :region AND id = :id AND role <> 'champion'"""
    find_model(conn, region, model_id)
    conn.execute(text(retire), facts)
    conn.execute(text(promote), facts)


def find_models(conn: Connection, region: Region) -> list[ModelRow]:
    """Every recorded network, newest first."""
    query = text("""SELECT id, role, path, snapshot_id, metrics, made_at, promoted_at FROM lswarn.model
                    WHERE region = :region ORDER BY made_at DESC, id""")
    rows = conn.execute(query, {"region": region.name}).mappings()
    return [ModelRow(**{**row, "path": Path(row["path"])}) for row in rows]


def find_model(conn: Connection, region: Region, model_id: str) -> ModelRow:
    """One recorded network, by its id or by the beginning of it.

    Raises:
        NoModel: there is none, or several begin so.
    """
    found = [model for model in find_models(conn, region) if model.id.startswith(model_id)]
    if len(found) != 1:
        many = f"{len(found)} models of region {region.name} begin so" if found else f"not recorded for {region.name}"
        raise NoModel(f"model {model_id}: {many}; `lswarn models list` shows those that are recorded")
    return found[0]


def find_champion(conn: Connection, region: Region) -> ModelRow:
    """The network in use.

    Raises:
        NoModel: none has been promoted.
    """
    for model in find_models(conn, region):
        if model.role == "champion":
            return model
    raise NoModel(f"region {region.name} has no model in use yet; run: lswarn train")
