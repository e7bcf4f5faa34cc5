"""What a person decides, and what people report."""

import io
import json
from datetime import UTC, datetime

import pytest
from PIL import Image
from sqlalchemy import text

from lswarn.db import assets, reports, verify
from lswarn.db.engine import transaction
from lswarn.errors import DatabaseError

SEEN = {"lon": -84.25, "lat": 36.275, "seen_on": "2015-10-02", "accuracy_m": 50}
LATER = datetime(2015, 10, 4, tzinfo=UTC)
BY = {"by": "A. Duty", "reason": "gauges agree"}


@pytest.fixture
def desk(face):
    """Posts with a token; takes back what was decided about the draft."""
    client = face.client()
    with transaction(face.engine) as conn:
        before = conn.execute(text("SELECT to_jsonb(m) FROM lswarn.alert_message AS m ORDER BY id")).scalars().all()
        alert = conn.execute(text("SELECT to_jsonb(a) FROM lswarn.alert AS a")).scalars().all()

    def post(message_id, what, said=BY, scope="review"):
        return client.post(f"/api/messages/{message_id}/{what}", json=said, headers=face.bearer(scope))

    yield post
    with transaction(face.engine) as conn:
        conn.execute(text("DELETE FROM lswarn.delivery WHERE message_id <> :id"), {"id": face.released})
        conn.execute(text("DELETE FROM lswarn.alert_message WHERE kind = 'review'"))
        for table, rows in (("alert_message", before), ("alert", alert)):
            for row in rows:
                names = [name for name in row if name not in ("id", "map_png", "cap")]
                conn.execute(
                    text(f"""UPDATE lswarn.{table} SET ({", ".join(names)}) = (
                                 SELECT {", ".join(names)} FROM jsonb_populate_record(NULL::lswarn.{table}, :row))
                             WHERE id = :id"""),
                    {"row": json.dumps(row), "id": row["id"]},
                )


class TestDecisions:
    def test_approved_it_goes_out(self, desk, face):
        told = desk(face.draft, "approve")
        assert told.status_code == 200, told.text
        assert (told.json()["approval"], told.json()["decided_by"]) == ("approved", "A. Duty")
        assert told.json()["deliveries"]["pending"] == 2
        again = desk(face.draft, "approve")
        assert again.status_code == 409
        assert "approved by A. Duty at 2015-10-03 18:00 UTC" in again.json()["detail"]

    def test_rejected_it_stays(self, desk, face):
        told = desk(face.draft, "reject")
        assert (told.json()["approval"], told.json()["reason"]) == ("rejected", "gauges agree")
        assert desk(face.draft, "approve").status_code == 409
        assert desk(face.draft, "acknowledge").status_code == 409

    def test_acknowledged_by_the_first(self, desk, face):
        assert desk(face.released, "acknowledge", {"by": "A. Duty"}).json()["acknowledged_by"] == "A. Duty"
        late = desk(face.released, "acknowledge", {"by": "B. Late"})
        assert late.status_code == 409
        assert "acknowledged by A. Duty" in late.json()["detail"]

    @pytest.mark.parametrize(
        "body",
        [{}, {"by": " "}, {"by": "x" * 101}, {"by": "A\nBcc: all"}, {"by": "A", "level": 0}, {"by": "\ud800"}, []],
    )
    def test_somebody_must_be_named(self, desk, face, body):
        answer = face.client().post(
            f"/api/messages/{face.draft}/approve",
            content=json.dumps(body),
            headers=face.bearer("review") | {"Content-Type": "application/json"},
        )
        assert answer.status_code == 422, answer.text

    def test_a_reason_is_given_for_a_refusal(self, desk, face):
        assert desk(face.draft, "reject", {"by": "A. Duty"}).status_code == 422

    @pytest.mark.parametrize("what", ["approve", "reject", "acknowledge"])
    def test_what_is_not_there(self, desk, what):
        assert desk(4711, what).status_code == 404

    def test_decided_by_somebody_else_this_moment(self, desk, face, monkeypatch):
        def late(*args, **facts):
            raise DatabaseError("message 2 does not wait for anybody")

        monkeypatch.setattr("lswarn.release.approve", late)
        answer = desk(face.draft, "approve")
        assert answer.status_code == 409
        assert "decided about this moment" in answer.json()["detail"]


