import pytest
from pydantic import ValidationError

from lswarn.errors import RegionError
from lswarn.region import load_region
from lswarn.sections import FACTORS, InfiniteSlope

GOOD = """
name = "hills"
title = "The hills"
bbox = [-84.4, 36.2, -84.1, 36.4]
crs = "EPSG:32616"

[factors]
dem = { file = "dem.tif" }
rock_type = { file = "rock.gpkg", field = "code" }
river_distance = "derive"
fault_distance = { file = "faults.gpkg" }
rainfall = { constant = 1300.0, unit = "mm/year" }
temperature = { derive = true, sea_level_deg_c = 20.0 }
seismic_intensity = { constant = 0.1 }

[assets.roads]
file = "roads.gpkg"
id = "id"
[assets.settlements]
file = "towns.gpkg"
id = "id"
[assets.warning_areas]
file = "areas.gpkg"
id = "id"

[inventory]
file = "slides.gpkg"
id = "id"

[[rain.sources]]
product = "IMERG-Late"
at = "rain/{year}"
latency_h = 14.7
[rain.threshold]
constant_mm = 120
source = "a test"

[[subscribers]]
name = "duty officer"
channel = "email"
address = "duty@example.org"
"""

STEEP = '[model]\nphysics_source = "infinite-slope"\n'
SOIL = "[model.soil]\ncohesion = 0.1\nfriction_deg = 31\ntransmissivity_m2_day = 50\n"


def written(tmp_path, text=GOOD):
    path = tmp_path / "region.toml"
    path.write_text(text)
    return path


def test_files_are_found_from_the_folder_of_region_toml(tmp_path):
    region = load_region(written(tmp_path))
    assert region.factors.dem.file == tmp_path / "dem.tif"
    assert region.rain.sources[0].at == str(tmp_path / "rain/{year}")
    assert region.files()["assets.roads"] == tmp_path / "roads.gpkg"
    assert region.factors.slope.derive
    assert region.srid == 32616


def test_ten_factors_in_their_order():
    assert len(FACTORS) == 10
    assert FACTORS[0] == "slope"
    assert FACTORS[-1] == "seismic_intensity"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "The hills"', 'title = "x"\ncolour = "red"', "colour"),
        ('unit = "mm/year"', 'unit = "inch"', "rainfall: unit 'inch' is unknown; use one of mm/year, mm/month"),
        ("EPSG:32616", "EPSG:4326", "must be a projected CRS in metres"),
        ("EPSG:32616", "nonsense", "not a coordinate reference system"),
        ("[-84.4, 36.2, -84.1, 36.4]", "[-84.1, 36.2, -84.4, 36.4]", "west < east"),
        ('rock_type = { file = "rock.gpkg", field = "code" }', 'rock_type = "derive"', "rock_type cannot be derived"),
        ("{ constant = 0.1 }", '{ constant = 0.1, file = "x.tif" }', "exactly one of file"),
        ("constant_mm = 120", "", "give constant_mm = …, file = … or zones = …"),
        ("duty@example.org", "duty at example.org", "is not a mail address"),
        ('name = "hills"', 'name = "The Hills"', "name"),
        (
            "[[subscribers]]",
            '[model]\nphysics_source = "infinite-slope"\n[[subscribers]]',
            "needs the soil: [model.soil]",
        ),
        ("[[subscribers]]", f"{SOIL}[[subscribers]]", 'soil is not used with physics_source = "threshold"'),
        ("[[subscribers]]", f"{STEEP}{SOIL.replace('31', '0.6')}[[subscribers]]", "friction_deg: Input should be"),
        ("[[subscribers]]", f"{STEEP}{SOIL.replace('0.1', '5.0')}[[subscribers]]", "cohesion: Input should be"),
        (
            "[rain.threshold]",
            f'[rain]\nmeasure = "ari"\n{STEEP}{SOIL}[rain.threshold]',
            'wetted by the sum of seven days, and rain.measure is "ari": set rain.measure = "sum"',
        ),
    ],
)
def test_a_fault_is_told_with_file_key_and_value(tmp_path, old, new, told):
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RegionError) as caught:
        load_region(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_infinite_slope_has_a_soil(tmp_path):
    model = load_region(written(tmp_path, GOOD + STEEP + SOIL)).model
    assert model.soil == InfiniteSlope(cohesion=0.1, friction_deg=31, transmissivity_m2_day=50, water_to_soil=0.5)


def test_all_faults_are_told_at_once(tmp_path):
    text = GOOD.replace("EPSG:32616", "EPSG:4326").replace('title = "The hills"', 'title = "x"\ncolour = 1')
    with pytest.raises(RegionError) as caught:
        load_region(written(tmp_path, text))
    assert len(caught.value.problems) == 2


def test_a_missing_file_says_what_to_copy(tmp_path):
    with pytest.raises(RegionError, match=r"region\.example\.toml"):
        load_region(tmp_path / "none.toml")


def test_broken_toml_names_the_file(tmp_path):
    with pytest.raises(RegionError, match="not TOML"):
        load_region(written(tmp_path, "name = "))


def test_every_rule_is_in_the_digest(tmp_path):
    one = load_region(written(tmp_path))
    other = load_region(written(tmp_path, GOOD.replace("constant_mm = 120", "constant_mm = 121")))
    assert one.digest != other.digest
    assert other.digest == load_region(tmp_path).digest


def test_reviewers_are_subscribers_and_a_review_has_some(make_region):
    officer = {"name": "officer", "channel": "email", "address": "officer@example.org"}
    review = {"review": ("red",), "reviewers": ("officer",)}
    assert make_region(alerts=review, subscribers=(officer,)).alerts.review_minutes == 60
    with pytest.raises(ValidationError, match="names officer, and no subscriber has that name"):
        make_region(alerts=review)
    with pytest.raises(ValidationError, match="review needs reviewers"):
        make_region(alerts={"review": ("red",)})
