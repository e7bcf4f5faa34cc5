"""The line as a whole, on the demo world in coarse cells: real servers, real PostGIS, a model really trained."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes, policy
from socket import create_server

import geopandas as gpd
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from lswarn import day as line
from lswarn.alerts.policy import Kind
from lswarn.db.engine import open_database, transaction
from lswarn.errors import DatabaseDown, NotYetPublished
from lswarn.rain.window import Grade


def test_the_ten_days_tell_a_story(house):
    """Nothing is scripted: the model was trained, and the rain decides."""
    said = [(message.kind, message.area_id) for day in house.world.days for message in house.publish(day).messages]
    assert {Kind.OPEN, Kind.CLEAR, Kind.DATA_MISSING} <= {kind for kind, _ in said}
    assert house.deliver() == line.Delivery(len(house.mail.received) + len(house.hooks.received), 0)
    assert len(house.hooks.received) == len(said)
    assert house.deliver() == line.Delivery(0, 0)


@pytest.fixture
def laid(house):
    """`laid(assessment, "road")`: an assessment with zones laid by hand, over a road, a town, both or nothing."""
    areas, roads, towns = (
        gpd.read_file(getattr(house.region.assets, name).file).set_index("id").to_crs(4326)
        for name in ("warning_areas", "roads", "settlements")
    )
    area, town = areas.geometry["cross-mountain"], towns.geometry["T3"]
    outside = area.difference(towns.union_all().buffer(0.01))
    on_road = roads.geometry["CROSS-3"].intersection(outside).interpolate(0.5, normalized=True).buffer(0.002)
    in_town = town.intersection(area).representative_point().buffer(0.004)
    plot = {"none": [], "road": [on_road], "town": [in_town, on_road]}

    def lay(assessment, hit):
        zones = gpd.GeoDataFrame(
            {"class": 5, "area_m2": 1e4, "probability_mean": 0.3, "probability_max": 0.4},
            index=range(len(plot[hit])),
            geometry=plot[hit],
            crs=4326,
        )
        return replace(assessment, zones=zones, key=f"{assessment.day} {hit}")

    return lay


def said(publication):
    return [(message.kind, message.level.name, message.lead_days) for message in publication.messages]


def test_an_alert_opens_rises_steps_down_and_clears(house, laid):
    """The life of one alert, with zones laid by hand over a road and a town."""
    told = []
    for day, hit in zip(house.world.days, ("none", "road", "town", "road", "road", "none", "none"), strict=False):
        assessment = laid(house.assess(day, house.run_at(day) + timedelta(days=2)), hit)
        told.append(said(line.publish(house.region, house.settings, assessment, house.rain.now)))
    assert told == [
        [],
        [(Kind.OPEN, "ORANGE", 0)],
        [(Kind.RAISE, "RED", 0)],
        [],
        [(Kind.LOWER, "ORANGE", 0)],
        [],
        [(Kind.CLEAR, "NONE", 0)],
    ]
    house.deliver()
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in house.mail.received]
    assert len(mails) == 4
    assert all("Cross Mountain" in mail["Subject"] for mail in mails)


def test_an_outlook_opens_and_raises_an_alert_and_only_observed_days_end_it(house, laid):
    hits = [("none", ["none", "road"]), ("none", ["town", "none"]), ("none", ["none", "none"]), ("none", [])]
    told, apart = [], []
    for day, (seen, feared) in zip(house.world.days, hits, strict=False):
        observed = laid(house.assess(day, house.run_at(day) + timedelta(hours=9)), seen)
        ahead = house.outlook(day, len(feared)) if feared else []
        outlooks = [laid(each, hit) for each, hit in zip(ahead, feared, strict=True)]
        publication = line.publish(house.region, house.settings, observed, house.rain.now, outlooks=outlooks)
        told.append(said(publication))
        assert publication.ahead == tuple(each.day for each in outlooks)
        with transaction(open_database(house.settings)) as conn:
            views = ("outlook_run", "outlook_exposed_road", "current_run", "exposed_road_now")
            counts = [conn.execute(text(f"SELECT count(*) FROM lswarn.{view}")).scalar() for view in views]
            apart.append([counts[0], counts[1] > 0, counts[2], counts[3]])
    assert told == [
        [(Kind.OPEN, "ORANGE", 2)],
        [(Kind.RAISE, "RED", 1)],
        [(Kind.CLEAR, "NONE", 0)],  # two complete days below it, and no outlook calls for it any more
        [],
    ]
    assert apart == [[2, True, 1, 0], [2, True, 1, 0], [2, False, 1, 0], [1, False, 1, 0]]


def test_an_outlook_twice_says_nothing_new(house, laid):
    day = house.world.days[0]
    observed, outlooks = laid(house.assess(day), "none"), [laid(each, "road") for each in house.outlook(day, 1)]
    first = line.publish(house.region, house.settings, observed, house.rain.now, outlooks=outlooks)
    assert said(first) == [(Kind.OPEN, "ORANGE", 1)]
    rows = house.rows()
    again = line.publish(house.region, house.settings, observed, house.rain.now, outlooks=outlooks)
    assert again.repeated
    assert again.messages == ()
    assert house.rows() == rows


def test_a_hindcast_is_recorded_and_nobody_is_told(house):
    day, _ = first_warning(house)
    before = house.rows()
    now = house.run_at(day) + timedelta(days=30)
    dawn = datetime.combine(day + timedelta(days=1), time(5, 30), UTC)
    best, early = (line.hindcast(house.region, house.settings, day, now, as_of=as_of) for as_of in (None, dawn))
    assert (best.grade, early.grade) == (Grade.A, Grade.B)
    assert str(day) in early.sentence
    after = house.rows()
    assert after["message"] == before["message"]
    assert after["alert"] == before["alert"]
    with transaction(open_database(house.settings)) as conn:
        kinds = conn.execute(
            text("SELECT kind, superseded_at IS NULL FROM lswarn.run WHERE valid_day = :day ORDER BY id"), {"day": day}
        ).all()
        assert [tuple(row) for row in kinds] == [("observed", True), ("hindcast", False), ("hindcast", True)]
        assert conn.execute(text("SELECT grade FROM lswarn.current_run")).scalar() == "A"


def test_better_rain_that_changes_a_class_is_a_new_run_and_updates_the_same_alert(house):
    """05:30 with the early run of the storm's day, 15:30 with the late one."""
    day = house.world.days[2]
    for each in house.world.days[:2]:
        house.publish(each)
    dawn = datetime.combine(day + timedelta(days=1), time(5, 30), UTC)
    first = house.publish(day, dawn)
    second = house.publish(day)
    assert (first.repeated, second.repeated) == (False, False)
    assert first.exposure != second.exposure
    with transaction(open_database(house.settings)) as conn:
        runs = conn.execute(
            text("SELECT grade, superseded_at IS NULL FROM lswarn.run WHERE valid_day = :day ORDER BY id"), {"day": day}
        ).all()
        assert [tuple(row) for row in runs] == [("B", False), ("A", True)]
        assert max(conn.execute(text("SELECT count(*) FROM lswarn.alert GROUP BY area_id")).scalars()) == 1


