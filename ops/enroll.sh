#!/usr/bin/env bash
# Have Prefect run regions: work pools, automations, and the deployments of deploy/prefect.yaml for each region.
#
#   PREFECT_API_URL=http://127.0.0.1:4200/api ops/enroll.sh /etc/lswarn/regions/my-valley [FOLDER…]
#
# Each is a region.toml or its folder, under the path at which the workers see it. Safe to repeat: what is there is brought
# up to date, and schedules start anew. ENROLL_BIN names the folder of `prefect` and `python` where it is not .venv/bin.
set -euo pipefail

[ "$#" -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
: "${PREFECT_API_URL:?where is the Prefect server? Such as http://127.0.0.1:4200/api}"
home=$(cd "$(dirname "$0")/.." && pwd)
bin=${ENROLL_BIN:-$home/.venv/bin}

# Every region is read before the first is enrolled: a fault in the last one leaves nothing half done.
regions=$("$bin/python" - "$@" <<'PYTHON'
import sys
from pathlib import Path

from lswarn.errors import LswarnError
from lswarn.region import load_region

names = set()
for each in map(Path, sys.argv[1:]):
    path = (each / "region.toml" if each.is_dir() else each).absolute()
    try:
        name = load_region(path).name
    except LswarnError as error:
        sys.exit(f"{path}: {error}")
    if name in names:
        sys.exit(f"{path}: there are two regions of the name {name!r}; their rows in the database would be one region's")
    names.add(name)
    print(name, path, sep="\t")
PYTHON
)

cd "$home"
"$bin/python" -m flows.installation
while IFS=$'\t' read -r name path; do
    echo "enrolling $name ($path)"
    REGION=$name REGION_FILE=$path "$bin/prefect" --no-prompt deploy --prefect-file deploy/prefect.yaml --all </dev/null >/dev/null
done <<<"$regions"
