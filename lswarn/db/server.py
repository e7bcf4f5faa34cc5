"""The private PostGIS: the distribution's own binaries, with data under `var/`, on a loopback port of its own.

    var/postgres/            0700, belongs to whom the server runs as
        data/                the cluster
        server.json          0600: port and password
        server.log

PostgreSQL refuses to run as root. Started by root, it is therefore handed to an unprivileged user, and where `var/`
lies in a folder closed to that user (a checkout under /root), it gets the one capability that leads through.
"""

import fcntl
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from lswarn.errors import DatabaseError

DISTRIBUTION = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu keep one folder a version."""

INSTALL = "apt-get install -y postgresql-postgis"
NAME = "lswarn"
"""Of the database and of its owner."""

START_TRIES = 3
TIMEOUT_S = 60

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 50
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
temp_buffers = 32MB
max_wal_size = 4GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""


@dataclass(frozen=True)
class ServerStatus:
    """How the private server does.

    Attributes:
        running: whether it accepts connections, or soon will.
        home: its folder.
        port: on 127.0.0.1; 0 before the first start.
        url: SQLAlchemy URL with the password (not in the repr); empty before the first start.
    """

    running: bool
    home: Path
    port: int = 0
    url: str = field(default="", repr=False)


def start(var_dir: Path) -> str:
    """Start the server, making it on the first call; a running one is left as it is.

    Returns:
        SQLAlchemy URL of a database with PostGIS in it, not yet migrated.

    Raises:
        DatabaseError: no binaries, no PostGIS, a folder of somebody else, or a server that will not start.
    """
    home = _home(var_dir)
    with _translated(home), _lock(home):
        user = _user(home)
        if not (home / "data").exists():
            _create(home, user)
        _launch_and_prepare(home, user)
    return status(var_dir).url


def stop(var_dir: Path) -> bool:
    """Stop the server; False where none ran.

    Raises:
        DatabaseError: it does not stop.
    """
    home = _home(var_dir)
    with _translated(home):
        if not _running(home):
            return False
        with _lock(home):
            options = ["-m", "fast", "-w", "-t", str(TIMEOUT_S)]
            _postgres(home, _user(home), "pg_ctl", "stop", "-D", home / "data", *options)
    return True


def status(var_dir: Path) -> ServerStatus:
    """Whether the server runs, and where.

    Raises:
        DatabaseError: its folder is closed to whoever asks.
    """
    home = _home(var_dir)
    with _translated(home):
        if not (home / "server.json").exists():
            return ServerStatus(False, home)
        port, password = _load(home)
        url = f"postgresql+psycopg://{NAME}:{password}@127.0.0.1:{port}/{NAME}"
        return ServerStatus(_running(home), home, port, url)


def find_binaries(version: str = "") -> Path:
    """Folder of `initdb`, `pg_ctl` and `postgres`, of the newest PostgreSQL that has PostGIS.

    Args:
        version: major version that an existing cluster needs; empty for any.

    Raises:
        DatabaseError: with the line to run.
    """
    folders = sorted(DISTRIBUTION.glob("*/bin"), key=lambda p: (len(p.parent.name), p.parent.name), reverse=True)
    if config := shutil.which("pg_config"):
        folders.append(Path(_output([config, "--bindir"])))
    servers = {folder: _version(folder) for folder in folders if (folder / "initdb").exists()}
    servers = {folder: found for folder, found in servers.items() if version in ("", found)}
    for folder in servers:
        share = Path(_output([str(folder / "pg_config"), "--sharedir"]))
        if (share / "extension" / "postgis.control").exists():
            return folder
    if servers:
        raise DatabaseError(f"PostgreSQL {next(iter(servers.values()))} is here, but PostGIS is not; run: {INSTALL}")
    if version:
        line = f"apt-get install -y postgresql-{version}-postgis-3"
        raise DatabaseError(f"the data are of PostgreSQL {version}, which is not here; run: {line}")
    raise DatabaseError(f"PostgreSQL is not installed; run: {INSTALL}")


def _version(folder: Path) -> str:
    """Major version: the last word of `postgres (PostgreSQL) 15.3 (Debian …)` that starts with a digit."""
    words = _output([str(folder / "postgres"), "--version"]).split()
    return next(word for word in words if word[0].isdigit()).split(".")[0]


def _home(var_dir: Path) -> Path:
    return var_dir.absolute() / "postgres"


@contextmanager
def _translated(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "run as its owner, or choose another folder with LSWARN_VAR_DIR"
        raise DatabaseError(f"{error.filename or home}: {error.strerror}; {remedy}") from error


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Two starts at once queue up."""
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.parent / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _user(home: Path) -> os.stat_result:
    """Whom the server runs as (`st_uid`, `st_gid`): the owner of its folder, which root gives away first."""
    owner, me = home.stat().st_uid, os.geteuid()
    if me not in (0, owner):
        raise DatabaseError(f"{home} belongs to user id {owner}; run as that user, or set LSWARN_VAR_DIR")
    if owner == 0:
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = names.get("postgres") or names["nobody"]
        os.chown(home, user.pw_uid, user.pw_gid)
    home.chmod(0o700)
    return home.stat()


