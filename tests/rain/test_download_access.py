import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from lswarn.demo.replicas import LoginReplica, Published, RainReplica
from lswarn.errors import AccessDenied, SourceUnavailable
from lswarn.rain import download
from lswarn.rain.accounts import Account, basic
from lswarn.rain.download import Client

AT = datetime(2026, 2, 1, 14, 41, 7, tzinfo=UTC)
LATER = AT + timedelta(hours=2)
FOLDER = "/GPM_3IMERGDL.07/2026/01/"
FILE = FOLDER + "granule.nc4"
BODY = hashlib.shake_128(b"a granule").digest(400_000)
TOKEN = "not-a-real-token"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 4)


@pytest.fixture
def server():
    with RainReplica({FILE[1:]: Published(BODY, AT)}, now=LATER) as server:
        yield server


@pytest.fixture
def elsewhere():
    """Another host by another name."""
    with RainReplica({FILE[1:]: Published(BODY, AT)}, now=LATER) as server:
        yield server


def other(server, path=FILE):
    return f"http://localhost:{server.port}{path}"


@pytest.fixture
def into(tmp_path):
    return tmp_path / "granule"


def client(account=Account(), *, timeout_s=5.0, connections=4, resets=False):  # noqa: B008 (frozen)
    return Client(account, timeout_s=timeout_s, connections=connections, resets=resets)


@pytest.fixture
def get(server, into):
    def get(path=FILE, *, account=Account(), timeout_s=5.0, resets=False, **options):  # noqa: B008 (frozen)
        with client(account, timeout_s=timeout_s, resets=resets) as asking:
            return asking.get_file(server.url + path, into, **options)

    return get


class TestAccess:
    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize(
        ("kind", "remedy"),
        [
            ("earthdata", "(renew LSWARN_EARTHDATA_TOKEN|NASA GESDISC DATA ARCHIVE)"),
            ("pps", "Near-Realtime Products"),
            ("", "netrc"),
        ],
    )
    def test_a_refusal_is_for_a_person(self, server, get, status, kind, remedy):
        server.quirks[FILE] = [status]
        with pytest.raises(AccessDenied, match=rf"{FILE}: answered {status}; .*{remedy}") as error:
            get(account=Account(kind, f"Bearer {TOKEN}"))
        assert server.requests_of(FILE) == 1
        assert TOKEN not in str(error.value)

    def test_a_token_that_ended_before_its_time(self, server, get):
        server.quirks[FILE] = ["expired"]
        with pytest.raises(AccessDenied, match="renew LSWARN_EARTHDATA_TOKEN"):
            get(account=Account("earthdata", f"Bearer {TOKEN}"))

    def test_a_login_form(self, server):
        server.quirks[FOLDER] = ["login"]
        with client() as asking, pytest.raises(AccessDenied, match="answered with a login form"):
            asking.get_text(server.url + FOLDER)

    def test_the_token_goes_to_the_server(self, server, get):
        get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert [seen.authorization for seen in server.seen] == [f"Bearer {TOKEN}"]

    def test_not_along_a_redirect_to_another(self, server, elsewhere, get, into):
        server.quirks[FILE] = [f"redirect:{other(elsewhere)}?X-Amz-Signature=0a"]
        answer = get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert into.read_bytes() == BODY
        assert answer.redirected_to == other(elsewhere)
        assert [seen.authorization for seen in elsewhere.seen] == [None]

    def test_nor_to_another_port_of_its_host(self, server, elsewhere, get):
        server.quirks[FILE] = [f"redirect:{elsewhere.url}{FILE}"]
        get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert [seen.authorization for seen in elsewhere.seen] == [None]

    def test_nor_to_a_signed_address_of_its_own(self, server, get):
        server.quirks[FILE] = [f"redirect:{FILE}?X-Amz-Signature=0a"]
        get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert [seen.authorization for seen in server.seen] == [f"Bearer {TOKEN}", None]

    def test_but_along_one_within_the_server(self, server, get):
        server.quirks[FILE] = [f"redirect:{FILE}?again"]
        get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert [seen.authorization for seen in server.seen] == [f"Bearer {TOKEN}"] * 2

    @pytest.mark.parametrize("status", [401, 403])
    def test_another_host_that_asks_for_it_is_named(self, server, elsewhere, get, status):
        server.quirks[FILE] = [f"redirect:{other(elsewhere)}"]
        elsewhere.quirks[FILE] = [status]
        with pytest.raises(AccessDenied, match=f"sent on to localhost:{elsewhere.port}, which answered {status}"):
            get(account=Account("earthdata", f"Bearer {TOKEN}"))
        assert [seen.authorization for seen in elsewhere.seen] == [None]

    def test_a_redirect_loop(self, server, get):
        server.quirks[FILE] = ["loop"] * 50
        with pytest.raises(SourceUnavailable, match=rf"{FILE}: redirected 10 times, last to .*{FILE}, and never"):
            get()
        assert server.requests_of(FILE) == 10

    @pytest.mark.parametrize("odd", ["ftp://example.org/x", "http://[", "file:///etc/passwd", "http://h:port/"])
    def test_a_redirect_to_what_is_no_address(self, server, get, odd):
        server.quirks[FILE] = [f"redirect:{odd}"]
        with pytest.raises(SourceUnavailable, match="which is no address"):
            get()

    def test_pps(self, server, get, into):
        server.account, server.email = "pps", "some.body@example.org"
        get(account=Account("pps", basic("some.body@example.org", "some.body@example.org")))
        assert into.read_bytes() == BODY
        with pytest.raises(AccessDenied, match="set LSWARN_PPS_EMAIL"):
            get(account=Account("pps"))


