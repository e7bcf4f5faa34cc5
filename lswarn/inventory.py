"""Reads inventories of landslides: any vector that GDAL opens, CSV, and NASA's catalogues as they come (door: disk).

Columns are named in region.toml, or recognised by the names in use. What an event teaches is asked in `lswarn.events`.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from lswarn.errors import RegionError
from lswarn.events import accuracy_of, count, day_of, lessons, same_events, slid_of, trigger_of
from lswarn.sections import Inventory
from lswarn.sources import Bounds, fields_of, load_raw_vector

COLUMNS = {
    "id": ("event_id", "ev_id", "landslide_id", "id", "objectid", "fid", "ogc_fid"),
    "date": ("event_date", "ev_date", "event_day", "date", "day"),
    "accuracy": ("location_accuracy", "loc_acc", "accuracy_m", "accuracy", "location_a"),
    "trigger": ("landslide_trigger", "ls_trig", "trigger", "landslid_1"),
    "source": ("source_name", "src_name", "source", "source_nam"),
    "x": ("longitude", "lon", "long", "lng", "x", "easting"),
    "y": ("latitude", "lat", "y", "northing"),
}
"""Names by which a column that region.toml does not name is recognised, the surest first, whatever their case.

The last ones are those of NASA's catalogue cut to the ten letters of a Shapefile.
"""

YES_OR_NO = ({"true", "false"}, {"yes", "no"}, {"0", "1"})

GLOBE: Bounds = (-180.0, -90.0, 180.0, 90.0)
TOLD = 20
"""So many of a kind are told one by one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What an inventory holds of a region.

    Attributes:
        events: EPSG:4326; id, day (`datetime.date`; None = unknown), accuracy_m (NaN = unknown, 0 = given as exact),
            trigger and source (as given, "" = unknown), outline (True: drawn; False: a point), slid (False: a place
            that is given as not having slid), geometry (valid).
        fields: which field of the file was taken for which meaning.
        left_out: why rows of the file are not among them, and how many.
        notes: what was done to them, or is odd, a sentence each.
    """

    events: gpd.GeoDataFrame
    fields: dict[str, str]
    left_out: dict[str, int]
    notes: tuple[str, ...]


def load_inventory(
    inventory: Inventory, *, bbox: Bounds | None = None, today: date | None = None, context: str = "inventory"
) -> Reading:
    """Read an inventory.

    A row that says again what another said is merged into it; a polygon that crosses itself is repaired; events outside
    the region, without coordinates or without a label (where one is asked for) are left out and counted.

    Args:
        bbox: west, south, east, north, degrees; left out: the whole globe.
        today: days after it are refused; left out: they are not asked for.
        context: key in region.toml, for messages.

    Raises:
        RegionError: with every fault: no such file or field, no event in the region (with both extents, and whether
            latitude and longitude are swapped), a missing or repeated id, a day that cannot be read or is yet to come,
            labels of which none means a landslide, or none a place that did not slide where such are needed.
    """
    what = f"{context}: {inventory.file}"
    rows, fields, notes = (_load_table if inventory.is_table else _load_vector)(inventory, what, context)
    placed = ~(rows.geometry.isna() | rows.geometry.is_empty)
    degrees = rows[placed].to_crs(4326)
    inside = shapely.intersects(degrees.geometry.to_numpy(), shapely.box(*(bbox or GLOBE)))
    if not inside.any():
        raise RegionError(_nothing_inside(what, rows[placed], degrees, bbox, inventory, fields))
    left_out = {"no coordinates": int((~placed).sum()), "outside the region": int((~inside).sum())}
    said, labels = _labels(degrees[inside], fields, inventory, what)
    notes += labels
    left_out["without a label"] = int((~said).sum())
    found, as_written = (each[inside][said].reset_index(drop=True) for each in (degrees, rows[placed]))
    slid = slid_of(_texts(found.get("label"), len(found)), inventory.stable)
    shapes, repaired = _repaired(found)
    if repaired:
        notes.append(f"{repaired} polygons crossed themselves and were repaired")

    problems = _shape_problems(what, found)
    ids = _texts(found.get("id"), len(found))
    if "id" in fields and (empty := ids.count("")):
        problems.append(
            f"{what}: field {fields['id']!r} is empty in {empty} of {len(found)} features; each needs an id of its own"
        )
    days, odd = _parsed(found.get("date"), len(found), day_of)
    if odd:
        problems.append(
            f"{what}: {_examples(fields['date'], odd, len(found))}: a day is YYYY-MM-DD, or m/d/yyyy, or empty"
        )
    if "id" not in fields:
        ids = _made_ids(as_written, days)
        notes.append(
            "no field names the events, so an id was made of each one's place and day: one whose place or day is "
            "corrected in the file will count as another; name a field with id = … if there is one"
        )
    if today and (ahead := [str(day) for day in days if day and day > today]):
        problems.append(
            f"{what}: {_examples(fields['date'], ahead, len(found))}: days that are yet to come after {today}; "
            "correct them, or leave them empty"
        )
    accuracies, odd = _parsed(found.get("accuracy"), len(found), accuracy_of)
    if odd:
        notes.append(f"{_examples(fields['accuracy'], odd, len(found))}: not understood, taken as unknown accuracy")
    outline = shapely.get_dimensions(shapes) == 2
    known = np.array([np.nan if metres is None else metres for metres in accuracies], float)
    events = gpd.GeoDataFrame(
        {
            "id": ids,
            "day": pd.Series(days, dtype=object),
            "accuracy_m": known if "accuracy" in fields else np.where(outline, np.nan, inventory.point_radius_m),
            "trigger": _texts(found.get("trigger"), len(found)),
            "source": _texts(found.get("source"), len(found)),
            "outline": outline,
            "slid": slid,
        },
        geometry=shapes,
        crs=4326,
    )
    events, merged = _merged(events)
    left_out["said twice, merged"] = merged
    if twice := sorted(set(events["id"][events["id"].duplicated() & (events["id"] != "")])):
        rows_of = events["id"][events["id"].isin(twice)].tolist()
        problems.append(
            f"{what}: {_examples(fields['id'], rows_of, len(found))}: they differ, and an id may stand once; "
            "choose another field, or mend the file"
            if "id" in fields
            else f"{what}: {len(rows_of)} of {len(found)} features are of the same place and day as another but say "
            "something else of it; mend the file, or name a field with id = …"
        )
    if problems:
        raise RegionError(*problems)
    slides = events[events["slid"]]
    notes += _told([f"{one} seems to be the same event as {other}" for one, other in same_events(slides).items()])
    notes += _told(_odd_triggers(slides["trigger"]))
    return Reading(events, fields, {why: n for why, n in left_out.items() if n}, tuple(notes))


def summary(reading: Reading, inventory: Inventory) -> dict[str, Any]:
    """A reading in figures: events, dated or not, by accuracy and trigger; what teaches and what does not, and why.

    Places given as not having slid are counted apart, where the inventory has a label.
    """
    reasons = np.array(lessons(reading.events, inventory), dtype=object)
    slid = reading.events["slid"].to_numpy(bool)
    events = reading.events[slid]
    dated = int(events["day"].notna().sum())
    stable = {"stable_places": int((~slid).sum()), "stable_teaching": int((reasons[~slid] == "").sum())}
    return {
        "file": str(inventory.file),
        "fields": reading.fields,
        "events": len(events),
        "dated": dated,
        "undated": len(events) - dated,
        "by_accuracy": count([_spelt(*each) for each in zip(events["accuracy_m"], events["outline"], strict=True)]),
        "by_trigger": count([trigger_of(trigger) for trigger in events["trigger"]]),
        "left_out": reading.left_out,
        "teaching": int((reasons[slid] == "").sum()),
        **(stable if inventory.label else {}),
        "not_teaching": count(list(reasons)),
        "notes": list(reading.notes),
    }


def _spelt(accuracy_m: float, outline: bool) -> str:
    if pd.isna(accuracy_m):
        return "as drawn" if outline else "unknown"
    if accuracy_m == 0:
        return "exact"
    return f"{accuracy_m:g} m" if accuracy_m < 1000 else f"{accuracy_m / 1000:g} km"


def _load_vector(inventory: Inventory, what: str, context: str) -> tuple[gpd.GeoDataFrame, dict[str, str], list[str]]:
    """Columns named by what they mean, in the CRS of the file; which field each is; notes."""
    present = fields_of(inventory.file, layer=inventory.layer, context=context)
    fields = _recognised(inventory, present, what, ("id", "date", "accuracy", "trigger", "label", "source"))
    names = list(dict.fromkeys(fields.values()))
    rows = load_raw_vector(inventory.file, layer=inventory.layer, fields=names, context=context)
    columns = {meaning: rows[name] for meaning, name in fields.items()}
    return gpd.GeoDataFrame(columns, geometry=rows.geometry.to_numpy(), crs=rows.crs), fields, []


def _load_table(inventory: Inventory, what: str, context: str) -> tuple[gpd.GeoDataFrame, dict[str, str], list[str]]:
    """As `_load_vector`, of a CSV: points at its coordinates, none where these are empty."""
    text, notes = _decoded(inventory, what)
    head = text.split("\n", 1)[0]
    try:
        table = pd.read_csv(io.StringIO(text), sep=max(",;\t|", key=head.count), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RegionError(f"{what}: it is no CSV with a line of column names first ({error})") from error
    table.columns = table.columns.str.strip()
    fields = _recognised(inventory, list(table.columns), what, (*COLUMNS, "label"))
    x, y = (_numbers(table[fields[axis]], what, fields[axis]) for axis in "xy")
    crs = inventory.crs or "EPSG:4326"
    try:
        points = gpd.GeoSeries(np.where(x.isna() | y.isna(), None, shapely.points(x, y)), crs=CRS.from_user_input(crs))
    except CRSError as error:
        raise RegionError(f"{context}.crs: {crs!r} is not a coordinate reference system") from error
    if inventory.label is None:  # or places that did not slide would pass for landslides, and nobody be told
        notes += [
            f"field {name!r} says yes or no: if it tells which rows are landslides, name it with label = …"
            for name in table.columns
            if name not in fields.values() and set(table[name].str.strip().str.lower()) in YES_OR_NO
        ]
    columns = {meaning: table[name] for meaning, name in fields.items() if meaning not in ("x", "y")}
    return gpd.GeoDataFrame(columns, geometry=points), fields, notes


def _decoded(inventory: Inventory, what: str) -> tuple[str, list[str]]:
    try:
        raw = inventory.file.read_bytes()
    except OSError as error:
        raise RegionError(f"{what}: {'no such file' if isinstance(error, FileNotFoundError) else error}") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace"), ["it is in UTF-16"]
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:  # NASA's exports are in Latin-1, of which Windows-1252 is what is written in practice
        return raw.decode("cp1252", errors="replace"), ["it is not in UTF-8, and was read as Latin-1"]


def _numbers(column: "pd.Series[str]", what: str, field: str) -> "pd.Series[float]":
    """NaN where nothing is written."""
    given = column.fillna("").str.strip()
    numbers = pd.to_numeric(given.str.replace(",", "."), errors="coerce")
    empty = given.str.lower().isin(["", "nan", "null", "none"])
    if odd := given[numbers.isna() & ~empty].tolist():
        raise RegionError(f"{what}: {_examples(field, odd, len(given))}: coordinates are numbers, in degrees or metres")
    return numbers.where(np.isfinite(numbers))


def _recognised(inventory: Inventory, present: Sequence[str], what: str, meanings: Sequence[str]) -> dict[str, str]:
    """Which field means what: the one region.toml names, else one by whose name it is known.

    Raises:
        RegionError: a named field is not there, or nothing is known for coordinates.
    """
    known = {name.strip().lower().replace(" ", "_"): name for name in reversed(present)}
    fields: dict[str, str] = {}
    for meaning in meanings:
        named = getattr(inventory, meaning, None)
        usual = next((known[name] for name in COLUMNS.get(meaning, ()) if name in known), None)
        if chosen := named or usual:
            fields[meaning] = chosen
    there = ", ".join(present) or "none"
    if missing := [name for name in fields.values() if name not in present]:
        raise RegionError(f"{what}: there is no field {', '.join(map(repr, missing))}; there are {there}")
    if needed := [f"{meaning} = …" for meaning in ("x", "y") if meaning in meanings and meaning not in fields]:
        raise RegionError(f"{what}: say which field is meant with {', '.join(needed)}; there are {there}")
    return fields


def _parsed(
    column: "pd.Series[Any] | None", n: int, read: Callable[[Any], T | None]
) -> tuple[list[T | None], list[str]]:
    """What `read` makes of each value, and the values it refuses."""
    values: list[T | None] = []
    odd: list[str] = []
    for value in [None] * n if column is None else column.astype(object):
        try:
            values.append(read(value))
        except ValueError:
            values.append(None)
            odd.append(str(value))
    return values, odd


def _labels(
    found: gpd.GeoDataFrame, fields: dict[str, str], inventory: Inventory, what: str
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows say whether they slid (all, where no label is asked for), and what each label was taken for.

    Raises:
        RegionError: no row is a landslide, or none did not slide and such are needed.
    """
    if "label" not in fields:
        return np.ones(len(found), bool), []
    labels = _texts(found["label"], len(found))
    texts, slid = np.array(labels, dtype=object), np.array(slid_of(labels, inventory.stable), dtype=np.bool_)
    field, stable = f"{what}: field {fields['label']!r}", ", ".join(map(repr, inventory.stable))
    held = {kind: ", ".join(f"{k!r} ({n})" for k, n in count(texts[slid == kind]).items()) for kind in (True, False)}
    if not held[True]:
        raise RegionError(f"{field} names no landslide: it holds {held[False] or 'nothing'}, and stable = {stable}")
    if not held[False] and inventory.negatives.rule == "given":
        raise RegionError(
            f'{field} names no place that did not slide, which negatives.rule = "given" lives on: it holds '
            f'{held[True]}; say with stable = ["…"] which of them means it (now: {stable})'
        )
    told = (
        f"by field {fields['label']!r}, landslides are {held[True]}; places that did not slide {held[False] or 'none'}"
    )
    return texts != "", [told]


