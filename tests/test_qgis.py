"""deploy/qgis opens on views that exist, in the colours of lswarn's own maps, and hatches what is unknown."""

import re
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import text

from lswarn.hazard.classes import Class

QGIS = Path(__file__).parents[1] / "deploy" / "qgis"
PROJECT = etree.parse(QGIS / "lswarn.qgs").getroot()
LAYERS = {layer.findtext("id").removeprefix("lswarn_"): layer for layer in PROJECT.iter("maplayer")}
STYLES = {path.stem: etree.parse(path).getroot() for path in QGIS.glob("*.qml")}


def source(layer):
    """Table, key columns, kind of geometry and filter of a layer, all by the service `lswarn`."""
    told = layer.findtext("datasource")
    found = re.fullmatch(
        r"service='lswarn' key='(?P<key>[^']+)' estimatedmetadata=true srid=4326 type=(?P<kind>\w+)"
        r" checkPrimaryKeyUnicity='0' table=\"lswarn\"\.\"(?P<table>\w+)\" \(geometry\)(?: sql=(?P<sql>.+))?",
        told,
    )
    assert found, told
    return found


def columns(conn, table):
    query = text("""SELECT attname FROM pg_attribute
                    WHERE attrelid = to_regclass('lswarn.' || :table) AND attnum > 0""")
    return set(conn.execute(query, {"table": table}).scalars())


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_opens_on_a_view_that_is_there(conn, name):
    layer, found = LAYERS[name], source(LAYERS[name])
    known = columns(conn, found["table"])
    assert set(re.findall(r"\w+", found["key"])) | {"geometry"} <= known
    named = set(re.findall(r'"(\w+)"', found["sql"] or ""))
    named |= {layer.find("renderer-v2").get("attr")} - {None}
    for rule in layer.iter("rule"):
        named |= set(re.findall(r'"(\w+)"', rule.get("filter") or ""))
    for label in layer.iter("text-style"):
        named |= set(re.findall(r'"(\w+)"', label.get("fieldName")))
    assert named <= known
    query = text("SELECT type FROM geometry_columns WHERE f_table_schema = 'lswarn' AND f_table_name = :table")
    assert conn.execute(query, {"table": found["table"]}).scalar() == found["kind"].upper()
    conn.execute(text("SET LOCAL ROLE lswarn_reader"))
    conn.execute(text(f"SELECT * FROM lswarn.{found['table']} WHERE {found['sql'] or 'true'}"))


def test_every_layer_is_in_the_tree_with_the_style_beside_it():
    drawn = [leaf.get("id").removeprefix("lswarn_") for leaf in PROJECT.iter("layer-tree-layer")]
    assert sorted(drawn) == sorted(LAYERS)
    assert set(STYLES) == {*LAYERS, "class_map"}
    for name, layer in LAYERS.items():
        for part in ("renderer-v2", "labeling"):
            one, other = layer.find(part), STYLES[name].find(part)
            assert (one is None) == (other is None)
            if one is not None:
                assert etree.tostring(one, method="c14n").split() == etree.tostring(other, method="c14n").split()
    # QGIS gives layers with a short id another one, and then finds none of them in its tree.
    assert all(len(layer.findtext("id")) > 10 for layer in LAYERS.values())


def test_classes_have_the_colours_of_every_other_map():
    entries = {int(e.get("value")): e for e in STYLES["class_map"].iter("paletteEntry")}
    assert {c: entries[c].get("color") for c in entries} == {c.value: c.colour for c in Class}
    assert {entries[c].get("label") for c in entries} == {c.label for c in Class}
    for name in ("zones", "exposed_roads", "exposed_settlements", "outlook_zones"):
        categories = {c.get("value"): c.get("symbol") for c in STYLES[name].iter("category")}
        assert categories.keys() == {"4", "5"}
        for value, symbol in categories.items():
            layers = STYLES[name].findall(f"renderer-v2/symbols/symbol[@name='{symbol}']/layer")
            drawn = {o.get("value") for layer in layers for o in layer.iter("Option") if "color" in o.get("name", "")}
            red, green, blue = bytes.fromhex(Class(int(value)).colour[1:])
            assert f"{red},{green},{blue},255" in drawn


def test_unknown_is_hatched_and_nothing_else_of_the_areas_is():
    style = STYLES["warning_areas"]
    rules = {rule.get("filter"): rule.get("symbol") for rule in style.iter("rule")}
    assert set(rules) == {'"level" = 2', '"level" = 1', '"level" = 0 AND "state" = \'none\'', "\"state\" = 'unknown'"}
    hatched = {
        symbol.get("name")
        for symbol in style.findall("renderer-v2/symbols/symbol")
        if symbol.find("layer[@class='LinePatternFill']") is not None
    }
    assert hatched == {rules["\"state\" = 'unknown'"]}


def test_nobodys_address_or_folder_is_in_it():
    for path in QGIS.iterdir():
        assert not re.search(r"password|user=|host=|/work|/home|/root|/tmp", path.read_text("utf-8"))