def _as(user: os.stat_result, home: Path) -> list[str]:
    """Words to put before a command so that root runs it as `user`."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", f"--reuid={user.st_uid}", f"--regid={user.st_gid}", "--clear-groups"]
    plain = [*words, "--inh-caps=-all", "--ambient-caps=-all"]
    reachable = subprocess.run([*plain, "test", "-w", str(home)], check=False).returncode == 0
    return plain if reachable else [*words, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]


def _postgres(home: Path, user: os.stat_result, program: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs as `user`."""
    version = home / "data" / "PG_VERSION"
    folder = find_binaries(version.read_text().strip() if version.exists() else "")
    _output([*_as(user, home), str(folder / program), *map(str, arguments)])


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", timeout=2 * TIMEOUT_S)
    except FileNotFoundError as error:
        raise DatabaseError(f"{command[0]} is not installed; run: {INSTALL}") from error
    except subprocess.TimeoutExpired as error:
        raise DatabaseError(f"{' '.join(command)} did not end within {error.timeout:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise DatabaseError(f"{' '.join(command)} failed: {(error.stderr or error.stdout).strip()}") from error
    return done.stdout.strip()


def _create(home: Path, user: os.stat_result) -> None:
    """Make the cluster under a temporary name, so that a half-made one is never taken for one."""
    part, key = home / "data.part", home / "password"
    shutil.rmtree(part, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    _save(home, 0, password)
    key.touch(0o600)
    key.write_text(password)
    os.chown(key, user.st_uid, user.st_gid)
    try:
        options = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--data-checksums"]
        _postgres(home, user, "initdb", f"--username={NAME}", f"--pwfile={key}", *options, part)
    finally:
        key.unlink()
    with (part / "postgresql.conf").open("a") as file:
        file.write(CONFIGURATION)
    part.rename(home / "data")


def _launch_and_prepare(home: Path, user: os.stat_result) -> None:
    """Have it running and accepting; one that was killed this moment still looks alive, so look again."""
    for left in reversed(range(START_TRIES)):
        if not _running(home):
            _launch(home, user)
        try:
            _prepare(home)
            break
        except psycopg.OperationalError as error:
            if not left:
                raise DatabaseError(f"{home}: the server does not answer: {error}; see server.log there") from error
            time.sleep(1)


def _launch(home: Path, user: os.stat_result) -> None:
    """Start the postmaster on its port, or on another one where somebody else has taken it."""
    _forget_dead(home)
    port, password = _load(home)
    for left in reversed(range(START_TRIES)):
        port = _free_port(port)
        _save(home, port, password)
        log, options = home / "server.log", ["-w", "-t", str(TIMEOUT_S), "-o", f"-p {port}"]
        try:
            _postgres(home, user, "pg_ctl", "start", "-D", home / "data", "-l", log, *options)
            break
        except DatabaseError as error:
            if not left:
                said = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                raise DatabaseError("\n".join([str(error), f"the last lines of {log}:", *said])) from error
            time.sleep(1)


def _free_port(wanted: int) -> int:
    """The wanted port, asked for twice since a server that was just killed needs a moment to let go, or another."""
    for port in (wanted, wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
            except OSError:
                time.sleep(1)
    raise DatabaseError("no free port on 127.0.0.1")


def _prepare(home: Path) -> None:
    """Make the database and its PostGIS, where they are not there yet."""
    port, password = _load(home)

    def connection(name: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=port, user=NAME, password=password, dbname=name, autocommit=True, connect_timeout=10
        )

    with connection("postgres") as server:
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    with connection(NAME) as database:
        database.execute("CREATE EXTENSION IF NOT EXISTS postgis")


def _running(home: Path) -> bool:
    return str(home / "data") in _command(_postmaster(home))


def _postmaster(home: Path) -> int:
    """The process that postmaster.pid names; 0 without one."""
    try:
        return int((home / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return 0


def _command(process: int) -> list[str]:
    """Command line of a living process, else empty."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _forget_dead(home: Path) -> None:
    """Make way after a reboot: postmaster.pid may hold a number that is some other program's now.

    PostgreSQL would wait for that program for ever. Of a number that is nobody's it makes sense by itself, and better,
    since it also looks for backends that outlive a killed postmaster.
    """
    if (command := _command(_postmaster(home))) and not Path(command[0]).name.startswith("postgres"):
        (home / "data" / "postmaster.pid").unlink()


def _load(home: Path) -> tuple[int, str]:
    path = home / "server.json"
    try:
        kept = json.loads(path.read_text("utf-8"))
        return kept["port"], kept["password"]
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise DatabaseError(f"{path} is missing or damaged, and with it the password; restore it or {home}") from error


def _save(home: Path, port: int, password: str) -> None:
    part = home / "server.json.part"
    part.touch(0o600)
    part.write_text(json.dumps({"port": port, "password": password}), "utf-8")
    part.replace(home / "server.json")
