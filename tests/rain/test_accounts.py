import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import AccessDenied
from lswarn.rain.accounts import Account, account_for, basic, same_server, server_of, token_warning
from lswarn.settings import Settings

NOW = datetime(2026, 2, 1, 15, 30, tzinfo=UTC)
LOGIN = "urs.earthdata.nasa.gov"


def token(**claims: object) -> str:
    """A JSON Web Token that nobody signed."""
    parts = ({"typ": "JWT", "alg": "RS256"}, {"uid": "somebody", **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, "c2lnbmF0dXJl"))


def aged(days: float, lasts_days: float = 60) -> str:
    made_at = NOW - timedelta(days=days)
    return token(iat=int(made_at.timestamp()), exp=int((made_at + timedelta(days=lasts_days)).timestamp()))


def earthdata(value: str | None) -> Account:
    return account_for("earthdata", Settings(earthdata_token=value), NOW)


class TestTokenAge:
    @pytest.mark.parametrize("days", [0, 30, 44.9])
    def test_a_young_token_is_no_news(self, days):
        assert token_warning(aged(days), NOW) is None

    def test_one_older_than_45_days_is_told(self):
        assert token_warning(aged(51), NOW) == (
            "the Earthdata token is 51 days old and ends at 2026-02-10 23:59 UTC: make a new one at "
            "https://urs.earthdata.nasa.gov (Generate Token) and set LSWARN_EARTHDATA_TOKEN to it"
        )

    def test_one_that_says_only_when_it_ends(self):
        ends_at = NOW + timedelta(days=3)
        assert "ends at 2026-02-04 23:59 UTC" in (token_warning(token(exp=ends_at.timestamp()), NOW) or "")
        assert token_warning(token(exp=(NOW + timedelta(days=30)).timestamp()), NOW) is None

    def test_one_that_has_ended(self):
        assert "is 70 days old and ended at 2026-01-22 23:59 UTC" in (token_warning(aged(70), NOW) or "")
        with pytest.raises(AccessDenied, match=r"the Earthdata token ended at 2026-01-22 23:59 UTC; make a new one"):
            earthdata(aged(70))

    def test_it_is_good_to_the_last_second_of_its_day(self):
        value = token(exp=datetime(2026, 2, 1, tzinfo=UTC).timestamp())
        settings = Settings(earthdata_token=value)
        last = datetime(2026, 2, 1, 23, 59, 59, tzinfo=UTC)
        assert account_for("earthdata", settings, last).authorization == f"Bearer {value}"
        with pytest.raises(AccessDenied, match="ended at 2026-02-01 23:59 UTC"):
            account_for("earthdata", settings, last + timedelta(seconds=1))

    def test_the_clock_of_another_time_zone_says_the_same(self):
        kathmandu = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
        assert token_warning(aged(51), kathmandu) == token_warning(aged(51), NOW)

    @pytest.mark.parametrize(
        "odd",
        [
            "opaque",
            "a.b.c",
            token(iat="yesterday"),
            token(iat=True),
            token(exp=1e300),
            token(iat=[], exp=None),
            "e30.W10.x",
        ],
    )
    def test_one_that_does_not_say_is_of_unknown_age(self, odd):
        assert token_warning(odd, NOW) is None
        assert earthdata(odd).authorization == f"Bearer {odd}"

    @given(st.text(), st.text(), st.binary())
    def test_no_text_is_too_odd(self, one, other, claims):
        for value in (one, f"{one}.{other}.x", f"e30.{base64.urlsafe_b64encode(claims).decode()}.x"):
            assert token_warning(value, NOW) is None or value

    @pytest.mark.parametrize("odd", ["", "  ", "two words", "line\nbreak", "käse"])
    def test_one_that_cannot_be_sent(self, odd):
        with pytest.raises(AccessDenied, match="LSWARN_EARTHDATA_TOKEN holds spaces, line breaks or no text"):
            earthdata(odd)

    def test_what_surrounds_it_is_taken_off(self):
        assert earthdata(" opaque\n").authorization == "Bearer opaque"


