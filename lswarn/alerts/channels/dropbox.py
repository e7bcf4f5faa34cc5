"""Door: messages as files in a folder, for whatever looks there (disk).

A message is a folder of its own, named by day, kind and key: `message.json` (what a webhook gets), `message.txt`,
`message.html` and `map.png`. It is written under a hidden name and renamed when it is whole: who sees it sees all.
"""

import json
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from lswarn.alerts.outgoing import Outgoing
from lswarn.errors import DeliveryError


def save_message(outgoing: Outgoing, *, now: datetime) -> Path:
    """Drop a message into the folder that its address names; one that lies there already stays as it is.

    Args:
        outgoing: a message by itself.
        now: aware instant, written into `message.json` as `delivered_at`.

    Returns:
        Where it lies.

    Raises:
        DeliveryError: the folder is not there, or cannot be written to.
    """
    said = outgoing.message.in_language(outgoing.language)
    folder = Path(outgoing.address)
    key = re.sub(r"[^A-Za-z0-9-]", "_", outgoing.idempotency_key)
    drill = "" if said.status == "actual" else f"{said.status}-"
    target = folder / f"{drill}{said.valid_day}-{said.kind}-{key}"
    part = folder / f".{target.name}.part"
    facts: dict[str, object] = {"id": outgoing.idempotency_key, "delivered_at": now.isoformat(), "status": said.status}
    facts |= {"subject": said.subject, "payload": said.payload}
    files = {
        "message.json": json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=1).encode(),
        "message.txt": said.text.encode(),
        "message.html": said.html.replace('src="cid:map"', 'src="map.png"').encode(),
    } | ({"map.png": said.map_png} if said.map_png else {})
    try:
        if target.exists():
            return target
        shutil.rmtree(part, ignore_errors=True)  # of a worker that was killed
        part.mkdir()
        for name, content in files.items():
            with (part / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        part.rename(target)
    except FileNotFoundError as error:
        raise DeliveryError(f"folder {folder} is not there; make it, or mend region.toml", lane_down=True) from error
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise DeliveryError(f"folder {folder} cannot be written to: {error.strerror}", lane_down=True) from error
    return target
