"""[[subscribers]]: whom to tell, and how."""

import pytest
from pydantic import ValidationError

from lswarn.sections import Subscriber


def subscriber(channel: str = "email", address: str = "duty@example.org", **wishes: object) -> Subscriber:
    return Subscriber.model_validate({"name": "duty", "channel": channel, "address": address} | wishes)


def test_what_is_left_out() -> None:
    duty = subscriber()
    assert (duty.level, duty.language, duty.one_mail, duty.areas) == ("orange", "en", True, ())
    assert not subscriber("webhook", "https://example.org/hook").one_mail


@pytest.mark.parametrize(
    ("channel", "address", "problem"),
    [
        *(
            ("email", address, "is not a mail address")
            for address in ("", "duty", "a b@c.org", "a@b\r\nBcc: c@d.org", "a@b, c@d", "<a@b>", "@", "a@", "a@b\u202e")
        ),
        *(
            ("webhook", address, "is not an http")
            for address in ("", "ftp://example.org", "https://", "https://[", "https://a b/", "example.org/hook")
        ),
        ("webhook", "https://user:hunter2@example.org/", "must hold no user or password"),
        ("file", "relative/folder", "is not the absolute path"),
        ("apprise", "tgram://hunter2/chat", "holds secrets: write TAG=ADDRESS in LSWARN_APPRISE_FILE"),
        ("apprise", "two words", "is not a tag of Apprise"),
        ("pigeon", "loft 3", "channel"),
    ],
)
def test_an_address_that_does_not_fit_its_channel(channel: str, address: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as refused:
        subscriber(channel, address)
    assert "hunter2" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"level": "yellow"}, "level"),
        ({"language": "xx"}, "language"),
        ({"channel": "webhook", "address": "https://a.org", "digest": True}, "digest is for email and apprise"),
        ({"allow_private": True}, "allow_private is for webhooks"),
    ],
)
def test_a_wish_that_cannot_be_met(wish: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        subscriber(**wish)


@pytest.mark.parametrize(
    ("channel", "address", "lane"),
    [
        ("email", "duty@example.org", "email"),
        ("webhook", "https://Hooks.Example.org:8443/a?token=t", "webhook hooks.example.org"),
        ("file", "/srv/warnings", "file /srv/warnings"),
        ("apprise", "mayor", "apprise mayor"),
    ],
)
def test_what_fails_together(channel: str, address: str, lane: str) -> None:
    assert subscriber(channel, address).lane == lane
