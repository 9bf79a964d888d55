"""What the phones got: each push that a stand-in accepted, and each error that it answered instead."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.sandbox.apple_server import AppleRequest
from bellhop.sandbox.google_server import GoogleRequest
from bellhop.sandbox.installation import Installation
from bench.soak.codes import Code

WATCH_S = 0.05
ANSWER_S = Seconds(0.1)
"""How long the providers take to answer: so many pushes are in flight when something fails."""


class PhonePush(NamedTuple):
    """One push that arrived at a phone."""

    at: float
    token: str
    same: str
    """Pushes of one kind and call with the same text here replace each other on the phone."""


class Met(NamedTuple):
    """A push that met an injected error."""

    at: float
    token: str
    code: Code


class Phones:
    """Keeps what arrives, and answers errors on request."""

    def __init__(self, installation: Installation) -> None:
        self.arrived: defaultdict[tuple[str, str], list[PhonePush]] = defaultdict(list)
        """The pushes by call (cid) and type, such as call.ring."""
        self.met: dict[Provider, list[Met]] = {Provider.APNS: [], Provider.FCM: []}
        self.choose: dict[Provider, Callable[[str], Code | None]] = {}
        """Decides which error a request gets, by provider."""
        self.lags: list[tuple[float, float]] = []
        apple, google = installation.apple, installation.google
        apple.keep = google.keep = False
        apple.answer_delay_s = google.answer_delay_s = ANSWER_S
        apple.on_push, google.on_push = self._from_apple, self._from_google
        apple.interfere, google.interfere = self._decider(Provider.APNS), self._decider(Provider.FCM)

    def _decider(self, provider: Provider) -> Callable[[str], Any]:
        def decide(token: str) -> Any:
            choose = self.choose.get(provider)
            code = choose(token) if choose else None
            if code is None:
                return None
            self.met[provider].append(Met(time.time(), token, code))
            return code.reply

        return decide

    def _from_apple(self, push: AppleRequest) -> None:
        if stream := push.payload.get("stream"):
            self._note(stream, PhonePush(push.at, push.token, push.headers.get("apns-collapse-id", "")))

    def _from_google(self, push: GoogleRequest) -> None:
        data = push.message["data"]
        self._note(data, PhonePush(push.received_at, push.token, data.get("id", "")))

    def _note(self, data: Mapping[str, Any], push: PhonePush) -> None:
        self.arrived[data["call_cid"], data["type"]].append(push)

    async def watch_lag(self) -> None:
        """Note how late this process is: what arrived may have waited for it."""
        while True:
            began = time.time()
            await asyncio.sleep(WATCH_S)
            self.lags.append((ended := time.time(), ended - began - WATCH_S))

    def lag_at(self, at: float) -> float:
        """How late this process was around that time, in seconds."""
        return max((lag for ended, lag in self.lags if at - 1 < ended < at + 1), default=0.0)

    def spent(self) -> dict[str, float]:
        """The tokens that a provider called invalid, with the time of the first such answer."""
        spent: dict[str, float] = {}
        for met in chain.from_iterable(self.met.values()):
            if met.code.about_token:
                spent.setdefault(met.token, met.at)
        return spent