def _made_ids(rows: gpd.GeoDataFrame, days: Sequence[date | None]) -> list[str]:
    """An id of the place, as the file has it, and the day: the same at every reading."""
    places = shapely.to_wkb(shapely.force_2d(rows.geometry.to_numpy()), byte_order=1)
    return [
        hashlib.sha256(place + str(day or "").encode()).hexdigest()[:12]
        for place, day in zip(places, days, strict=True)
    ]


def _texts(column: "pd.Series[Any] | None", n: int) -> list[str]:
    """As given but for blanks; whole numbers as such, whatever a missing value made of their column."""
    if column is None:
        return [""] * n
    texts = column.astype(object).where(column.notna(), "").astype(str).str.split().str.join(" ")
    return texts.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True).tolist()


def _repaired(found: gpd.GeoDataFrame) -> tuple[Any, int]:
    shapes = shapely.force_2d(found.geometry.to_numpy())
    broken = ~shapely.is_valid(shapes)
    return np.where(broken, shapely.make_valid(shapes), shapes), int(broken.sum())


def _shape_problems(what: str, found: gpd.GeoDataFrame) -> list[str]:
    wrong = found.geom_type[~found.geom_type.isin(["Point", "MultiPoint", "Polygon", "MultiPolygon"])]
    if wrong.empty:
        return []
    kinds = ", ".join(sorted(set(wrong)))
    return [f"{what}: {len(wrong)} of {len(found)} geometries are {kinds}; each should be a polygon or point"]


