import os
import signal
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from lswarn.db import server
from lswarn.errors import DatabaseError


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A var/ in a closed folder, as under /root."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    yield closed / "var"
    server.stop(closed / "var")


def postgis(url: str) -> str:
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        return conn.execute("SELECT postgis_lib_version()").fetchone()[0]


def postmaster(var: Path) -> int:
    return int((var / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def test_two_starts_at_once_make_one_server(var):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(server.start, [var, var])
    assert first == second
    assert int(postgis(first).split(".")[0]) >= 3
    assert server.status(var).running


def test_a_second_start_reuses_the_first(var):
    url, process = server.start(var), postmaster(var)
    assert server.start(var) == url
    assert postmaster(var) == process


def test_it_never_runs_as_root_and_listens_on_loopback_alone(var):
    url = server.start(var)
    owner = Path(f"/proc/{postmaster(var)}").stat().st_uid
    assert owner != 0
    assert owner == (var / "postgres").stat().st_uid
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_the_password_is_for_its_owner_only(var):
    url = server.start(var)
    status = server.status(var)
    password = url.split(":")[2].split("@")[0]
    assert stat.S_IMODE((var / "postgres" / "server.json").stat().st_mode) == 0o600
    assert password not in repr(status)
    assert not (var / "postgres" / "password").exists()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.replace("+psycopg", "").replace(password, "guess"))


def test_it_comes_back_after_a_kill(var):
    server.start(var)
    os.kill(postmaster(var), signal.SIGKILL)
    assert postgis(server.start(var))


def test_stop_and_stop_again(var):
    server.start(var)
    assert server.stop(var)
    assert not server.stop(var)
    assert not server.status(var).running


def test_a_number_left_by_a_reboot_is_somebody_elses(var):
    server.start(var)
    server.stop(var)
    (var / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert not server.status(var).running
    assert postgis(server.start(var))


def test_a_taken_port_is_left_to_who_has_it(var):
    server.start(var)
    server.stop(var)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.status(var).port))
        other.listen()
        assert f":{other.getsockname()[1]}/" not in server.start(var)


def test_nothing_is_there_before_the_first_start(tmp_path):
    assert server.status(tmp_path) == server.ServerStatus(False, tmp_path / "postgres")
    assert not server.stop(tmp_path)


def test_a_lost_password_is_named(var):
    server.start(var)
    kept = var / "postgres" / "server.json"
    text = kept.read_text()
    kept.write_text("{")
    with pytest.raises(DatabaseError, match=r"server\.json is missing or damaged"):
        server.start(var)
    kept.write_text(text)


def test_missing_binaries_name_the_line_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "DISTRIBUTION", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match="apt-get install -y postgresql-postgis"):
        server.find_binaries()
    with pytest.raises(DatabaseError, match="apt-get install -y postgresql-12-postgis-3"):
        server.find_binaries("12")


def test_missing_postgis_is_told_from_missing_postgresql(tmp_path, monkeypatch):
    folder = tmp_path / "16" / "bin"
    folder.mkdir(parents=True)
    for name, says in (("initdb", ""), ("postgres", "postgres (PostgreSQL) 16.3 (Debian)"), ("pg_config", tmp_path)):
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(server, "DISTRIBUTION", tmp_path)
    monkeypatch.setattr(server.shutil, "which", lambda name: None)
    with pytest.raises(DatabaseError, match=r"PostgreSQL 16 is here, but PostGIS is not; run: apt-get"):
        server.find_binaries()
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "postgis.control").touch()
    assert server.find_binaries() == server.find_binaries("16") == folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"file.*LSWARN_VAR_DIR"):
        server.start(tmp_path / "file")
