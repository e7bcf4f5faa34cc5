import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import CorruptGranule, NotYetPublished, RegionError
from lswarn.rain.grade import Grade
from lswarn.rain.products import PRODUCTS, address, choose, due_at, family_of, find_product, grade_of, version_rank
from lswarn.sections import RainLayout, RainSource

DAY = date(2026, 1, 31)
SIDECARS = [".xml", ".md5", ".sha256", ".dmrpp", ".idx"]

NAMES = {
    "IMERG-Early": ["3B-DAY-E.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"],
    "IMERG-Late": [
        "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07B.nc4",
        "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V08.RT-NC",
        "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V10A.nc",
    ],
    "IMERG-Final": [
        "3B-DAY.MS.MRG.3IMERG.20260131-S000000-E235959.V06.nc4.nc4",
        "3B-DAY.MS.MRG.3IMERG.20260131-S000000-E235959.V07B.nc4.SUB.nc4",
    ],
    "IMERG-Late-GIS": ["3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif"],
    "CHIRPS-prelim": ["chirps-v3.0.prelim.2026.01.31.tif", "chirps-v3.0.prelim.sat.2026.01.31.tif"],
    "CHIRPS-sat": ["chirps-v3.0.sat.2026.01.31.tif"],
    "CHIRPS-rnl": ["chirps-v3.0.rnl.2026.01.31.tif", "chirps-v3.0.rnl.2026.01.31.cog"],
    "CHIRPS-GEFS": ["c3g_2026.01.31.tif"],
    "GSMaP-NRT": [
        "gsmap_nrt.20260131.0.1d.daily.00Z-23Z.dat.gz",
        "gsmap_nrt.20260131.0.1d.daily.00Z-23Z.v8.0000.0.dat.gz",
    ],
    "GSMaP-gauge": ["gsmap_gauge.20260131.0.1d.daily.00Z-23Z.dat"],
    "CPC-Unified": ["PRCP_CU_GAUGE_V1.0GLB_0.50deg.lnx.20260131.RT"],
}
OTHERS = [
    "index.html",
    "3B-DAY-F.MS.MRG.3IMERG.20260131-S000000-E235959.V07B.nc4",
    "3B-DAY-L.MS.MRG.3IMERG.20260131.V07B.nc4",
    "3B-HHR-L.MS.MRG.3IMERG.20260131-S203000-E205959.1230.V07C.1day.tif",
    "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.30min.tif",
    "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.liquid.tif",
    "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.zip",
    "gsmap_nrt.20260131.0000.dat.gz",
    "chirps-v2.0.2026.01.31.tif",
]


def source(product="IMERG-Late", **given):
    return RainSource(product=product, **given)


def declared(at="/rain/{year}/rr_{year}{month}{day}.nc", ends_h=24.0, product="Agro"):
    return RainSource(product=product, at=at, latency_h=10, layout=RainLayout(variable="rr", unit="mm", ends_h=ends_h))