def picture(kind="JPEG", size=(60, 40), **facts):
    out = io.BytesIO()
    Image.new("RGB", size, "brown").save(out, kind, **facts)
    return out.getvalue()


@pytest.fixture
def tell(face):
    client = face.client()

    def tell(photo=None, scope="report", **seen):
        files = {"photo": ("photo.jpg", photo)} if photo is not None else {"x": ("", b"")}
        return client.post("/api/events", data=SEEN | seen, files=files, headers=face.bearer(scope))

    yield tell
    with transaction(face.engine) as conn:
        conn.execute(text("DELETE FROM lswarn.landslide"))


class TestReports:
    def test_a_report_teaches_nothing_before_it_is_confirmed(self, tell, face, world):
        told = tell(note="Road blocked")
        assert told.status_code == 201, told.text
        report_id = told.json()["report_id"]
        assert (told.json()["region"], told.json()["confirmed"]) == ("testland", False)

        def known():
            with transaction(face.engine) as conn:
                taught = assets.find_landslides(conn, world.region)
                judged = verify.find_known_landslides(conn, world.region)
                return len(taught.teaching), sum(taught.left_out.values()), len(judged)

        assert known() == (0, 0, 0)
        with transaction(face.engine) as conn:
            reports.mark_report(conn, "testland", report_id, confirmed=True, by="A. Duty", at=LATER)
        assert known()[2] == 1
        with transaction(face.engine) as conn, pytest.raises(DatabaseError, match="lswarn events reports"):
            reports.mark_report(conn, "testland", "report-x", confirmed=True, by="A. Duty", at=LATER)

    def test_twice_is_once(self, tell):
        assert [tell().status_code, tell().status_code, tell(note="more").status_code] == [201, 200, 201]

    def test_a_photo_is_kept_without_where_it_was_taken(self, tell, face):
        exif = Image.Exif()
        exif[0x010F] = "Camera of A. Duty"
        report_id = tell(picture(exif=exif)).json()["report_id"]
        client = face.client()
        address = f"/api/events/testland/{report_id}/photo.jpg"
        assert client.get(address).status_code == 401
        kept = client.get(address, headers=face.bearer("review"))
        assert kept.headers["content-type"] == "image/jpeg"
        assert b"A. Duty" not in kept.content
        assert Image.open(io.BytesIO(kept.content)).size == (60, 40)
        (listed,) = client.get("/api/events", headers=face.bearer("review")).json()["items"]
        assert listed["has_photo"]

    @pytest.mark.parametrize(
        ("photo", "status"),
        [
            (b"<svg onload=alert(1)>", 415),
            (picture()[:300], 415),
            (picture("GIF"), 415),
            (b"\xff\xd8" * 2_600_000, 413),
            (picture("PNG", (8000, 7000)), 413),
        ],
        ids=["svg", "cut", "gif", "large", "bomb"],
    )
    def test_what_is_no_photo(self, tell, photo, status):
        assert tell(photo).status_code == status

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [
            ({"lon": 36.275, "lat": -84.25}, 404),
            ({"lon": "NaN"}, 422),
            ({"lon": "west"}, 422),
            ({"seen_on": "2015-10-09"}, 422),
            ({"seen_on": "1443744000"}, 422),
            ({"accuracy_m": 0}, 422),
            ({"accuracy_m": "inf"}, 422),
            ({"note": "x" * 2001}, 422),
            ({"note": "a\x00b"}, 422),
            ({"region": "otherland"}, 404),
            ({"region": "'; --"}, 422),
        ],
    )
    def test_what_is_no_report(self, tell, wrong, status):
        assert tell(**wrong).status_code == status

    def test_markup_stays_words(self, tell):
        note = "<script>alert(1)</script>'; DROP TABLE lswarn.landslide; --"
        assert tell(note=note).json()["note"] == note

    def test_another_scope_may_not(self, tell):
        assert tell(scope="review").status_code == 403
