"""Door: a region's CAP documents as files, and the Atom feed that lists them (disk).

A file that is there is never written again, for a document that was given stays as it is. Each is written under a
hidden name and renamed, so that a web server which serves the folder never shows half of one.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from lswarn.errors import StorageFull

FEED = "feed.xml"


def file_of(identifier: str) -> str:
    """Name of a document's file."""
    return re.sub("[^A-Za-z0-9._-]", "-", identifier) + ".xml"


def save_documents(folder: Path, documents: Mapping[str, bytes], feed: bytes) -> int:
    """Write the documents that are not there yet, then the feed that names them.

    Args:
        documents: XML by identifier.

    Returns:
        How many documents are new.

    Raises:
        StorageFull: the disk is full, or the folder cannot be written.
    """
    named = {file_of(identifier): xml for identifier, xml in documents.items()}
    missing = {name: xml for name, xml in named.items() if not (folder / name).exists()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in [*missing.items(), (FEED, feed)]:
            draft = folder / f".{name}.{os.getpid()}"
            draft.write_bytes(content)
            draft.replace(folder / name)
    except OSError as error:
        raise StorageFull(f"{folder}: CAP documents cannot be written: {error.strerror}") from error
    return len(missing)