class TestTable:
    def test_all_that_were_promised(self):
        runs = {f"IMERG-{run}{form}" for run in ("Early", "Late", "Final") for form in ("", "-30min")}
        assert set(PRODUCTS) == runs | {
            "IMERG-Early-GIS",
            "IMERG-Late-GIS",
            "CHIRPS-prelim",
            "CHIRPS-sat",
            "CHIRPS-rnl",
            "GSMaP-NRT",
            "GSMaP-gauge",
            "CPC-Unified",
            "ERA5-Land",
            "CHIRPS-GEFS",
            "GFS",
            "ECMWF",
        }
        assert all(name == product.name for name, product in PRODUCTS.items())

    def test_every_product_can_be_named_in_region_toml(self):
        for name in PRODUCTS:
            assert find_product(source(name, at="/rain/{year}{month}{day}.nc")).name == name

    @pytest.mark.parametrize(
        ("name", "grade", "family"),
        [
            ("IMERG-Final", Grade.A, "IMERG"),
            ("IMERG-Late-GIS", Grade.A, "IMERG"),
            ("IMERG-Early-30min", Grade.B, "IMERG"),
            ("CHIRPS-prelim", Grade.C, "CHIRPS-sat"),
            ("CHIRPS-rnl", Grade.C, "CHIRPS-rnl"),
            ("GSMaP-NRT", Grade.C, "GSMaP"),
            ("ERA5-Land", Grade.E, "ERA5-Land"),
            ("GFS", Grade.E, "GFS"),
            ("Agro", Grade.C, "Agro"),
        ],
    )
    def test_grade_and_family(self, name, grade, family):
        assert (grade_of(name), family_of(name)) == (grade, family)

    def test_only_forecasts_are_forecasts(self):
        assert {name for name, product in PRODUCTS.items() if product.forecast} == {"CHIRPS-GEFS", "GFS", "ECMWF"}

    def test_accounts_go_with_hosts(self):
        assert {p.account for p in PRODUCTS.values() if "earthdata" in (p.at or "") and "cmr" in (p.at or "")} == {
            "earthdata"
        }
        assert {p.name for p in PRODUCTS.values() if p.account == "pps"} == {"IMERG-Early-GIS", "IMERG-Late-GIS"}
        assert {p.name for p in PRODUCTS.values() if p.resets} == {"IMERG-Early-GIS", "IMERG-Late-GIS"}
        assert all(p.short_name.startswith("GPM_3IMERG") for p in PRODUCTS.values() if p.account == "earthdata")


class TestFind:
    def test_an_unknown_product_is_named_with_those_known(self):
        with pytest.raises(
            RegionError, match=r"'IMERG-Latest' is unknown; use one of IMERG-Early, .*, or give a layout"
        ):
            find_product(source("IMERG-Latest"))

    @pytest.mark.parametrize("name", ["GSMaP-NRT", "ERA5-Land"])
    def test_without_an_address_of_its_own(self, name):
        with pytest.raises(RegionError, match=rf"{name} has no address of its own; give at = "):
            find_product(source(name))
        with pytest.raises(RegionError, match="has no address of its own"):
            address(source(name), DAY)

    def test_a_layout_makes_a_product(self):
        product = find_product(declared(ends_h=6))
        assert (product.name, product.grade, product.family, product.ends_h) == ("Agro", Grade.C, "Agro", 6)
        assert product.template

    def test_a_layout_under_a_known_name_would_borrow_its_grade(self):
        with pytest.raises(RegionError, match="IMERG-Late is a product that lswarn reads"):
            find_product(declared(product="IMERG-Late"))


class TestAddress:
    def test_placeholders_are_of_the_day(self):
        at = "https://rain.example/GPM_3IMERGDL.07/{year}/{month}/{day}/{doy}"
        assert address(source(at=at), date(2026, 2, 3)) == "https://rain.example/GPM_3IMERGDL.07/2026/02/03/034"

    def test_of_a_forecast_of_its_issue(self):
        assert "/gfs.20260130/00/atmos/" in address(source("GFS"), DAY, DAY - timedelta(days=1))
        assert address(source("CHIRPS-GEFS"), DAY, date(2026, 1, 29)).endswith("/global/2026/01/29/")

    def test_of_era5_land_of_the_day_on_which_it_is_complete(self):
        assert address(source("ERA5-Land", at="/era5/{year}{month}.nc"), DAY) == "/era5/202602.nc"

    @pytest.mark.parametrize(
        ("ends_h", "name"), [(24, "20260131"), (6, "20260201"), (30, "20260131"), (48, "20260130")]
    )
    def test_of_a_layout_of_the_date_in_its_name(self, ends_h, name):
        assert address(declared(ends_h=ends_h), DAY) == f"/rain/2026/rr_{name}.nc"

    @pytest.mark.parametrize(
        "at", ["/rain/{yyyy}", "/rain/{", "/rain/{}", "/rain/{year.x}", "ftp://rain.example/{year}"]
    )
    def test_a_senseless_address_is_named(self, at):
        with pytest.raises(RegionError) as error:
            address(source(at=at), DAY)
        assert at in str(error.value)


