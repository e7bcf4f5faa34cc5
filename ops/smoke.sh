#!/usr/bin/env bash
# Does an installation work as it is shipped? Prefect server, workers and web server as deploy/systemd starts them, on the loopback
# and in a scratch folder: a region is enrolled, its day fires by schedule, people are told, the map is served. Then what must be
# noticed: a region whose day fails, and a day that was due while Prefect was away. Two to three minutes; it leaves nothing behind.
#
#   ops/smoke.sh          exit code 0: all of it worked; else what did not, with the last lines of every log
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD
# Whatever hangs, it ends.
[ -n "${SMOKE_BOUNDED:-}" ] || SMOKE_BOUNDED=1 exec timeout --foreground --kill-after=30 900 "$0" "$@"

begun=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/lswarn-smoke.XXXXXX")
chmod 0755 "$work"  # the private database may belong to another user
mkdir "$work/var" "$work/cache" "$work/log"
say() { printf 'smoke %3d s: %s\n' $((SECONDS - begun)) "$*"; }

declare -A running=()
end() {  # end NAME: what was started under that name, and all that it started
    local pid=${running[$1]:-}
    [ -n "$pid" ] || return 0
    kill -TERM -- "-$pid" 2>/dev/null || true
    for _ in {1..50}; do kill -0 -- "-$pid" 2>/dev/null || break; sleep 0.2; done
    kill -KILL -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    unset "running[$1]"
}
cleanup() {
    local code=$?
    trap - EXIT
    if [ "$code" -ne 0 ]; then
        say "FAILED (exit code $code); the last lines of every log:" >&2
        tail -n 25 "$work"/log/* >&2 || true
    fi
    for name in web train worker prefect world; do end "$name"; done
    LSWARN_VAR_DIR=$work/var .venv/bin/lswarn db stop >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

start() {  # start NAME COMMAND…: in a process group of its own, with a log of its own
    local name=$1
    shift
    setsid "$@" >>"$work/log/$name" 2>&1 </dev/null &
    running[$name]=$!
}
alive() { for name in "${!running[@]}"; do kill -0 "${running[$name]}" 2>/dev/null || { say "$name has ended" >&2; exit 1; }; done; }
await() {  # await WHAT COMMAND…: until it succeeds; on a busy machine that may take its time
    local what=$1 until=$((SECONDS + 300))
    shift
    until "$@" >/dev/null 2>&1; do
        alive
        [ "$SECONDS" -lt "$until" ] || { say "waited in vain: $what" >&2; exit 1; }
        sleep 0.5
    done
    say "$what"
}

# Nothing of the caller's own installation takes part.
for name in $(compgen -e); do case $name in LSWARN_* | PREFECT_*) unset "$name" ;; esac; done
read -r prefect_port web_port < <(.venv/bin/python -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')

moved() {  # what a unit says, with places and ports of this scratch
    sed -e "s#/opt/lswarn#$home#g; s#/var/lib/lswarn#$work/var#g; s#/var/cache/lswarn#$work/cache#g; s#/etc/lswarn#$work#g" \
        -e "s#--port 4200#--port $prefect_port#; s#:4200/#:$prefect_port/#; s#--port 8000#--port $web_port#" "$1"
}
unit() {  # unit NAME [VARIABLE=VALUE…]: start deploy/systemd/lswarn-NAME.service as systemd would
    local name=$1 text variables command
    shift
    text=$(moved "deploy/systemd/lswarn-$name.service")
    mapfile -t variables < <(sed -n 's/^Environment=//p' <<<"$text"; cat "$work/env")
    command=$(sed -n 's/^ExecStart=//p' <<<"$text")
    start "$name" env "${variables[@]}" "$@" bash -c "exec $command"
}

say "making the world ($work)"
start world env NUMBA_CACHE_DIR="$work/cache/numba" MPLCONFIGDIR="$work/cache/matplotlib" .venv/bin/python ops/smoke_world.py "$work"
printf '%s\n' PREFECT_SERVER_API_AUTH_STRING=admin:smoke PREFECT_API_AUTH_STRING=admin:smoke >"$work/env"
# Late after five seconds instead of ten minutes, and work is asked for more often: nobody shall wait long here.
quick=(PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS=5 PREFECT_WORKER_QUERY_SECONDS=3)

export PREFECT_API_URL=http://127.0.0.1:$prefect_port/api PREFECT_API_AUTH_STRING=admin:smoke PREFECT_HOME=$work/var/prefect
export DO_NOT_TRACK=1
unit prefect "${quick[@]}"
await "the Prefect server answers" curl -sf -m 5 "$PREFECT_API_URL/health"
[ "$(curl -s -o /dev/null -w '%{http_code}' -m 5 -X POST "$PREFECT_API_URL/flows/count")" = 401 ] ||
    { say "the Prefect server asks for no password" >&2; exit 1; }

await "there are servers of rain, mail and webhooks" test -s "$work/world.env"
cat "$work/world.env" >>"$work/env"
LSWARN_OPERATORS_WEBHOOK=$(sed -n 's/^LSWARN_OPERATORS_WEBHOOK=//p' "$work/env") \
    ops/enroll.sh "$work/demo/region.toml" "$work/demo/unready.toml" >>"$work/log/enroll" 2>&1
say "two regions are enrolled"
await "the region is built, and its model trained" test -s "$work/ready"
day=$(cat "$work/ready")

# due DEPLOYMENT SECONDS DAY: let it come due once, so many seconds from now, and wait until the server has written that down.
due() { .venv/bin/python - "$@" >>"$work/log/schedule" 2>&1 <<'PYTHON'
import sys
import time
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client

name, seconds, day = sys.argv[1:]
when = datetime.now(UTC) + timedelta(seconds=int(seconds))
schedule = {"interval": timedelta(days=365).total_seconds(), "anchor_date": when.isoformat()}
with get_client(sync_client=True) as client:
    id = str(client.read_deployment_by_name(name).id)
    body = {"schedules": [{"schedule": schedule, "active": True, "parameters": {"day": day}}]}
    client.request("PATCH", "/deployments/{id}", path_params={"id": id}, json=body)
    then = {"after_": (when - timedelta(seconds=1)).isoformat(), "before_": (when + timedelta(seconds=1)).isoformat()}
    due = {"deployments": {"id": {"any_": [id]}}, "flow_runs": {"expected_start_time": then}}
    while not client.request("POST", "/flow_runs/count", json=due).json():
        time.sleep(0.5)
PYTHON
}
web() { curl -sf -m 10 "http://127.0.0.1:$web_port$1"; }
shows() { web "$1" | grep -q "$2"; }
told() { grep -q "$1" "$work/operators.txt"; }

unit worker "${quick[@]}"
unit web
await "the web server is alive" web /health
due daily/daily-demo 10 "$day"
say "its day will come due in seconds"
await "the day of $day fired by schedule, and the web server shows it" shows "/api/runs?region=demo" "\"$day\""
await "people were told by mail" compgen -G "$work/mail/*.eml"
await "and by webhook" compgen -G "$work/webhooks/*.json"
await "the page is there" shows / "<html"

say "the worker goes away, and the day of another region comes due"
end worker
# By hand: of a run that a schedule made only just now, the server tells its automations a quarter of an hour later.
.venv/bin/prefect deployment run daily/daily-unready --param "day=\"$day\"" --start-in "3 seconds" >>"$work/log/schedule" 2>&1
await "operators were told that it is late" told "daily-unready is Late"
unit worker "${quick[@]}"
await "it is made up for, fails, for its region was never built, and operators were told" told "daily-unready is Failed"

say "Prefect and its worker go away, and a day comes due by schedule meanwhile"
end worker
due daily/daily-demo 12 "$day"
end prefect
sleep 12
unit prefect "${quick[@]}"
unit worker "${quick[@]}"
unit train
await "it is made up for: the day stood already" grep -q "stood already" "$work/log/worker"
await "the web server shows it still" shows "/api/runs?region=demo" "\"$day\""
alive
say "all of it worked"
