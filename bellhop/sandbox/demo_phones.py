"""The apps on the demo's phones: each shows the ring of a push, and reports with the ticket in the push."""

import asyncio
from typing import Any

import aiohttp

from bellhop.domain.device import Provider
from bellhop.sandbox.installation import Arrival

HEALTH = {
    Provider.APNS: {"os": "ios", "os_version": "26.1", "notifications": "allowed", "notification_sound": True},
    Provider.FCM: {
        **{"os": "android", "os_version": "16", "manufacturer": "Google", "notifications": "allowed"},
        **{"channel_importance": "high", "full_screen_intent": False, "fcm_priority": "high"},
    },
    Provider.WEB_PUSH: {"os": "browser", "notifications": "allowed"},
}
"""The settings that the phones report, by provider."""
WAKES_S = 0.1
"""How long a phone of the demo needs from the push to the ringing call."""


class DemoPhones:
    """All phones of the demo. They send their reports to the web process at `url`."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http = url, http
        self.tickets: dict[tuple[str, str], str] = {}
        """By token and call."""

    async def wake(self, arrival: Arrival) -> None:
        """Show a ring."""
        self.tickets[arrival.token, arrival.cid] = arrival.ticket
        await asyncio.sleep(WAKES_S)

    async def rang(self, arrival: Arrival) -> int:
        """Report that it rings, and the phone's settings."""
        return await self.report(arrival.token, arrival.cid, "rang", health=HEALTH[arrival.provider])

    async def report(self, token: str, cid: str, event: str, **more: Any) -> int:
        """Report an event of a ring. Returns the HTTP status of Bellhop's answer, 204 if it took the report."""
        report = {"receipt": self.tickets[token, cid], "event": event, **more}
        async with self.http.post(f"{self.url}/v1/receipts", json=report) as response:
            return response.status
