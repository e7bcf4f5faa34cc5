import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from shapely.geometry import Polygon, box

from lswarn.alerts.briefing import Briefing, Standing
from lswarn.alerts.cap.check import check
from lswarn.alerts.cap.document import NAMESPACE, CapAlert, CapReference, cap_of, cap_time, identifier_of, to_xml
from lswarn.alerts.message import AlertMessage, compose, compose_data_missing, with_approval
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level
from lswarn.errors import CapError
from lswarn.sections import Cap

SENT = datetime(2026, 10, 6, 15, 30, 12, 999_999, tzinfo=UTC)
AREA = box(-84.4, 36.2, -84.1, 36.4)
ZONE = box(-84.3, 36.25, -84.2, 36.3)
BEFORE = CapReference("lswarn@localhost", "lswarn.jacksboro.1", "2026-10-05T15:30:00-00:00")
Facts = object


def document(message: AlertMessage, rules: Cap | None = None, **facts: Facts) -> CapAlert:
    known = {"identifier": "lswarn.jacksboro.2", "sent_at": SENT, "area": AREA, "zones": ZONE, "run_id": 7}
    return cap_of(message, rules or Cap(), **(known | facts))  # type: ignore[arg-type]


def texts(xml: bytes, path: str) -> list[str]:
    """By a path of names, `info/area/polygon`."""
    steps = "/".join(f"c:{step}" for step in path.split("/"))
    return [str(each.text) for each in etree.fromstring(xml).findall(steps, {"c": NAMESPACE})]


@pytest.fixture
def opened(change: AlertChange, briefing: Briefing) -> AlertMessage:
    return compose(change, briefing)


@pytest.fixture
def ended(change: AlertChange, briefing: Briefing) -> Callable[..., AlertMessage]:
    gone = replace(change, kind=Kind.CLEAR, before=Level.RED, after=Level.NONE, hits=())
    return lambda **facts: compose(gone, replace(briefing, **facts))


