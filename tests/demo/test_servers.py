import json
import smtplib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
import requests
from standardwebhooks import Webhook

from lswarn.demo.servers import MOST_BYTES, TOLERANCE, MailSink, WebhookReceiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 3, 15, 15, 30, tzinfo=UTC)


def post(url, body, *, message_id="msg_1", at=NOW, secret=SECRET, **headers):
    signature = Webhook(secret).sign(message_id, at, body)
    signed = {"webhook-id": message_id, "webhook-timestamp": f"{at.timestamp():.0f}", "webhook-signature": signature}
    return requests.post(url, data=body.encode(), headers=signed | headers, timeout=5)


@pytest.fixture
def receiver(tmp_path):
    with WebhookReceiver(tmp_path / "hooks", SECRET, clock=lambda: NOW) as server:
        yield server


def test_a_signed_webhook_is_kept_once(receiver):
    body = json.dumps({"area": "Żagań ↟"})
    assert post(receiver.url, body).status_code == 204
    assert post(receiver.url, body).status_code == 204
    assert post(receiver.url, body, message_id="msg_2").status_code == 204
    assert [path.read_text("utf-8") for path in receiver.received] == [body, body]


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_bm90IHRoZSBzZWNyZXQ="},
        {"at": NOW - TOLERANCE - timedelta(seconds=1)},
        {"at": NOW + TOLERANCE + timedelta(seconds=1)},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "9" * 30},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,żółw".encode()},
        {"webhook-id": "another"},
    ],
)
def test_a_webhook_with_a_wrong_signature_or_time_is_refused(receiver, wrong):
    assert post(receiver.url, "{}", **wrong).status_code == 401
    assert receiver.received == []


def test_one_of_several_signatures_is_enough(receiver):
    right = Webhook(SECRET).sign("msg_1", NOW, "{}")
    assert post(receiver.url, "{}", **{"webhook-signature": f"v1,AAAA {right}"}).status_code == 204


def test_webhooks_without_headers_or_too_large_are_refused(receiver):
    assert requests.post(receiver.url, data=b"{}", timeout=5).status_code == 401
    assert requests.post(receiver.url, data=iter([b"{}"]), timeout=5).status_code == 411
    huge = requests.Request("POST", receiver.url, headers={"Content-Length": str(MOST_BYTES + 1)}).prepare()
    huge.headers["Content-Length"] = str(MOST_BYTES + 1)
    with requests.Session() as session:
        assert session.send(huge, timeout=5).status_code == 413


def mail(message_id, text):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@b.example", "duty@county.example", "Alert"
    message["Message-ID"] = message_id
    message.set_content(text)
    return message


def test_mails_become_files_one_a_recipient_and_message(tmp_path):
    with MailSink(tmp_path / "mail") as sink, smtplib.SMTP(sink.host, sink.port, timeout=5) as client:
        client.send_message(mail("<1@x>", "first"))
        client.send_message(mail("<1@x>", "first again"))
        client.send_message(mail("<2@x>", "second"), to_addrs=["duty@county.example", "../../etc/roads@county.example"])
        names = sorted(path.name for path in sink.received)
        assert len(names) == 3
        assert all(path.parent == tmp_path / "mail" for path in sink.received)
        assert [name.rpartition("-")[0] for name in names] == [
            ".._.._etc_roads@county.example", "duty@county.example", "duty@county.example",
        ]  # fmt: skip
        assert sum("first again" in path.read_text() for path in sink.received) == 1


def test_a_mail_too_large_is_refused(tmp_path):
    with MailSink(tmp_path) as sink, smtplib.SMTP(sink.host, sink.port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPResponseException, match="552"):
            client.send_message(mail("<1@x>", "x" * 900 + "\n" + ("y" * 900 + "\n") * (MOST_BYTES // 900)))
        assert sink.received == []


def test_a_server_is_gone_once_left(tmp_path):
    with WebhookReceiver(tmp_path, SECRET) as hooks:
        url = hooks.url
        assert requests.get(url, timeout=5).status_code == 501
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