class TestDue:
    @pytest.mark.parametrize(
        ("given", "issue", "due"),
        [
            (source(latency_h=14.75), None, (2026, 2, 1, 14, 45)),
            (source(), None, (2026, 2, 1, 22, 42)),
            (source("IMERG-Early-GIS"), None, (2026, 2, 1, 4, 36)),
            (source("GFS"), date(2026, 1, 30), (2026, 1, 30, 5, 30)),
            (source("GFS"), None, (2026, 1, 31, 5, 30)),
            (source("ERA5-Land", at="/x"), None, (2026, 2, 6, 0, 0)),
            (declared(), None, (2026, 2, 1, 10, 0)),
            (declared(ends_h=6), None, (2026, 2, 1, 16, 0)),
            (declared(ends_h=30), None, (2026, 2, 1, 16, 0)),
        ],
    )  # fmt: skip
    def test_the_end_of_what_it_holds_and_the_latency(self, given, issue, due):
        assert due_at(given, DAY, issue) == datetime(*due, tzinfo=UTC)


class TestNames:
    @pytest.mark.parametrize(
        ("product", "name"), [(product, name) for product, names in NAMES.items() for name in names]
    )
    def test_each_name_is_one_products_and_its_sidecars_are_nobodys(self, product, name):
        def owners(written):
            return [
                each.name
                for each in PRODUCTS.values()
                if not each.template and any(file.pattern.fullmatch(written) for file in each.files(DAY, None))
            ]

        assert owners(name) == [product]
        assert not any(owners(name + suffix) for suffix in SIDECARS)
        assert not owners("x" + name)
        assert not PRODUCTS[product].files(DAY + timedelta(days=1), None)[0].pattern.fullmatch(name)

    @pytest.mark.parametrize("name", OTHERS)
    def test_what_is_nobodys(self, name):
        for product in PRODUCTS.values():
            assert product.template or not any(file.pattern.fullmatch(name) for file in product.files(DAY, None))

    @pytest.mark.parametrize("version", ["V06", "V07B", "V07C", "V08", "V10A"])
    @pytest.mark.parametrize("suffix", ["nc4", "nc", "HDF5", "RT-H5", "RT-NC", "nc4.nc4", "HDF5.SUB.nc4"])
    def test_the_version_is_discovered_whatever_the_suffix(self, version, suffix):
        name = f"3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.{version}.{suffix}"
        assert choose(PRODUCTS["IMERG-Late"].files(DAY, None), [name]) == [(name, version)]

    def test_half_hours_are_48_distinct_starts(self):
        files = PRODUCTS["IMERG-Early-30min"].files(DAY, None)
        slots = [f"S{m // 60:02d}{m % 60:02d}00-E{m // 60:02d}{m % 60 + 29}59.{m:04d}" for m in range(0, 1440, 30)]
        names = [f"3B-HHR-E.MS.MRG.3IMERG.20260131-{slot}.V07C.HDF5" for slot in slots]
        assert [name for name, _ in choose(files, reversed(names))] == names
        with pytest.raises(NotYetPublished, match=r"47 of 48 files are"):
            choose(files, [*names[:20], *names[21:], names[3].replace("V07C", "V07B")])

    def test_a_template_may_hold_a_star_and_passes_over_sidecars(self):
        files = find_product(declared(at="/rain/rr_{year}{month}{day}_v*.nc")).files(DAY, None)
        there = ["rr_20260131_v9.nc", "rr_20260131_v10.nc", "rr_20260130_v11.nc"]
        assert choose(files, there) == [("rr_20260131_v10.nc", "")]
        loose = find_product(declared(at="/rain/rr_{year}{month}{day}*")).files(DAY, None)
        assert (
            choose(loose, ["rr_20260131.tif", *(f"rr_20260131.tif{suffix}" for suffix in SIDECARS)])[0][0]
            == "rr_20260131.tif"
        )

    def test_a_template_without_a_star_is_asked_for_directly(self):
        (file,) = find_product(declared()).files(DAY, None)
        assert file.name == "rr_20260131.nc"
        assert file.pattern.fullmatch(file.name)