class TestForm:
    def test_order_of_elements(self, opened: AlertMessage) -> None:
        rules = Cap(contact="duty@example.org")
        xml = to_xml(document(replace(opened, kind=Kind.UPDATE), rules, references=[BEFORE]))
        check(xml)
        root = etree.fromstring(xml)
        names = [etree.QName(each).localname for each in root]
        alert = "identifier sender sent status msgType source scope restriction note references info info"
        assert names == alert.split()
        info = list(dict.fromkeys(etree.QName(each).localname for each in root.find(f"{{{NAMESPACE}}}info")))
        assert info == [
            "language",
            "category",
            "event",
            "responseType",
            "urgency",
            "severity",
            "certainty",
            "eventCode",
            "effective",
            "expires",
            "senderName",
            "headline",
            "description",
            "instruction",
            "contact",
            "parameter",
            "area",
        ]

    def test_instants_are_utc_to_the_second(self, opened: AlertMessage) -> None:
        xml = to_xml(document(opened))
        assert texts(xml, "sent") == ["2026-10-06T15:30:12-00:00"]
        for each in re.findall(r"\d{4}-\d\d-\d\dT[^<]*", xml.decode()):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-00:00", each)

    def test_another_zone_is_told_in_utc(self) -> None:
        assert cap_time(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:00:00-00:00"
        with pytest.raises(ValueError, match="zone"):
            cap_time(datetime(2026, 1, 1))  # noqa: DTZ001 - the fault under test

    def test_names(self) -> None:
        assert identifier_of(Cap(), "my hills", 12, SENT) == "lswarn.my-hills.20261006T153012.12"
        assert (
            identifier_of(Cap(oid="2.49.0.0.710.1"), "hills", 12, SENT)
            == "urn:oid:2.49.0.0.710.1.2026.10.6.15.30.12.12"
        )

    def test_outlines(self, opened: AlertMessage) -> None:
        polygon, again = texts(to_xml(document(opened)), "info/area/polygon")
        points = [tuple(map(float, pair.split(","))) for pair in polygon.split()]
        assert polygon == again
        assert points[0] == points[-1]
        assert Polygon([(lon, lat) for lat, lon in points]).covers(ZONE)

    def test_only_zones_within_the_area_count(self, opened: AlertMessage) -> None:
        far = box(-80, 30, -79.9, 30.1)
        assert document(opened, zones=ZONE.union(far)).infos[0].areas == document(opened).infos[0].areas
        assert document(opened, zones=far).infos[0].areas == document(opened, zones=None).infos[0].areas
        assert "more ground" in document(opened).note
        assert document(opened, zones=far).note == ""

    def test_one_info_a_language_with_the_same_facts(self, opened: AlertMessage) -> None:
        xml = to_xml(document(opened))
        assert texts(xml, "info/language") == ["en", "es"]
        assert texts(xml, "info/headline") == [
            "RED landslide warning: North Cumberland, 5 October 2026",
            "Aviso ROJO por deslizamientos: North Cumberland, 5 de octubre de 2026",
        ]
        assert texts(xml, "info/event") == ["Landslide", "Deslizamiento de tierra"]
        assert texts(xml, "info/eventCode/value") == ["OET-119"] * 2

    def test_it_says_what_the_mail_says(self, opened: AlertMessage) -> None:
        english, _ = texts(to_xml(document(opened)), "info/description")
        for sentence in (
            "Draft by an automatic system, not an official activation.",
            "In force since 5 October 2026.",
            "Roads: Jacksboro Pike (US 25W): 4.2 km; TN 63: 820 m.",
            "IMERG-Late V07B: 6 days. The rain ends 16 hours before this message.",
            "silence is no all-clear",
        ):
            assert sentence in english
        assert texts(to_xml(document(opened)), "info/instruction")[0].startswith("Telling the people")

    def test_parameters(self, opened: AlertMessage) -> None:
        xml = to_xml(document(opened))
        known = dict(zip(texts(xml, "info/parameter/valueName"), texts(xml, "info/parameter/value"), strict=True))
        assert known == {
            "lswarn:level": "RED",
            "lswarn:valid_day": "2026-10-05",
            "lswarn:lead_days": "0",
            "lswarn:run_id": "7",
            "lswarn:model_version": "3f9ac1d07b42",
            "lswarn:rain_products": "IMERG-Late V07B, IMERG-Early V07B",
            "lswarn:rain_age_h": "15.5",
            "lswarn:rain_grade": "B",
            "lswarn:completeness": "complete",
            "lswarn:rain_mm": "212.4",
            "lswarn:critical_mm": "180.0",
            "lswarn:prob_max": "0.91",
            "lswarn:roads_km": "5.034",
            "lswarn:settlements": "2",
            "lswarn:population": "unknown",  # of one settlement nobody knows it
            "lswarn:approval_status": "auto",
        }


class TestMapping:
    def test_a_draft_for_few_unless_told_otherwise(self, opened: AlertMessage) -> None:
        alert = document(opened)
        assert (alert.status, alert.msg_type, alert.scope, bool(alert.restriction)) == (
            "Draft",
            "Alert",
            "Restricted",
            True,
        )
        alert = document(opened, Cap(status="Actual", scope="Public", sender="a@b", sender_name="Geological survey"))
        assert (alert.status, alert.scope, alert.restriction) == ("Actual", "Public", "")
        assert (alert.sender, alert.infos[0].sender_name) == ("a@b", "Geological survey")
        check(to_xml(alert))

    @pytest.mark.parametrize(("status", "said"), [("test", "Test"), ("exercise", "Exercise")])
    def test_a_drill_is_one_whatever_the_rules_say(
        self, status: str, said: str, change: AlertChange, briefing: Briefing
    ) -> None:
        alert = document(compose(change, replace(briefing, status=status)), Cap(status="Actual"))
        assert alert.status == said
        assert "Nothing has happened" in alert.note

    def test_made_up_data_never_goes_out_as_real(self, change: AlertChange, briefing: Briefing) -> None:
        alert = document(compose(change, replace(briefing, made="everything")), Cap(status="Actual", scope="Public"))
        assert (alert.status, alert.scope) == ("Test", "Restricted")
        check(to_xml(alert))

    @pytest.mark.parametrize(
        ("level", "probability", "said"),
        [
            (Level.RED, 0.51, ("Immediate", "Extreme", "Likely")),
            (Level.RED, 0.5, ("Immediate", "Extreme", "Possible")),
            (Level.ORANGE, 0.3, ("Immediate", "Severe", "Possible")),
            (Level.ORANGE, float("nan"), ("Immediate", "Severe", "Unknown")),
        ],
    )
    def test_how_bad_and_how_sure(
        self, level: Level, probability: float, said: tuple[str, ...], change: AlertChange, briefing: Briefing
    ) -> None:
        hits = tuple(replace(hit, probability_max=probability) for hit in change.hits)
        for info in document(compose(replace(change, after=level, hits=hits), briefing)).infos:
            assert (info.urgency, info.severity, info.certainty) == said

    def test_modelled_rain_makes_nothing_likely(self, change: AlertChange, briefing: Briefing) -> None:
        assert document(compose(change, replace(briefing, grade="E"))).infos[0].certainty == "Possible"

    def test_an_outlook(self, change: AlertChange, outlook: Briefing) -> None:
        message = compose(change, outlook)  # of 7 October
        early = document(message, sent_at=datetime(2026, 10, 5, 20, tzinfo=UTC)).infos[0]
        assert (early.urgency, early.certainty) == ("Future", "Possible")
        info = document(message, Cap(expires_h=1)).infos[0]
        assert info.urgency == "Expected"
        assert info.onset_at == datetime(2026, 10, 7, tzinfo=UTC)
        assert info.expires_at == datetime(2026, 10, 8, tzinfo=UTC)  # not before it has come
        late = document(message, sent_at=datetime(2026, 10, 7, 9, tzinfo=UTC))
        assert late.infos[0].onset_at == late.sent_at
        check(to_xml(late))

    def test_it_expires(self, opened: AlertMessage) -> None:
        assert document(opened, Cap(expires_h=30)).expires_at == SENT + timedelta(hours=30)

    def test_what_follows_is_an_update(self, opened: AlertMessage) -> None:
        alert = document(replace(opened, kind=Kind.UPDATE), references=[BEFORE, replace(BEFORE, identifier="x")])
        assert alert.msg_type == "Update"
        xml = to_xml(alert)
        check(xml)
        stamp = "2026-10-05T15:30:00-00:00"
        said = f"lswarn@localhost,lswarn.jacksboro.1,{stamp} lswarn@localhost,x,{stamp}"
        assert texts(xml, "references") == [said]
        assert alert.reference == CapReference("lswarn@localhost", "lswarn.jacksboro.2", "2026-10-06T15:30:12-00:00")

    def test_the_end_is_an_update_that_says_all_clear(self, ended: Callable[..., AlertMessage]) -> None:
        alert = document(ended(), references=[BEFORE])
        info = alert.infos[0]
        assert (alert.msg_type, info.response_types, info.urgency) == ("Update", ("AllClear",), "Past")
        assert alert.expires_at == SENT + timedelta(hours=24)
        check(to_xml(alert))

    def test_taken_back_is_a_cancel_and_no_all_clear(self, ended: Callable[..., AlertMessage]) -> None:
        message = ended(withdrawn_by="Ann", reason="wrong valley")
        alert = document(message, references=[BEFORE])
        assert (alert.msg_type, alert.infos[0].response_types) == ("Cancel", ("Assess",))
        assert dict(alert.infos[0].parameters)["lswarn:roads_km"] == "unknown"
        check(to_xml(alert))
        with pytest.raises(CapError, match="nothing to cancel"):
            document(message)

    def test_missing_rain_is_unknown_and_no_landslide(self, briefing: Briefing) -> None:
        message = compose_data_missing(
            replace(briefing, grade="D", missing=(briefing.valid_day,)), [Standing("N", Level.RED, briefing.valid_day)]
        )
        alert = document(message, zones=None)
        info = alert.infos[0]
        assert (info.urgency, info.severity, info.certainty) == ("Unknown",) * 3
        assert (info.response_types, info.event_codes, info.categories) == (("Monitor",), (), ("Infra",))
        assert "no all-clear" in info.headline
        assert info.areas[0].description == "Jacksboro demo"
        known = dict(info.parameters)
        assert {known[f"lswarn:{name}"] for name in ("level", "prob_max", "roads_km", "population")} == {"unknown"}
        check(to_xml(alert))

    def test_who_let_it_out(self, opened: AlertMessage) -> None:
        info = document(with_approval(opened, "timed_out")).infos[1]
        assert dict(info.parameters)["lswarn:approval_status"] == "timed_out"
        assert info.description.startswith("Sin revisar por una persona")

    def test_an_old_message_has_no_words_for_it(self, opened: AlertMessage) -> None:
        with pytest.raises(CapError, match="older lswarn"):
            document(replace(opened, payload={}))


names = st.one_of(
    st.text(),
    st.sampled_from(["<a/>", "]]>", "&amp;", "a\r\nb", "طريق", "\ufffe\x00\ud800", "x" * 300, "<!ENTITY x '1'>"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(names, names, names)
def test_a_name_is_only_ever_a_name(change: AlertChange, briefing: Briefing, road: str, town: str, area: str) -> None:
    """Whatever anything is called, the document keeps to the protocol, and has no element more."""
    hits = (Hit("road", road, road, town, 50.0, 0, 0.5), Hit("settlement", town, town, "", 0.0, 3, 0.5))
    hostile = replace(briefing, area_name=area, title=town, made=road, critical_source=town, model_id=area)
    message = compose(replace(change, area_id="north", hits=hits), hostile)
    xml = to_xml(document(with_approval(message, "approved", town), Cap(sender_name=road)))
    check(xml)
    assert len(etree.fromstring(xml).findall(".//{*}area")) == 2


def test_a_sender_of_blanks_has_no_name(opened: AlertMessage) -> None:
    xml = to_xml(document(opened, Cap(sender_name="\x85\n")))
    check(xml)
    assert b"senderName" not in xml


class TestCheck:
    @pytest.fixture
    def xml(self, opened: AlertMessage) -> str:
        return to_xml(document(opened)).decode()

    @pytest.mark.parametrize(
        ("pattern", "instead", "fault"),
        [
            ("</alert>", "", "not a CAP document"),
            ("urn:oasis:names:tc:emergency:cap:1.2", "urn:oasis:names:tc:emergency:cap:1.1", "alert"),
            (r"(?s)(<sender>.*?</sender>)(.*?)(<sent>.*?</sent>)", r"\3\2\1", "sent"),
            (r"<sent>.*?</sent>", "", "sender|status"),
            ("-00:00</sent>", "Z</sent>", "sent"),
            ("12-00:00</sent>", "12.5-00:00</sent>", "sent"),
            ("<status>Draft", "<status>Final", "Final"),
            ("<msgType>Alert", "<msgType>Update", "no references"),
            (r"<restriction>.*?</restriction>", "", "restriction"),
            ("<scope>Restricted", "<scope>Public", "restriction"),
            ("lswarn.jacksboro.2", "lswarn, jacksboro", "identifier"),
            (r"<expires>.*?</expires>", "", "never expires"),
            (r"<expires>2026-10-1", "<expires>2025-10-1", "expires at"),
            ("<certainty>Likely", "<certainty>Observed", "observes nothing"),
            ("<urgency>Immediate</urgency>", "", "severity"),
            (r"<polygon>(\S+)", r"<polygon>1.0,1.0", "not closed"),
            (r"<polygon>(\S+ )(\S+).*?</polygon>", r"<polygon>\1\2 \1</polygon>", "polygon"),
            (r"<polygon>.*?</polygon>", "<polygon>0,190 0,191 1,191 0,190</polygon>", "off the earth"),
            (r"<polygon>.*?</polygon>", "<polygon>0,0 1,1 1,0 0,1 0,0</polygon>", "crosses itself"),
            (r"(?s)<area>.*?</area>", "", "nobody knows where"),
            ("<language>es", "<language>en", "twice"),
            ("<references", "<nothing", None),
        ],
    )
    def test_faults_are_found(self, xml: str, pattern: str, instead: str, fault: str | None) -> None:
        spoilt = re.sub(pattern, instead, xml).encode()
        if fault is None:
            check(spoilt)
            return
        with pytest.raises(CapError, match=fault):
            check(spoilt)

    def test_languages_must_not_differ_in_facts(self, xml: str) -> None:
        with pytest.raises(CapError, match="es: other facts than in en"):
            check(xml.replace("<severity>Extreme", "<severity>Severe", 1).encode())

    def test_a_document_does_not_follow_itself(self, opened: AlertMessage) -> None:
        alert = document(opened, references=[replace(BEFORE, identifier="lswarn.jacksboro.2")])
        with pytest.raises(CapError, match="itself"):
            check(to_xml(alert))

    def test_no_entity_is_ever_followed(self, xml: str) -> None:
        bomb = '<!DOCTYPE alert [<!ENTITY x SYSTEM "file:///etc/passwd">]><alert'
        with pytest.raises(CapError, match="document type"):
            check(xml.replace("<alert", bomb, 1).replace("<event>Landslide", "<event>&x;", 1).encode())


class TestRules:
    def test_a_draft_is_not_for_the_public(self) -> None:
        with pytest.raises(ValueError, match="draft"):
            Cap(scope="Public")

    @pytest.mark.parametrize(
        "odd",
        [
            {"sender": "a b"},
            {"sender": "a,b"},
            {"sender": "a&b"},
            {"oid": "2.49."},
            {"expires_h": 0},
            {"restriction": ""},
        ],
    )
    def test_odd_values_are_refused(self, odd: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=next(iter(odd))):
            Cap.model_validate(odd)
