"""What went wrong, as problem+json (RFC 9457): every error says what it is, and what to do about it."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from lswarn.errors import DatabaseDown, DatabaseError, LswarnError, NotMigrated

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "The request cannot be understood",
    401: "A token is needed",
    403: "This token may not do that",
    404: "There is no such thing",
    405: "This cannot be done here",
    409: "It is not as the request takes it to be",
    410: "It is no longer kept",
    411: "The length of the body is missing",
    413: "Too large",
    414: "The address is too long",
    415: "Not a kind of content that is taken here",
    422: "A value is not possible",
    429: "Too many requests",
    500: "A fault of the server",
    503: "Not to be had just now",
}


class ProblemDetails(BaseModel):
    """An error, as a program reads it.

    Attributes:
        type: always `about:blank`: the status says what kind it is.
        detail: what is wrong with which value, and what to do.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Problem(Exception):
    """Raised by a route; becomes the answer.

    Args:
        status: HTTP status.
        detail: names the value and the remedy; it is shown to whoever asked.
        headers: of the answer, beside its own.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as an answer."""
    told = ProblemDetails(title=TITLES.get(status, "Refused"), status=status, detail=detail)
    return JSONResponse(
        told.model_dump(), status, {"Cache-Control": "no-store"} | dict(headers or {}), media_type=MEDIA_TYPE
    )


def add_handlers(app: FastAPI) -> None:
    """Turn everything that a route may raise into problem+json."""
    app.add_exception_handler(Problem, _problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(StarletteHTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(LswarnError, _ours)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unforeseen)


async def _problem(_: Request, error: Problem) -> JSONResponse:
    return problem_response(error.status, error.detail, error.headers)


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    lines = (f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors())
    return problem_response(422, "; ".join(lines))


async def _http(_: Request, error: StarletteHTTPException) -> JSONResponse:
    detail = error.detail
    if error.status_code == 404 and detail == "Not Found":
        detail = "nothing is at this address; /api/docs lists what there is"
    return problem_response(error.status_code, str(detail), error.headers)


async def _ours(request: Request, error: LswarnError) -> JSONResponse:
    if isinstance(error, DatabaseDown | NotMigrated):
        # Where the database is, is no business of whoever asks.
        log.error("%s %s: %s", request.method, request.url.path, error)
        return problem_response(
            503, "the database does not answer just now, so nothing is known here; try again soon", {"Retry-After": "5"}
        )
    log.error("%s %s: %s", request.method, request.url.path, error)
    what = "the database refused this question" if isinstance(error, DatabaseError) else "this could not be done"
    return problem_response(500, f"{what}; the log of the server says why")


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.exception("%s %s", request.method, request.url.path, exc_info=error)
    return problem_response(500, "this is a fault of lswarn; the log of the server says which")