class TestForecastFiles:
    def test_gfs_buckets_of_a_later_day(self):
        files = PRODUCTS["GFS"].files(DAY, date(2026, 1, 29))
        assert [file.name for file in files] == [f"gfs.t00z.pgrb2.0p25.f{step:03d}" for step in (54, 60, 66, 72)]
        assert files[0].index_of(files[0].name) == "gfs.t00z.pgrb2.0p25.f054.idx"

    def test_ecmwf_needs_one_step_of_the_first_day_and_two_of_later_ones(self):
        assert [file.name for file in PRODUCTS["ECMWF"].files(DAY, DAY)] == ["20260131000000-24h-oper-fc.grib2"]
        files = PRODUCTS["ECMWF"].files(DAY, date(2026, 1, 29))
        assert [file.name for file in files] == ["20260129000000-48h-oper-fc.grib2", "20260129000000-72h-oper-fc.grib2"]
        assert files[0].index_of(files[0].name) == "20260129000000-48h-oper-fc.index"

    def test_no_forecast_is_made_of_the_past(self):
        for name in ("GFS", "ECMWF"):
            with pytest.raises(NotYetPublished, match="says nothing of 2026-01-31"):
                PRODUCTS[name].files(DAY, DAY + timedelta(days=1))

    idx = (
        "1:0:d=2026013100:PRMSL:mean sea level:12 hour fcst:\n"
        "595:4000:d=2026013100:APCP:surface:0-12 hour acc fcst:\n"
        "596:5000:d=2026013100:APCP:surface:6-12 hour acc fcst:\n"
        "597:6000:d=2026013100:ACPCP:surface:6-12 hour acc fcst:\n"
    )

    def test_the_bucket_and_never_the_total(self):
        (_, twelve, *_) = PRODUCTS["GFS"].files(DAY, DAY)
        assert twelve.record(self.idx) == (5000, 5999)
        assert twelve.record(self.idx.replace("597", "#")) == (5000, None)

    def test_the_message_of_tp(self):
        lines = [
            {"param": "2t", "_offset": 0, "_length": 10},
            {"param": "tp", "_offset": 10, "_length": 25, "type": "fc"},
        ]
        (file,) = PRODUCTS["ECMWF"].files(DAY, DAY)
        assert file.record("\n".join(map(json.dumps, lines))) == (10, 34)

    @pytest.mark.parametrize(
        "index", ["", "<html>", "1:x:d", "{}", "[1]", "null", '{"param": "tp", "_offset": "x", "_length": 1}']
    )
    def test_an_index_of_something_else(self, index):
        for name in ("GFS", "ECMWF"):
            with pytest.raises(CorruptGranule, match="its index names no "):
                PRODUCTS[name].files(DAY, DAY)[0].record(index)

    @given(st.text(max_size=200))
    def test_no_index_is_a_foreign_error(self, index):
        for name in ("GFS", "ECMWF"):
            with pytest.raises(CorruptGranule):
                PRODUCTS[name].files(DAY, DAY)[0].record(index)


class TestVersions:
    def test_the_newest_of_the_right_run_and_day(self):
        name = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.{}.nc4".format
        other = [name("V09A").replace("-L.", "-E."), name("V09A").replace("0131", "0130"), name("V09A") + ".xml"]
        files = PRODUCTS["IMERG-Late"].files(DAY, None)
        assert choose(files, [name("V07B"), name("V08A"), name("V07C"), *other]) == [(name("V08A"), "V08A")]
        with pytest.raises(NotYetPublished, match=re.escape("of that date there is " + other[0])):
            choose(files, other)

    def test_they_are_ordered_by_number_then_letter(self):
        versions = ["V10A", "V08A", "V07C", "V06", "V08", "V07A", "V06B"]
        assert sorted(versions, key=version_rank) == ["V06", "V06B", "V07A", "V07C", "V08", "V08A", "V10A"]

    @given(st.lists(st.dates()))
    def test_of_forecasts_by_their_issue(self, issues):
        def version(issue):
            return f"{issue:%Y-%m-%d}T00Z"

        assert sorted(map(version, issues), key=version_rank) == [version(issue) for issue in sorted(issues)]

    @given(st.text())
    def test_any_text_can_be_ranked(self, version):
        assert version_rank(version) <= version_rank(version)