class TestAccount:
    def test_pps_takes_the_address_in_lower_case_as_user_and_password(self):
        account = account_for("pps", Settings(pps_email=" Some.Body@Example.org"), NOW)
        assert account.authorization == basic("some.body@example.org", "some.body@example.org")

    @pytest.mark.parametrize("odd", ["", "somebody", "a b@example.org", "a@b@c", "a:b@example.org"])
    def test_an_address_that_is_none(self, odd):
        with pytest.raises(AccessDenied, match="LSWARN_PPS_EMAIL is not a mail address"):
            account_for("pps", Settings(pps_email=odd), NOW)

    def test_a_product_without_account_shows_none(self):
        settings = Settings(earthdata_token="opaque", pps_email="a@example.org")
        assert account_for("", settings, NOW) == Account()

    def test_secrets_do_not_show(self):
        assert "opaque" not in repr(earthdata("opaque"))


class TestShownAt:
    """Who is shown the token of a way that began at the archive."""

    FIRST = "https://data.gesdisc.earthdata.nasa.gov/data/x.nc4"

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            (FIRST, True),
            ("https://data.gesdisc.earthdata.nasa.gov:443/other", True),
            (f"https://{LOGIN}/oauth/authorize?client_id=1", True),
            (f"https://{LOGIN.upper()}/oauth/authorize", True),
            ("https://data.gesdisc.earthdata.nasa.gov:8443/data/x.nc4", False),
            ("http://data.gesdisc.earthdata.nasa.gov/data/x.nc4", False),
            (f"http://{LOGIN}/oauth/authorize", False),
            (f"https://{LOGIN}.example.org/oauth", False),
            (f"https://{LOGIN}@example.org/oauth", False),
            ("https://gesdisc.s3.us-west-2.amazonaws.com/x.nc4", False),
            (f"{FIRST}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0a", False),
            (f"{FIRST}?AWSAccessKeyId=A&Expires=1&Signature=0a", False),
        ],
    )
    def test_the_token(self, url, shown):
        account = Account("earthdata", "Bearer opaque", LOGIN)
        assert account.shown_at(url, self.FIRST, lambda machine: "Basic bm8=") == ("Bearer opaque" if shown else None)

    def test_netrc_is_for_the_login_server_where_there_is_one(self):
        account, asked = Account("earthdata", None, LOGIN), []
        assert account.shown_at(self.FIRST, self.FIRST, asked.append) is None
        account.shown_at(f"https://{LOGIN}/oauth", self.FIRST, asked.append)
        account.shown_at("https://example.org/", self.FIRST, asked.append)
        assert asked == [LOGIN]

    def test_else_netrc_is_for_the_server_asked_first(self):
        asked = []
        for url in (self.FIRST, "https://example.org/"):
            Account().shown_at(url, self.FIRST, asked.append)
        assert asked == ["data.gesdisc.earthdata.nasa.gov"]

    def test_a_server_and_its_encrypted_twin(self):
        assert same_server("http://a.org/x", "https://a.org/y")
        assert not same_server("https://a.org/x", "http://a.org/y")
        assert not same_server("http://a.org:8080/x", "http://a.org/x")

    @pytest.mark.parametrize("odd", ["ftp://a.org/", "https:///x", "http://[/", "x", "http://a.org:port/"])
    def test_no_address(self, odd):
        with pytest.raises(ValueError):  # noqa: PT011 (urllib words some of them itself)
            server_of(odd)


def test_remedies_name_what_to_do():
    assert "NASA GESDISC DATA ARCHIVE" in Account("earthdata").remedy(403)
    assert "LSWARN_EARTHDATA_TOKEN" in Account("earthdata").remedy(401)
    assert "machine urs.earthdata.nasa.gov" in Account("earthdata", None, f"{LOGIN}:443").remedy()
    assert "Near-Realtime Products" in Account("pps").remedy(401)
    assert "netrc" in Account().remedy(401)
