"""CAP documents as others fetch them: the Atom feed of a region, and each document as it was given.

Both come from the database, so that they are there on every machine that serves, and as they were signed.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from lswarn.alerts.cap.feed import CAP_TYPE
from lswarn.db.drafts import find_document, find_documents
from lswarn.release import LISTED, feed_of
from lswarn.web.answers import ALWAYS, problems
from lswarn.web.asked import NAME, region_of
from lswarn.web.deps import Clock, Reading
from lswarn.web.problems import Problem
from lswarn.web.tagged import FOR_EVER, SOON, answered, tagged

router = APIRouter(tags=["CAP"], responses=ALWAYS)

ATOM_TYPE = "application/atom+xml"

Name = Annotated[str, Path(pattern=NAME, description="Name of a region, as /api/regions has it")]
Identifier = Annotated[str, Path(pattern=r"^[^\x00-\x20\x7f/]+$", max_length=300, description="Of the document")]


@router.get(
    "/{region}/feed.atom",
    response_class=Response,
    responses=answered(ATOM_TYPE) | problems(404),
)
def feed(request: Request, conn: Reading, now: Clock, region: Name) -> Response:
    """The documents in force, and those that lost force within two days. An empty feed is no all-clear."""
    region_of(conn, region)
    given = find_documents(conn, region, now - LISTED)
    # An empty feed is as old as its newest entry would be: by the minute, so that it stays the same for a while.
    atom = feed_of(region, given, now.replace(second=0, microsecond=0), str(request.url.replace(query="")))
    return tagged(request, atom, ATOM_TYPE, SOON)


@router.get(
    "/{region}/{identifier}.xml",
    response_class=Response,
    responses=answered(CAP_TYPE) | problems(404),
)
def document(request: Request, conn: Reading, region: Name, identifier: Identifier) -> Response:
    """A CAP document, as it was given and signed; it never changes."""
    region_of(conn, region)
    found = find_document(conn, region, identifier)
    if found is None:
        raise Problem(404, f"{region} has given no document {identifier}; /cap/{region}/feed.atom lists the newest")
    return tagged(request, found.xml, CAP_TYPE, FOR_EVER)
