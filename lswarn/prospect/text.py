"""The text of a new region.toml: every entry said, where it comes from, and what is still to be done. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

from lswarn.prospect.catalogue import CATALOGUE
from lswarn.sources import Bounds


@dataclass(frozen=True)
class Entry:
    """What became of one source.

    Attributes:
        state: `fetched`, `given` (a user's file), `derived`, `stand-in` (a value that says nothing) or `missing`.
        file: as region.toml names it; of a missing one, where it is expected. Empty: there is none.
        note: what a reader should know of it, a sentence; of a missing one, why.
        constant: value in its place, in the standard unit.
        level: of areas of administration that are the warning areas; empty: they are in `areas.gpkg`.
        areas: how the warning areas were chosen.
        address: where it was fetched from, and
        fetched_at: when, ISO 8601 in UTC.
        sha256: of its file.
    """

    state: str
    file: str = ""
    note: str = ""
    constant: float | None = None
    level: str = ""
    areas: str = ""
    address: str = ""
    fetched_at: str = ""
    sha256: str = ""


def region_text(
    name: str, title: str, bbox: Bounds, crs: str, resolution_m: float, entries: Mapping[str, Entry]
) -> str:
    """region.toml of a region of which nothing else is known than what was found.

    Args:
        entries: of each key of `CATALOGUE`.
    """
    osm = entries["osm"]
    field = ', field = "code"' if entries["rock"].file.endswith((".gpkg", ".shp", ".geojson", ".fgb")) else ""
    return f"""\
# What is watched and how it is judged. Begun by `lswarn region init`; from now on it is yours, and not written again.
# `lswarn region check` names every fault at once; deploy/region.example.toml explains every key that may stand here.
# Where each file came from, when, and on which terms, stands beside its entry and in sources.json.

name = {_quoted(name)}
title = {_quoted(title)}
bbox = {list(bbox)}      # west, south, east, north, degrees
crs = {_quoted(crs)}     # slopes, lengths and areas are computed in it
resolution_m = {resolution_m:g}

# ── The ten conditioning factors ─────────────────────────────────────────────────────────────────────────────────────
[factors]
{_told("dem", entries)}
dem = {_factor("dem", entries["dem"])}
slope = "derive"
curvature = "derive"
aspect = "derive"
landform = "derive"

{_told("rock", entries)}
rock_type = {_factor("rock", entries["rock"], field)}

{_told("rivers", entries)}
river_distance = {_factor("rivers", entries["rivers"])}

{_told("faults", entries)}
fault_distance = {_factor("faults", entries["faults"])}

{_told("rainfall", entries)}
rainfall = {_factor("rainfall", entries["rainfall"], ', unit = "mm/year"')}

{_told("temperature", entries)}
temperature = {_factor("temperature", entries["temperature"], ', unit = "degC"')}

{_told("seismic", entries)}
seismic_intensity = {_factor("seismic", entries["seismic"], ', unit = "g"')}

# ── What can be hit, and who answers for it ──────────────────────────────────────────────────────────────────────────
{_told("osm", entries)}
[assets.roads]
file = {_quoted(osm.file)}

[assets.settlements]                     # where the map knows no population it is unknown, which is not none
file = {_quoted(osm.file)}
point_radius_m = 250

{_comment(f"One alert each: they should be the areas in which somebody answers. {osm.areas or 'Not known yet'}.")}
[assets.warning_areas]
{_areas(osm)}

# ── Known landslides: what the model learns from ─────────────────────────────────────────────────────────────────────
{_told("inventory", entries)}
[inventory]
file = {_quoted(entries["inventory"].file)}
{_licence("inventory", entries["inventory"])}# Worse located events are kept, but not learnt from.
max_accuracy_m = 100

# ── Rain ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
# Observed products, best first; docs/rain.md says what account each asks for, and when it is due.
[[rain.sources]]
product = "IMERG-Late"                   # LSWARN_EARTHDATA_TOKEN

[[rain.sources]]
product = "IMERG-Late-GIS"               # LSWARN_PPS_EMAIL

[[rain.sources]]
product = "IMERG-Early-GIS"

[[rain.forecasts]]                       # for outlooks of up to three days
product = "GFS"

# A STAND-IN: no rain of this region has been looked at. Fetch some years of it, and let it say what is much here:
#     lswarn rain fetch … --since 2015-01-01
#     lswarn rain climatology … --percentile 95 --out thresholds.tif
# then `file = "thresholds.tif"` in place of constant_mm, and say so in source.
[rain.threshold]
constant_mm = 100
source = "stand-in of lswarn region init, of no region"

# ── When to warn, and whom ───────────────────────────────────────────────────────────────────────────────────────────
# Nobody is told yet. Until you trust it, let every message wait for a person: take the # out of these lines.
# [alerts]
# review = ["red", "orange"]
# reviewers = ["duty officer"]
# review_minutes = 60                    # then it goes out all the same, and says that nobody looked
#
# [[subscribers]]
# name = "duty officer"
# channel = "email"
# address = "duty@example.org"
"""


def _told(key: str, entries: Mapping[str, Entry]) -> str:
    """The comment over an entry."""
    source, entry = CATALOGUE[key], entries[key]
    match entry.state:
        case "fetched":
            lines = [f"{source.title}; fetched {entry.fetched_at[:10]}", f"licence: {source.licence}"]
            lines += [f"cite: {source.citation}", entry.note]
        case "given":
            lines = [
                f"a file that was given; its licence = … is yours to say{' below' if key != 'osm' else ''}",
                entry.note,
            ]
        case "missing":
            lines = [f"MISSING: {source.title}: {entry.note}", f"put in its place {source.supply}"]
        case _:
            lines = [f"{entry.state.upper()}: {entry.note}", f"better: {source.supply}"]
    return "\n".join(_comment(line) for line in lines if line)


def _comment(text: str) -> str:
    """Text as lines that are comments, whatever it holds."""
    return fill(" ".join(text.split()), 118, initial_indent="# ", subsequent_indent="#     ", break_long_words=False)


def _factor(key: str, entry: Entry, more: str = "") -> str:
    if entry.constant is not None:
        return f"{{ constant = {entry.constant:g} }}"
    if entry.state == "derived":
        upslope = ", min_upslope_km2 = 1.0"
        return (
            f"{{ derive = true{upslope if key == 'rivers' else ', sea_level_deg_c = 15.0, lapse_deg_c_per_km = 6.5'} }}"
        )
    licence = f", licence = {_quoted(CATALOGUE[key].licence)}" if entry.state == "fetched" else ""
    return f"{{ file = {_quoted(entry.file)}{more}{licence} }}"


def _areas(osm: Entry) -> str:
    if osm.level:
        return f"file = {_quoted(osm.file)}\nkinds = [{_quoted(osm.level)}]                            # admin_level"
    return 'file = "areas.gpkg"\nid = "id"\nname = "name"'


def _licence(key: str, entry: Entry) -> str:
    return f"licence = {_quoted(CATALOGUE[key].licence)}\n" if entry.state == "fetched" else ""


def _quoted(text: str) -> str:
    """A basic string of TOML, which escapes as JSON does."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