class TestEarthdata:
    """The archive sends to the login server, and that one back with a code."""

    @pytest.fixture(autouse=True)
    def _no_netrc(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    @pytest.fixture
    def login(self):
        with LoginReplica(token=TOKEN, user="me", password="secret", name="localhost") as login:
            yield login

    @pytest.fixture(autouse=True)
    def _asks(self, server, login):
        server.account, server.login, server.token = "earthdata", login, TOKEN

    def account(self, login, token=TOKEN):
        return Account("earthdata", token and f"Bearer {token}", f"localhost:{login.port}")

    def test_a_token_the_archive_knows(self, login, get, into):
        get(account=self.account(login))
        assert into.read_bytes() == BODY
        assert login.seen == []

    def test_a_token_only_the_login_server_knows(self, server, login, get, into):
        server.token = ""
        get(account=self.account(login))
        assert into.read_bytes() == BODY
        assert [seen.authorization for seen in login.seen] == [f"Bearer {TOKEN}"]

    def test_netrc_is_shown_to_the_login_server_alone(self, server, login, get, into, tmp_path):
        machines = ("localhost login me", "127.0.0.1 login someone", "default login anybody")
        lines = [("" if each.startswith("default") else "machine ") + f"{each} password secret" for each in machines]
        (tmp_path / "netrc").write_text("\n".join(lines), "utf-8")
        get(account=self.account(login, None))
        assert into.read_bytes() == BODY
        assert [seen.authorization for seen in login.seen] == [basic("me", "secret")]
        assert {seen.authorization for seen in server.seen} == {None}

    def test_one_login_is_enough_for_a_session(self, server, login, into, tmp_path):
        (tmp_path / "netrc").write_text("machine localhost login me password secret", "utf-8")
        with client(self.account(login, None)) as asking:
            for _ in range(3):
                asking.get_file(server.url + FILE, into)
        assert len(login.seen) == 1

    def test_no_account_at_all(self, login, get):
        with pytest.raises(
            AccessDenied, match=f"localhost:{login.port} asks for a login; renew LSWARN_EARTHDATA_TOKEN"
        ):
            get(account=self.account(login, None))
        assert login.seen == []

    def test_netrc_that_cannot_be_read_is_none(self, login, get, tmp_path, caplog):
        (tmp_path / "netrc").write_text("machine", "utf-8")
        with pytest.raises(AccessDenied, match="asks for a login"):
            get(account=self.account(login, None))
        assert "netrc cannot be read" in caplog.text

    def test_a_token_that_nobody_knows(self, login, get):
        with pytest.raises(AccessDenied, match=r"oauth/authorize: answered 401; renew LSWARN_EARTHDATA_TOKEN"):
            get(account=self.account(login, "unknown"))

    def test_an_application_that_was_never_approved(self, server, login, get):
        login.approved = False
        for server.token in (TOKEN, ""):
            with pytest.raises(AccessDenied, match=r"answered 403; approve .*NASA GESDISC DATA ARCHIVE"):
                get(account=self.account(login))

    @pytest.mark.parametrize("page", ["html", "login"])
    def test_a_login_server_that_answers_a_page_of_its_own(self, server, elsewhere, get, page):
        elsewhere.quirks["/oauth"] = [page]
        server.quirks[FILE] = [f"redirect:{elsewhere.url}/oauth"]
        with pytest.raises(AccessDenied, match=f"{FILE}: ended at the login of 127.0.0.1:{elsewhere.port}; renew"):
            get(account=Account("earthdata", f"Bearer {TOKEN}", f"127.0.0.1:{elsewhere.port}"))

    def test_an_account_of_another_kind_is_not_for_the_login_server(self, login, get, server):
        with client(Account()) as asking, pytest.raises(AccessDenied, match="answered with a login form"):
            asking.get_text(server.url + FILE)
        assert [seen.authorization for seen in login.seen] == [None]
