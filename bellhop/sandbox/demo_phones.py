"""The apps on the demo's phones: each shows the ring of a push, and reports it with the ticket in the push."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from bellhop.sandbox.installation import Arrival

WAKES_S = 0.1
"""How long a phone of the demo needs from the push to the ringing call."""


class DemoPhones:
    """All phones of the demo. They send their reports to the web process at `url`."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http = url, http
        self.tickets: dict[tuple[str, str], str] = {}
        """By token and call."""

    async def ring(self, arrival: Arrival) -> bool:
        """Show a ring and report it. Returns whether Bellhop took the report."""
        self.tickets[arrival.token, arrival.cid] = _ticket(arrival.payload)
        await asyncio.sleep(WAKES_S)
        return await self._report(arrival.token, arrival.cid, "rang")

    async def decline(self, token: str, cid: str) -> bool:
        """Report that the user declined. Returns whether Bellhop took the report."""
        return await self._report(token, cid, "declined")

    async def _report(self, token: str, cid: str, event: str) -> bool:
        report = {"receipt": self.tickets[token, cid], "event": event}
        async with self.http.post(f"{self.url}/v1/receipts", json=report) as response:
            return response.status == 204


def _ticket(payload: Mapping[str, Any]) -> str:
    """Read the ticket of an APNs payload, or of an FCM data message."""
    ticket: str = payload.get("bellhop", payload)["receipt"]
    return ticket
