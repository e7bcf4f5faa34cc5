#!/usr/bin/env bash
# Everything `make demo` and `make test` need: a .venv from the locked versions, and PostGIS.
# Safe to repeat; a second run takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*"; }
stop() { printf 'set-up cannot go on: %s\n' "$*" >&2; exit 1; }

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
may_install() { command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; }

# install PURPOSE PACKAGE…: with apt when we may, else stop with the one line to run.
install() {
    local purpose=$1; shift
    may_install || stop "$purpose is missing. Run:  sudo apt-get install $*"
    say "installing $* ($purpose)"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || install "Python" python3 python3-venv
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old; lswarn needs Python 3.11 or newer. Name one:  make PYTHON=python3.12 …"

lock=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/locked 2>/dev/null)" != "$lock" ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        install "venv" "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    say "making .venv from requirements.lock"
    "$python" -m venv .venv
    # torch first, by itself: where a CPU build of the locked version is at hand, pip settles on it before it looks further.
    .venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^torch==' requirements.lock)"
    .venv/bin/python -m pip install -q --disable-pip-version-check -r requirements.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
    echo "$lock" >.venv/locked
fi

has_postgis() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null; }
if [ -z "${LSWARN_DATABASE_URL:-}" ] && ! has_postgis; then
    install "PostgreSQL with PostGIS" postgresql-postgis
    has_postgis || stop "PostGIS is still missing under /usr/share/postgresql. Run:  sudo apt-get install postgresql-postgis"
fi

# What the map is drawn with, from npm by its lock, so that a control room without the Internet has it too.
vendor=lswarn/web/static/vendor
lock=$(sha256sum ops/map/package-lock.json | cut -d' ' -f1)
if [ "$(cat "$vendor/locked" 2>/dev/null)" != "$lock" ]; then
    command -v npm >/dev/null || install "npm, which fetches what the map is drawn with," npm
    say "fetching MapLibre GL by ops/map/package-lock.json"
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    cp ops/map/package.json ops/map/package-lock.json ops/map/.npmrc "$fetched"
    (cd "$fetched" && npm ci --silent) || stop "npm could not fetch MapLibre GL; the line above says why"
    mkdir -p "$vendor"
    for each in maplibre-gl.mjs maplibre-gl-worker.mjs maplibre-gl.css; do
        cp "$fetched/node_modules/maplibre-gl/dist/$each" "$vendor/$each"
    done
    cp "$fetched/node_modules/maplibre-gl/LICENSE.txt" "$vendor/LICENSE.txt"
    echo "$lock" >"$vendor/locked"
fi
