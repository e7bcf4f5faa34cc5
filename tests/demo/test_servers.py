import json
import smtplib
import threading
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import numpy as np
import pytest
import requests
from standardwebhooks import Webhook

from lswarn.demo import storms
from lswarn.demo.granules import granule_path
from lswarn.demo.servers import MOST_BYTES, TOLERANCE, MailSink, RainServer, WebhookReceiver
from lswarn.errors import NotYetPublished
from lswarn.rain.fetch import fetch_day
from lswarn.region import RainSource

DAY = storms.DAYS[0]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 3, 15, 15, 30, tzinfo=UTC)


def get(url):
    return requests.get(url, timeout=5)


def test_a_file_is_neither_listed_nor_found_before_it_is_published(world):
    path = granule_path("L", DAY)
    folder, _, name = path.rpartition("/")
    with RainServer(world.granules, now=storms.published_at("L", DAY) - timedelta(seconds=1)) as server:
        assert get(f"{server.url}/{path}").status_code == 404
        assert name not in get(f"{server.url}/{folder}/").text
        server.now += timedelta(seconds=1)
        assert f'<a href="{name}">' in get(f"{server.url}/{folder}/").text
        assert get(f"{server.url}/{path}").content == (world.granules / path).read_bytes()


def test_folders_can_be_walked_from_the_root_and_nothing_else_is_served(world):
    with RainServer(world.granules, now=NOW) as server:
        assert 'href="data/"' in get(server.url).text
        assert 'href="2026/"' in get(f"{server.url}/data/GPM_L3/GPM_3IMERGDL.07").text
        for path in ("schedule.json", "data/../schedule.json", "%2e%2e/region.toml", "data/nothing/"):
            assert get(f"{server.url}/{path}").status_code == 404


def test_the_real_fetcher_gets_the_made_rain(world):
    with RainServer(world.granules, now=NOW) as server:
        at = f"{server.url}/data/GPM_L3/GPM_3IMERGDL.07/{{year}}/{{month}}/"
        source = RainSource(product="IMERG-Late", at=at, latency_h=15)
        bbox = (-84.4, 36.2, -84.1, 36.4)
        got = fetch_day(source, DAY, bbox, now=NOW, token=None, timeout_s=5)
        made = storms.daily_rain(DAY, 7).sel(lat=got.precipitation.lat, lon=got.precipitation.lon, method="nearest")
        np.testing.assert_allclose(got.precipitation, made, rtol=1e-6)
        assert (got.product, got.version) == ("IMERG-Late", "V07C")
        with pytest.raises(NotYetPublished):
            fetch_day(source, DAY + timedelta(days=1), bbox, now=NOW, token=None, timeout_s=5)


def test_many_at_once(world):
    with RainServer(world.granules, now=NOW) as server:
        sizes = []
        url = f"{server.url}/{granule_path('L', DAY)}"
        threads = [threading.Thread(target=lambda: sizes.append(len(get(url).content))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(sizes)) == 1
        assert len(sizes) == 8


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


def test_a_server_is_gone_once_left(world, tmp_path):
    with RainServer(world.granules, now=NOW) as rain, WebhookReceiver(tmp_path, SECRET) as hooks:
        urls = [rain.url, hooks.url]
    for url in urls:
        with pytest.raises(requests.ConnectionError):
            get(url)
