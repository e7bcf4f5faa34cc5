"""Each provider's way to lay out a day, from its own kind of server."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from pydantic import SecretStr

from lswarn.demo import layouts
from lswarn.demo.replicas import Published, RainReplica
from lswarn.errors import AccessDenied, CorruptGranule, GridMismatch, NotYetPublished
from lswarn.sections import RainLayout
from lswarn.settings import Settings

DAY = date(2026, 1, 31)
NOW = datetime(2026, 2, 1, 15, 30, tzinfo=UTC)
OUT = datetime(2026, 2, 1, 14, 41, tzinfo=UTC)
EMAIL = "some.body@example.org"


def on(rain, lats, lons):
    """Made rain on another grid."""
    lats, lons = np.round(lats, 3), np.round(lons, 3)
    return rain.sel(lat=lats, lon=lons, method="nearest").assign_coords(lat=lats, lon=lons)


def serving(files, **how):
    return RainReplica({path: Published(body, OUT) for path, body in files.items()}, now=NOW, **how)


class TestHalfHours:
    AT = "/search/granules.json"

    @pytest.fixture(scope="class", name="slots")
    @classmethod
    def _slots(cls, made_rain):
        files = {}
        for minute in range(0, 24 * 60, 30):
            start_at = datetime(2026, 1, 31, tzinfo=UTC) + timedelta(minutes=minute)
            end_at = start_at + timedelta(minutes=29, seconds=59)
            name = f"3B-HHR-L.MS.MRG.3IMERG.{start_at:%Y%m%d-S%H%M%S}-E{end_at:%H%M%S}.{minute:04d}.V07C.HDF5"
            body = layouts.imerg_half_hour(start_at, made_rain / 24, run="L")
            files[f"data/GPM_3IMERGHHL.07/2026/031/{name}"] = Published(body, OUT + timedelta(minutes=minute))
        return files

    @pytest.fixture
    def server(self, slots):
        with RainReplica(slots, now=OUT + timedelta(days=1)) as server:
            yield server

    def test_48_make_a_day(self, server, pull, slots):
        server.delay_s = 0.002
        rain = pull(server.url + self.AT, product="IMERG-Late-30min", connections=3)
        assert float(rain.precipitation.sel(lat=36.15, lon=-84.45, method="nearest")) == pytest.approx(35, rel=1e-5)
        assert rain.published_at == OUT + timedelta(hours=23, minutes=30)
        assert rain.uri.endswith("-S000000-E002959.0000.V07C.HDF5")
        digests = "".join(hashlib.sha256(file.body).hexdigest() for file in slots.values())
        assert rain.sha256 == hashlib.sha256(digests.encode()).hexdigest()
        assert 1 < server.busiest <= 3

    def test_47_do_not(self, server, pull, slots):
        del server.files[sorted(slots)[17]]
        with pytest.raises(NotYetPublished, match="47 of 48 files are"):
            pull(server.url + self.AT, product="IMERG-Late-30min")

    def test_one_that_fails_ends_it(self, server, pull, slots):
        server.quirks["/" + sorted(slots)[2]] = [403]
        with pytest.raises(AccessDenied, match="S010000-E012959"):
            pull(server.url + self.AT, product="IMERG-Late-30min")
        assert len(server.seen) < 30

    def test_half_old_half_new_is_old(self, server, pull, slots):
        names = sorted(slots)
        for path in names[28:]:  # as on the day on which the letter changes
            server.files[path.replace("V07C", "V07D")] = server.files.pop(path)
        known = pull(server.url + self.AT, product="IMERG-Late-30min")
        assert known.version == "V07C"
        for path in names[:28]:
            server.files[path.replace("V07C", "V07D")] = server.files.pop(path)
        assert pull(server.url + self.AT, product="IMERG-Late-30min", known=known).version == "V07D"

    def test_one_part_modified_fetches_the_day_anew(self, server, pull, slots):
        known = pull(server.url + self.AT, product="IMERG-Late-30min")
        path, later = sorted(slots)[5], OUT + timedelta(hours=23, minutes=45)
        server.files[path] = Published(server.files[path].body, later)
        again = pull(server.url + self.AT, product="IMERG-Late-30min", known=known)
        assert (again.published_at, again.sha256) == (later, known.sha256)
        assert again.precipitation.equals(known.precipitation)


class TestPPS:
    FOLDER = "imerg/gis/2026/01/"
    NAME = "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif"

    @pytest.fixture
    def server(self, made_rain):
        files = {self.FOLDER + self.NAME: layouts.imerg_gis(made_rain)}
        with serving(files, account="pps", email=EMAIL, unpublished="reset") as server:
            yield server

    @pytest.fixture
    def ask(self, server, pull):
        def ask(path="/imerg/gis/{year}/{month}/", email="Some.Body@Example.org", **given):
            settings = Settings(timeout_s=5, pps_email=email and SecretStr(email))
            return pull(server.url + path, product="IMERG-Late-GIS", settings=settings, **given)

        return ask

    @pytest.mark.parametrize("path", ["/imerg/gis/{year}/{month}/", "/text/imerg/gis/{year}/{month}"])
    def test_a_day_found_in_the_text_listing(self, server, ask, path):
        rain = ask(path)
        assert rain.uri == f"{server.url}/{self.FOLDER}{self.NAME}"
        assert (rain.version, rain.published_at) == ("V07C", OUT)
        assert float(rain.precipitation.sel(lat=36.15, lon=-84.45, method="nearest")) == 35
        assert [seen.path for seen in server.seen] == [f"/text/{self.FOLDER}", f"/{self.FOLDER}{self.NAME}"]

    def test_a_mirror_without_text_listings(self, server, ask):
        server.quirks[f"/text/{self.FOLDER}"] = [404]
        assert ask().day == DAY

    @pytest.mark.parametrize("email", [None, "other@example.org"])
    def test_who_is_not_registered(self, server, ask, email):
        with pytest.raises(AccessDenied, match=r"answered 401; set LSWARN_PPS_EMAIL.*Near-Realtime Products"):
            ask(email=email)
        assert len(server.seen) == 1

    @pytest.mark.parametrize("gone", ["file", "folder"])
    def test_a_reset_means_not_yet(self, server, ask, gone):
        if gone == "folder":
            server.files.clear()
        else:
            server.quirks[f"/{self.FOLDER}{self.NAME}"] = ["reset", "reset"]
        with pytest.raises(NotYetPublished, match=r"the connection was reset, there is no .*; it is due at"):
            ask()


class TestAnonymous:
    LATS, LONS = np.arange(36.025, 36.5, 0.05), np.arange(-84.575, -83.9, 0.05)

    @pytest.fixture(scope="class", name="tif")
    @classmethod
    def _tif(cls, made_rain):
        return layouts.chirps(on(made_rain, cls.LATS, cls.LONS))

    def test_no_account_is_shown_where_none_is_asked_for(self, pull, tif):
        ended = SecretStr("e30.eyJleHAiOiAxNzY3MDAwMDAwfQ.c2ln")
        with serving({"prelim/2026/chirps-v3.0.prelim.2026.01.31.tif": tif}) as server:
            rain = pull(
                server.url + "/prelim/{year}", product="CHIRPS-prelim", settings=Settings(earthdata_token=ended)
            )
            assert (rain.version, {seen.authorization for seen in server.seen}) == ("v3.0", {None})

    def test_beyond_the_grid(self, pull, tif):
        with (
            serving({"c3g_2026.01.31.tif": tif}, listing="none") as server,
            pytest.raises(GridMismatch, match=r"c3g_2026\.01\.31\.tif"),
        ):
            pull(server.url, product="CHIRPS-GEFS", issue=DAY, box=(10.0, 62.0, 11.0, 63.0))

    def test_a_forecast_is_of_its_issue(self, pull, tif):
        issue = DAY - timedelta(days=2)
        path = f"{issue:%Y/%m/%d}/c3g_2026.01.31.tif"
        with serving({path: tif}, listing="none") as server:
            rain = pull(server.url + "/{year}/{month}/{day}/", product="CHIRPS-GEFS", issue=issue)
            assert (rain.version, rain.day, rain.uri) == ("2026-01-29T00Z", DAY, f"{server.url}/{path}")
            assert [seen.path for seen in server.seen] == [f"/{path}"]
            known = rain
            assert pull(server.url + "/{year}/{month}/{day}/", product="CHIRPS-GEFS", issue=issue, known=known) is None


class TestGrib:
    """Forecasts: records cut out by the index beside the file."""

    AT = "/{year}{month}{day}/"
    ISSUE = DAY - timedelta(days=1)
    LATS, LONS = np.arange(35.5, 37.1, 0.25), np.arange(-85.0, -83.4, 0.25)

    @pytest.fixture(scope="class", name="buckets")
    @classmethod
    def _buckets(cls, made_rain):
        rain = on(made_rain, cls.LATS, cls.LONS)
        files = {}
        for step in (30, 36, 42, 48):
            body, index = layouts.gfs(cls.ISSUE, {step: rain / 4})
            files |= {
                f"20260130/gfs.t00z.pgrb2.0p25.f{step:03d}{end}": each for end, each in (("", body), (".idx", index))
            }
        return files

    def gfs(self, pull, server, **given):
        return pull(server.url + self.AT, product="GFS", issue=self.ISSUE, latency_h=5.5, **given)

    @pytest.mark.parametrize("quirk", ["", "no-range", "cut"])
    def test_four_buckets_are_a_day(self, pull, buckets, made_rain, quirk):
        with serving(buckets, listing="none") as server:
            server.quirks |= {f"/20260130/gfs.t00z.pgrb2.0p25.f{step:03d}": [quirk] for step in (30, 48)}
            rain = self.gfs(pull, server)
            ranges = {seen.range for seen in server.seen if seen.path.endswith("f036")}
        assert (rain.version, rain.published_at) == ("2026-01-30T00Z", OUT)
        assert float(rain.precipitation.sel(lat=36.25, lon=-84.25)) == pytest.approx(
            float(made_rain.sel(lat=36.25, lon=-84.25, method="nearest")), abs=0.1
        )
        assert None not in ranges

    def test_a_run_that_is_not_all_there(self, pull, buckets):
        there = {path: body for path, body in buckets.items() if "f048" not in path}
        with (
            serving(there, listing="none") as server,
            pytest.raises(NotYetPublished, match=r"f048.*; it is due at 2026-01-30 05:30 UTC"),
        ):
            self.gfs(pull, server)

    def test_a_server_that_sends_its_strays_to_a_web_page(self, pull, buckets):
        """NOMADS: 302 is not success."""
        with serving(buckets, listing="none") as server, serving({"x/y": b""}) as other:
            server.quirks |= {f"/{path}": [f"redirect:{other.url}/x/"] for path in buckets if "f030" in path}
            with pytest.raises(NotYetPublished, match="which is a web page: there is no"):
                self.gfs(pull, server)

    def test_an_index_that_is_none(self, pull, buckets):
        index = "/20260130/gfs.t00z.pgrb2.0p25.f036.idx"
        for quirk, fault in [("html", "an HTML page"), ("json", "its index names no APCP")]:
            with serving(buckets, listing="none") as server:
                server.quirks[index] = [quirk]
                with pytest.raises(CorruptGranule, match=rf"f036\.idx: {fault}"):
                    self.gfs(pull, server)

    def test_an_index_of_another_file(self, pull, buckets):
        path = "20260130/gfs.t00z.pgrb2.0p25.f036"
        with (
            serving(buckets | {path: buckets[path][:100]}, listing="none") as server,
            pytest.raises(CorruptGranule, match="does the index beside it belong to another file"),
        ):
            self.gfs(pull, server)

    def test_ecmwf_is_a_difference_of_totals(self, pull, made_rain):
        rain, files = on(made_rain, self.LATS, self.LONS), {}
        for step, mm in ((24, rain), (48, 3 * rain)):
            body, index = layouts.ecmwf(self.ISSUE, {step: mm})
            name = f"20260130/20260130000000-{step}h-oper-fc"
            files |= {f"{name}.grib2": body, f"{name}.index": index}
        with serving(files, listing="none") as server:
            got = pull(server.url + self.AT, product="ECMWF", issue=self.ISSUE)
        assert float(got.precipitation.sel(lat=36.25, lon=-84.25)) == pytest.approx(
            2 * float(made_rain.sel(lat=36.25, lon=-84.25, method="nearest")), abs=0.1
        )

    def test_from_a_folder_with_or_without_an_index(self, pull, buckets, tmp_path):
        (tmp_path / "20260130").mkdir()
        sums = []
        for kept in (buckets, {path: body for path, body in buckets.items() if not path.endswith(".idx")}):
            for path in buckets:
                (tmp_path / path).unlink(missing_ok=True)
            for path, body in kept.items():
                (tmp_path / path).write_bytes(body)
            sums.append(float(pull(str(tmp_path) + self.AT, product="GFS", issue=self.ISSUE).precipitation.sum()))
        assert sums[0] == sums[1] > 0


class TestDeclared:
    """A national product, as region.toml declares it."""

    LAYOUT = RainLayout(band=1, unit="mm", ends_h=6, missing=(-9999.0,))

    @pytest.fixture
    def server(self, made_rain):
        body = layouts.chirps(on(made_rain, TestAnonymous.LATS, TestAnonymous.LONS))
        with serving({"2026/rain_20260201_v2.tif": body, "2026/rain_20260201_v2.tif.md5": b"x"}) as server:
            yield server

    @pytest.mark.parametrize("name", ["rain_{year}{month}{day}_v2.tif", "rain_{year}{month}{day}_*"])
    def test_the_file_that_at_names(self, server, pull, name):
        rain = pull(f"{server.url}/{{year}}/{name}", product="Gauges", layout=self.LAYOUT, latency_h=9)
        assert rain.uri == server.url + "/2026/rain_20260201_v2.tif"
        assert (rain.product, rain.day, rain.version) == ("Gauges", DAY, "unversioned")
        assert len(server.seen) == 1 + ("*" in name)

    @pytest.mark.parametrize("name", ["rain_{year}{month}{day}_v2.tif", "rain_{year}{month}{day}_*"])
    def test_in_a_folder(self, server, pull, name, tmp_path):
        (tmp_path / "2026").mkdir()
        for path, file in server.files.items():
            (tmp_path / path).write_bytes(file.body)
        rain = pull(tmp_path / "{year}" / name, product="Gauges", layout=self.LAYOUT, latency_h=9)
        assert rain.uri == str(tmp_path / "2026/rain_20260201_v2.tif")
        with pytest.raises(NotYetPublished, match="it is due at 2026-01-31 15:00 UTC"):
            pull(tmp_path / "{year}" / name, product="Gauges", layout=self.LAYOUT, latency_h=9, day=date(2026, 1, 30))