def _merged(events: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int]:
    """Without rows that repeat another in everything."""
    same = pd.DataFrame(events.drop(columns="geometry")).assign(shape=shapely.to_wkb(events.geometry.to_numpy()))
    repeated = same.duplicated() & (same["id"] != "")
    return events[~repeated].reset_index(drop=True), int(repeated.sum())


def _nothing_inside(
    what: str,
    rows: gpd.GeoDataFrame,
    degrees: gpd.GeoDataFrame,
    bbox: Bounds | None,
    inventory: Inventory,
    fields: dict[str, str],
) -> str:
    """Why no event is in the region."""
    if rows.empty:
        return f"{what}: it holds no event with coordinates"
    wanted = bbox or GLOBE
    swapped = shapely.transform(degrees.geometry.to_numpy(), lambda xy: xy[:, ::-1])
    if bbox and shapely.intersects(swapped, shapely.box(*bbox)).all():
        remedy = (
            f'x = "{fields["y"]}", y = "{fields["x"]}"'
            if inventory.is_table
            else "swap them in the file (in QGIS: Swap X and Y coordinates)"
        )
        return f"{what}: latitude and longitude are swapped: swapped, every event is in the region; {remedy}"
    crs = rows.crs
    here = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform_bounds(*wanted, densify_pts=51)
    told = (
        f"{what}: none of {len(rows)} events is in the region: in {crs.to_string()} they reach over "
        f"{_rounded(rows.total_bounds)}, and the region over {_rounded(here)}"
    )
    west, south, east, north = rows.total_bounds
    if crs.is_geographic and (max(abs(west), abs(east)) > 360 or max(abs(south), abs(north)) > 90):
        told += "; these are no degrees: " + (
            "say in which CRS they are with crs = …" if inventory.is_table else "assign the CRS they are in"
        )
    return told


def _odd_triggers(triggers: "pd.Series[str]") -> list[str]:
    """Spellings of the family `other`, for a reader to judge."""
    odd = count([trigger for trigger in triggers if trigger_of(trigger) == "other"])
    return [f"trigger {spelling!r}: {n} events, of the family other" for spelling, n in odd.items()]


def _told(notes: list[str]) -> list[str]:
    """The first of many, and how many more there are."""
    return notes if len(notes) <= TOLD else [*notes[:TOLD], f"… and {len(notes) - TOLD} more of the kind"]


def _examples(field: str, odd: Sequence[str], n: int) -> str:
    values = list(dict.fromkeys(odd))
    more = ", …" if len(values) > 3 else ""
    return f"field {field!r} holds {', '.join(map(repr, values[:3]))}{more} in {len(odd)} of {n} features"


def _rounded(bounds: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in bounds) + ")"