def test_a_mail_says_what_where_and_how_sure(house):
    day, message = first_warning(house)
    house.deliver()
    mail = message_from_bytes(house.mail.received[0].read_bytes())
    kinds = [part.get_content_type() for part in mail.walk()]
    assert {"text/plain", "text/html", "image/png"} <= set(kinds)
    assert mail["Subject"]
    for word in ("made", f"{day:%Y}", "7"):
        assert word in message.text


def first_warning(house):
    for day in house.world.days:
        for message in house.publish(day).messages:
            if message.kind is Kind.OPEN:
                return day, message
    raise AssertionError("no warning was opened in ten days")


def test_the_same_day_twice_leaves_the_same_rows_and_no_second_message(house):
    day, _ = first_warning(house)
    before = house.rows()
    again = house.publish(day)
    assert again.repeated
    assert again.messages == ()
    assert house.rows() == before
    assert before["message"]


def test_two_runs_at_once_leave_the_rows_of_one(house):
    day, _ = first_warning(house)
    before = house.rows()
    house.begin()
    earlier = [d for d in house.world.days if d < day]
    for each in earlier:
        house.publish(each)
    assessment, together = house.assess(day), threading.Barrier(2)

    def publish() -> line.Publication:
        together.wait(timeout=30)
        return line.publish(house.region, house.settings, assessment, house.run_at(day))

    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(publish), pool.submit(publish)]]
    assert sorted(p.repeated for p in done) == [False, True]
    assert house.rows() == before


def test_a_publish_that_dies_leaves_nothing(house, monkeypatch):
    day, _ = first_warning(house)
    house.begin()
    before = house.rows()

    def dies(*args: object):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(line.release, "queue", dies)
        with pytest.raises(KeyboardInterrupt):
            house.publish(day)
    assert house.rows() == before
    assert house.publish(day).messages


