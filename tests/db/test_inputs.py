import itertools
import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from lswarn.db.inputs import (
    find_champion,
    find_drift,
    find_model,
    find_models,
    promote_model,
    record_drift,
    record_model,
    record_rain_days,
    record_verdict,
)
from lswarn.errors import NoModel, RegionError
from lswarn.model.drift import Shift
from lswarn.sections import Rain

START = datetime(2015, 10, 3, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Granule:
    product: str
    version: str
    hours: int
    day: date = date(2015, 10, 2)

    @property
    def uri(self):
        return f"https://example.org/{self.sha256}"

    @property
    def sha256(self):
        return f"{self.product}{self.version}{self.hours}"

    @property
    def published_at(self):
        return self.fetched_at - timedelta(minutes=30) if self.product != "Silent" else None

    @property
    def fetched_at(self):
        return START + timedelta(hours=self.hours)


EARLY, LATE = Granule("IMERG-Early", "V07B", 0), Granule("IMERG-Late", "V07B", 10)
BETTER, AGAIN = Granule("IMERG-Late", "V08A", 20), Granule("IMERG-Late", "V08A", 30)


def best(conn):
    return conn.execute(text("SELECT sha256 FROM lswarn.rain_day WHERE superseded_at IS NULL")).scalars().all()


class TestRain:
    def test_the_best_counts_and_the_others_are_kept(self, recorded, conn):
        for arrived, wins in ((EARLY, EARLY), (LATE, LATE), (BETTER, BETTER), (AGAIN, AGAIN)):
            record_rain_days(conn, recorded.region, [arrived])
            assert best(conn) == [wins.sha256]
        kept = dict(conn.execute(text("SELECT sha256, superseded_at FROM lswarn.rain_day")).all())
        assert kept[EARLY.sha256] == LATE.fetched_at
        assert len(kept) == 4

    @pytest.mark.parametrize("order", list(itertools.permutations([EARLY, LATE, BETTER])))
    def test_the_order_of_arrival_does_not_matter(self, recorded, conn, order):
        for granule in order:
            record_rain_days(conn, recorded.region, [granule])
        assert best(conn) == [BETTER.sha256]

    def test_the_same_again_changes_nothing(self, recorded, conn):
        for _ in range(2):
            record_rain_days(conn, recorded.region, [EARLY, LATE])
        assert conn.execute(text("SELECT count(*) FROM lswarn.rain_day")).scalar() == 2

    def test_nothing_to_record(self, recorded, conn):
        record_rain_days(conn, recorded.region, [])
        assert best(conn) == []

    def test_of_a_region_that_was_never_built(self, world, conn):
        with pytest.raises(RegionError, match=r"has not been built; run: lswarn region build"):
            record_rain_days(conn, world.region, [EARLY])

    def test_the_view_names_missing_days_and_better_granules(self, recorded, conn):
        late = Granule("IMERG-Late", "V07B", 10, date(2015, 9, 30))
        record_rain_days(conn, recorded.region, [LATE, late])
        recorded.publish(conn)
        query = "SELECT day, used_product, best_product, rerun_due FROM lswarn.rain_status ORDER BY day DESC"
        found = conn.execute(text(query)).all()
        assert len(found) == 7
        assert found[0] == (date(2015, 10, 2), "IMERG-Late", "IMERG-Late", True)
        assert found[1] == (date(2015, 10, 1), None, None, False)
        assert found[2] == (date(2015, 9, 30), None, "IMERG-Late", True)


GFS, NEWER_GFS = Granule("GFS", "2015-10-01T00Z", 0), Granule("GFS", "2015-10-02T00Z", 1)
ECMWF, GAUGES = Granule("ECMWF", "2015-10-02T00Z", 0), Granule("Silent", "v1", 0)


class TestForecasts:
    @pytest.fixture
    def region(self, recorded):
        forecasts = [{"product": "GFS"}, {"product": "ECMWF"}]
        rain = recorded.region.rain.model_dump() | {"forecasts": forecasts}
        return recorded.region.model_copy(update={"rain": Rain.model_validate(rain)})

    @pytest.mark.parametrize("order", list(itertools.permutations([EARLY, GFS, NEWER_GFS, ECMWF])))
    def test_what_was_observed_beats_every_forecast(self, region, conn, order):
        for granule in order:
            record_rain_days(conn, region, [granule])
        assert best(conn) == [EARLY.sha256]

    def test_also_where_region_toml_no_longer_names_it(self, region, conn):
        record_rain_days(conn, region, [GAUGES, NEWER_GFS])
        assert best(conn) == [GAUGES.sha256]

    @pytest.mark.parametrize("order", list(itertools.permutations([GFS, NEWER_GFS, ECMWF])))
    def test_of_the_first_forecast_the_newest_issue_counts(self, region, conn, order):
        for granule in order:
            record_rain_days(conn, region, [granule])
        assert best(conn) == [NEWER_GFS.sha256]

    def test_when_it_was_published_is_kept(self, region, conn):
        record_rain_days(conn, region, [EARLY, GAUGES, GFS])
        kept = conn.execute(text("SELECT product, published_at, forecast FROM lswarn.rain_day ORDER BY product"))
        assert kept.all() == [
            ("GFS", GFS.published_at, True),
            ("IMERG-Early", EARLY.published_at, False),
            ("Silent", None, False),
        ]

    def test_a_forecast_of_a_day_gone_by_asks_for_no_rerun(self, recorded, region, conn):
        record_rain_days(conn, region, [replace(GFS, day=date(2015, 9, 30))])
        recorded.publish(conn)
        query = "SELECT best_product, rerun_due FROM lswarn.rain_status WHERE day = '2015-09-30'"
        assert conn.execute(text(query)).all() == [(None, False)]


class TestModels:
    def add(self, conn, region, name, hours=0):
        made_at = START + timedelta(hours=hours)
        record_model(conn, region, name, path=Path("m.pt"), snapshot_id="s", metrics={"auc": 0.9}, made_at=made_at)

    def test_there_is_no_champion_at_first(self, recorded, conn):
        with pytest.raises(NoModel, match="lswarn train"):
            find_champion(conn, recorded.region)

    def test_one_champion_at_a_time(self, recorded, conn):
        region = recorded.region
        self.add(conn, region, "new", 1)
        for name in ("net", "new", "new"):
            promote_model(conn, region, name)
            assert find_champion(conn, region).id == name
        roles = {model.id: model.role for model in find_models(conn, region)}
        assert roles == {"new": "champion", "net": "retired"}
        promote_model(conn, region, "net")
        assert find_champion(conn, region).metrics == {"auc": 0.9}

    def test_recording_again_keeps_the_role(self, recorded, conn):
        promote_model(conn, recorded.region, "net")
        self.add(conn, recorded.region, "net")
        assert find_champion(conn, recorded.region).path == Path("m.pt")

    def test_only_what_is_recorded_can_be_promoted(self, recorded, conn):
        promote_model(conn, recorded.region, "net")
        with pytest.raises(NoModel, match="ghost"):
            promote_model(conn, recorded.region, "ghost")
        assert find_champion(conn, recorded.region).id == "net"

    def test_the_newest_comes_first(self, recorded, conn):
        for hours, name in enumerate("abc"):
            self.add(conn, recorded.region, name, hours)
        assert [model.id for model in find_models(conn, recorded.region)] == ["c", "b", "a", "net"]

    def test_the_verdict_stands_beside_the_scores_and_outlives_recording_again(self, recorded, conn):
        record_verdict(conn, recorded.region, "net", {"promoted": False, "reason": "a 5 % worse :AUC"})
        self.add(conn, recorded.region, "net")
        metrics = find_model(conn, recorded.region, "net").metrics
        assert metrics == {"auc": 0.9, "verdict": {"promoted": False, "reason": "a 5 % worse :AUC"}}


class TestDrift:
    def test_the_newest_of_each_kind_counts(self, recorded, conn):
        region, nan = recorded.region, float("nan")
        record_drift(conn, region, "net", [], START)
        record_drift(conn, region, "net", [Shift("ground", "slope", 0.3, 9), Shift("2014", "rain", 0.2, 5)], START)
        later = START + timedelta(days=9)
        record_drift(conn, region, "net", [Shift("ground", "slope", nan, 0), Shift("2015", "rain", 0.1, 7)], later)
        found = find_drift(conn, region, "net")
        assert [(each.of, each.subject, each.cells) for each in found] == [
            ("ground", "slope", 0),
            ("2015", "rain", 7),
            ("2014", "rain", 5),
        ]
        assert math.isnan(found[0].psi)
        assert (found[1].psi, found[1].made_at) == (0.1, later)
        assert find_drift(conn, region, "other") == []
