"""Scripted answers for the stand-in for Google: what it answers instead of the usual, and how it is sent."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from bellhop.clock import Seconds
from bellhop.sandbox import google_rules


@dataclass(frozen=True, slots=True)
class GoogleReply:
    """One scripted answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["normal", "whole", "split", "cut", "silence", "drop"] = "whole"
    """How the answer is sent: "whole" in one piece, "split" in two. "cut" sends the first piece and resets the
    connection, "drop" resets it at once, "silence" never answers, "normal" ignores the script."""
    after_s: Seconds = Seconds(0)
    """How long to wait before the answer."""
    content_type: str = "application/json"

    async def deliver(self, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse | None:
        """Answer the request; None if it gets the usual answer. Silence ends when the server stops."""
        await asyncio.sleep(self.after_s)
        if self.how == "normal":
            return None
        if self.how == "whole":
            return web.Response(
                status=self.status, body=self.body, headers=self.headers, content_type=self.content_type
            )
        if self.how in ("split", "cut"):
            return await self._in_pieces(request)
        if self.how == "silence":
            await stopping.wait()
        return _reset(request, web.Response())

    async def _in_pieces(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=self.status, headers=self.headers)
        response.content_type, response.content_length = self.content_type, len(self.body)
        await response.prepare(request)
        middle = len(self.body) // 2
        await response.write(self.body[:middle])
        await asyncio.sleep(0.05)
        if self.how == "cut":
            return _reset(request, response)
        await response.write(self.body[middle:])
        return response


SILENCE = GoogleReply(how="silence")
DROP = GoogleReply(how="drop")
EMPTY = GoogleReply()
HTML = b"<!DOCTYPE html><html><title>Error</title><p>The server encountered a temporary error.</html>"


def slow(after_s: Seconds) -> GoogleReply:
    """Give the usual answer, after a delay."""
    return GoogleReply(how="normal", after_s=after_s)


def html(status: int) -> GoogleReply:
    """Answer with an HTML page, as a failing proxy or front end does."""
    return GoogleReply(status, HTML, content_type="text/html")


def fcm_error(
    status: int,
    rpc_status: str,
    *,
    code: str = "",
    field: str = "",
    reason: str = "",
    message: str = "refused by script",
    retry_after: str = "",
) -> GoogleReply:
    """Answer with one of Google's JSON errors. `retry_after` is the header's text: seconds or an HTTP date."""
    body = google_rules.error(status, rpc_status, message, code=code, field=field, reason=reason)
    return GoogleReply(status, json.dumps(body).encode(), {"Retry-After": retry_after} if retry_after else {})


def _reset(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response