def test_a_dry_run_says_what_it_would_and_leaves_nothing(house):
    day, _ = first_warning(house)
    house.begin()
    before = house.rows()
    assert house.publish(day, dry_run=True).messages
    assert house.rows() == before


def test_a_late_day_is_a_lower_bound_that_clears_nothing_and_says_so(house):
    for day in house.world.days:
        assessment = house.assess(day)
        publication = line.publish(house.region, house.settings, assessment, house.run_at(day))
        kinds = {message.kind for message in publication.messages}
        if assessment.grade is Grade.D:
            assert Kind.DATA_MISSING in kinds
            assert not kinds & {Kind.LOWER, Kind.CLEAR}
            break
    else:
        raise AssertionError("the demo has a day that comes late")
    # Once the late day is there, the same day is done again, whole, and replaces the lower bound.
    again = house.publish(day, house.run_at(day) + timedelta(days=1))
    with transaction(open_database(house.settings)) as conn:
        runs = conn.execute(
            text("SELECT grade, superseded_at IS NULL FROM lswarn.run WHERE valid_day = :day ORDER BY id"), {"day": day}
        ).all()
    assert not again.repeated
    assert [tuple(run) for run in runs] == [("D", False), ("A", True)]


def test_a_week_without_rain_is_published_as_unknown_and_ends_no_warning(house, tmp_path):
    day, _ = first_warning(house)
    standing = [row for row in house.rows()["alert"] if "None" in row]
    sources = tuple(source.model_copy(update={"at": str(tmp_path)}) for source in house.region.rain.sources)
    lost = house.region.model_copy(update={"rain": house.region.rain.model_copy(update={"sources": sources})})
    late = day + timedelta(days=10)
    window = line.ingest(lost, house.settings, late, house.run_at(late))
    assert window.grade is Grade.E
    assert window.days == ()
    found = line.assess(lost, house.settings, window, lambda done, total: None)
    publication = line.publish(lost, house.settings, found, house.run_at(late))
    *reminders, missing = publication.messages
    assert missing.kind is Kind.DATA_MISSING
    assert [message.kind for message in reminders] == [Kind.UPDATE] * len(standing)  # what was said is ten days old
    for message in reminders:
        assert "still in force" in message.payload["data"]["headline"]
        assert "This is no all-clear." in message.text
    assert [row for row in house.rows()["alert"] if "None" in row] == standing


def test_an_older_day_done_again_is_stored_without_a_word(house):
    days = house.world.days[:5]
    for day in days:
        house.publish(day)
    said = house.rows()["message"]
    with transaction(open_database(house.settings), house.region) as conn:
        conn.execute(text("UPDATE lswarn.run SET key = 'another' WHERE valid_day = :day"), {"day": days[3]})
    again = house.publish(days[3])
    assert not again.repeated
    assert again.messages == ()
    assert house.rows()["message"] == said


def test_rain_that_is_not_due_yet_is_waited_for(house):
    day = house.world.days[0]
    house.publish(day)
    too_early = datetime.combine(day + timedelta(days=2), time(1), UTC)
    with pytest.raises(NotYetPublished, match="run again then"):
        house.assess(day + timedelta(days=1), too_early)


def test_where_every_product_takes_longer_the_newest_day_that_is_due_is_run(house):
    """A region that knows only a slow product would never be warned of anything else."""
    day = house.world.days[0]
    house.publish(day)
    early = datetime.combine(day + timedelta(days=2), time(1), UTC)
    assert line.ingest(house.region, house.settings, None, early).day == day


def test_a_mail_server_that_is_down_holds_up_no_run_and_loses_no_mail(house):
    first_warning(house)
    with create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    down = house.settings.model_copy(update={"smtp_port": nobody})
    delivery = line.deliver(down, lambda: datetime.now(UTC))
    assert delivery.refused > 0
    later = datetime.now(UTC) + timedelta(hours=3)
    assert line.deliver(house.settings, lambda: later).delivered == delivery.refused
    assert len(house.mail.received) == delivery.refused


def test_a_database_that_is_down_is_told_with_its_remedy(house):
    with create_server(("127.0.0.1", 0)) as probe:
        nobody = probe.getsockname()[1]
    lost = house.settings.model_copy(
        update={"database_url": SecretStr(f"postgresql://me:hunter2@127.0.0.1:{nobody}/none")}
    )
    with pytest.raises(DatabaseDown, match="lswarn db start") as caught:
        line.deliver(lost, lambda: datetime.now(UTC))
    assert "hunter2" not in str(caught.value)
