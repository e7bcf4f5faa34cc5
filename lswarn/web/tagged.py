"""Answers with an ETag of what they say: whoever has them already is told so, and not sent them again."""

import hashlib
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SOON = "public, max-age=30, must-revalidate"
"""To be asked again after half a minute: what is newest may change at any time."""
FOR_EVER = "public, max-age=31536000, immutable"


def answered(media: str) -> dict[int | str, dict[str, Any]]:
    """How such an answer is described."""
    content = {media: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": "It", "content": content}, 304: {"description": "It is still the same"}}


def version_of(*parts: bytes) -> str:
    """Tag of what was said, without quotes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:20]


def has(request: Request | Headers, version: str) -> bool:
    """Whether whoever asks has that version."""
    headers = request.headers if isinstance(request, Request) else request
    given = headers.get("if-none-match", "")
    return any(each.strip().removeprefix("W/") in (f'"{version}"', "*") for each in given.split(","))


def tagged(request: Request, body: bytes, media: str, cache: str = SOON) -> Response:
    """An answer, or that it is still the same."""
    version = version_of(body)
    headers = {"ETag": f'"{version}"', "Cache-Control": cache}
    if has(request, version):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


class Tagged:
    """Tag whatever an application answers well; its answers are held until they are whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        begun: list[Message] = []
        parts: list[bytes] = []

        async def held(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            (start,), body = begun, b"".join(parts)
            if start["status"] == 200:
                version = version_of(body)
                headers = MutableHeaders(scope=start)
                headers["ETag"], headers["Cache-Control"] = f'"{version}"', SOON
                if has(Headers(scope=scope), version):
                    start["status"], body = 304, b""
                    del headers["content-length"]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, held)
