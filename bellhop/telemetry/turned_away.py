"""What Bellhop turned away in the last hour: webhooks and requests to /v1, by reason, app and address.

A process counts in memory and adds its counts to Redis every second, as it does with its metrics. Metrics have no label
for an address or an API key, since strangers choose them. Here their number is limited, and they expire.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis

from bellhop.store.keys import turned_away_key
from bellhop.store.scripts import Command
from bellhop.telemetry.hour_slots import add_counts, read_counts

MAX_ENTRIES = 500
"""Entries of one key. Further counts go to an entry without an address. It names the app only if that is known."""
MAX_TEXT = 64


class TurnedAway(NamedTuple):
    """What was turned away."""

    reason: str
    """A key of SENTENCES, or API and a key of OF_API."""
    app: str = ""
    """The API key of a refused request, or the tenant of a verified event; empty if unknown."""
    address: str = ""
    """The client's; empty if it does not matter."""


RANG_NOBODY = "of app {app} rang nobody"
SENTENCES: Mapping[str, tuple[str, str]] = {
    "missing_signature": ("refused", "no X-SIGNATURE: does somebody other than Stream post to /webhooks/stream?"),
    "bad_signature": ("refused", "signature does not match: is the secret of key {app} right?"),
    "unknown_app": ("refused", "API key {app} is not configured: add the app's key and secret to the settings"),
    "strange_address": ("refused", "the address is not in BELLHOP_WEBHOOK_NETWORKS"),
    "user_token": ("refused", "the body is a token of a Stream user: somebody tried to post a webhook with it"),
    "wrong_path": ("refused", "webhooks go to /webhooks/stream: correct the URL in Stream's dashboard"),
    "too_large": ("refused", "the body is larger than BELLHOP_WEBHOOK_MAX_BYTES"),
    "inflates_too_much": ("refused", "the gzip body inflates to more than BELLHOP_WEBHOOK_GZIP_RATIO times its size"),
    "busy": ("asked for again later", "too many gzip bodies waited to be inflated"),
    "unsupported_encoding": ("refused", "the body must be uncompressed or gzip"),
    "bad_encoding": ("refused", "the gzip body cannot be inflated"),
    "no_body": ("refused", "the server in front gave Bellhop no body of a chunked request (docs/proxies.md)"),
    "too_slow": ("refused", "the body took too long to arrive, or too many bodies arrived at once"),
    "not_amazons": ("refused", "the message is not from Amazon SNS, or not from a topic in the settings"),
    "repeated": (
        "of app {app} ignored",
        "each had come often in the same minute: somebody sends them again and again",
    ),
    "outdated": (
        "of app {app} dropped",
        "they were too old: somebody sends old webhooks again, or a queue was held up",
    ),
    "mail_address_limit": ("not sent", "their address had got the most that BELLHOP_MAIL_PER_ADDRESS_HOUR allows"),
    "mail_caller_limit": ("not sent", "their caller had caused the most that BELLHOP_MAIL_PER_CALLER_HOUR allows"),
    "tenant_waiting": (
        "of app {app} asked for again later",
        "more of its rings waited than BELLHOP_RINGS_WAITING_PER_APP allows: add workers",
    ),
    "unreadable": ("of app {app} kept", "Bellhop cannot read them: please report it (docs/troubleshooting.md)"),
    "caller_limit": (RANG_NOBODY, "a caller called more people in a minute than BELLHOP_RINGS_PER_CALLER allows"),
    "call_limit": (RANG_NOBODY, "a call rang more people in a minute than BELLHOP_RINGS_PER_CALL allows"),
    "open_limit": (RANG_NOBODY, "a call rang more often at the same time than BELLHOP_OPEN_ROUNDS_PER_CALL allows"),
    "callee_limit": (
        "of app {app} left somebody out",
        "somebody was called more often in a minute than BELLHOP_RINGS_PER_CALLEE allows",
    ),
    "too_many_members": (
        "of app {app} left somebody out",
        "they had more members than BELLHOP_RING_MEMBERS allows",
    ),
}
"""For each reason: what happened to a number of webhooks, and why or what to do."""

API = "v1-"
"""The start of each reason why a request to /v1 is refused. The rest of the reason is a key of OF_API."""
OF_API: Mapping[str, str] = {
    "no-token": "they had no token (docs/people.md)",
    "bad-token": "the token is not signed with the app's API secret: does the app or the backend have another one?",
    "expired-token": "the token has expired: does the app ask its backend for a new one?",
    "revoked-token": "the token was revoked at Stream",
    "early-token": "the token is not valid yet: is the clock of the machine that made it right?",
    "wrong-audience": "the token is for another service: BELLHOP_API_AUDIENCES does not list its audience",
    "unknown-app": "X-API-KEY is missing, or is not the key of an app in the settings",
    "expired-receipt": "the receipt is of a ring that has been over for two minutes",
    "too-many-reports": "the receipt of one ring was sent again and again",
    "bad-receipt": "the receipt is not the one of a push, or BELLHOP_RECEIPT_SECRET was changed",
    "limited-token": "the token is limited to certain calls",
    "another-user": "a user's token was used for another user",
    "server-only": "a user's token was used where a server token is needed",
    "no-one": '"me" was used with a server token',
    "not-in-call": "a user asked for the live stream of a call to which the user does not belong",
    "export-runs": "an export of the same user was still being made",
    "too-many-streams": "as many live streams are open as BELLHOP_LIVE_STREAMS_PER_USER and _PER_CALL allow",
    "too-many-writes": "a user changed more in a minute than BELLHOP_API_WRITES_PER_MINUTE allows",
}
"""Why a request to /v1 was refused, by the name of the API's error."""

OF_EMAILS = frozenset({"mail_address_limit", "mail_caller_limit"})
"""The reasons that are about missed-call e-mails."""


class TurnedAwayCounter:
    """Counts what this process turned away since its last flush. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[TurnedAway, TurnedAway]] = Counter()

    def add(self, reason: str, app: str | None = None, address: str | None = None, *, known_app: bool = False) -> None:
        """Count a webhook or an e-mail. A stranger may choose `app` unless `known_app` is set."""
        shown = (app or "").strip()[:MAX_TEXT]
        entry = TurnedAway(reason, shown if shown.isprintable() else "", address or "")
        rest = TurnedAway(reason, entry.app if known_app else "")
        with self._lock:
            full = len(self._counts) >= MAX_ENTRIES
            self._counts[(rest if full else entry, rest)] += 1

    def flush(self) -> Command | None:
        """Return the script that adds the counts to Redis, or None. If it fails, these counts are lost."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return None
        return add_counts(
            turned_away_key, MAX_ENTRIES, ((entry, rest, amount) for (entry, rest), amount in counts.items())
        )


TURNED_AWAY = TurnedAwayCounter()


def read_last_hour(redis: Redis) -> Counter[TurnedAway]:
    """Read the counts of the last hour, and of up to ten minutes before. Raises redis.exceptions.RedisError."""
    total: Counter[TurnedAway] = Counter()
    for entry, amount in read_counts(redis, turned_away_key):
        total[TurnedAway(*entry)] += amount
    return total


def describe(counts: Mapping[TurnedAway, int]) -> list[str]:
    """Say what was turned away: one sentence for each reason and app, the most frequent first."""
    by_reason: dict[TurnedAway, Counter[str]] = {}
    for (reason, app, address), amount in counts.items():
        group = TurnedAway(reason, app if "{app}" in "".join(SENTENCES.get(reason, ())) else "")
        by_reason.setdefault(group, Counter())[address] += amount
    groups = sorted(by_reason.items(), key=lambda group: (-group[1].total(), group[0]))
    return [_sentence(what, addresses) for what, addresses in groups]


def _sentence(what: TurnedAway, addresses: Counter[str]) -> str:
    number = addresses.total()
    if what.reason.startswith(API):
        why = OF_API.get(what.reason.removeprefix(API), what.reason)
        requests = "request" if number == 1 else "requests"
        return f"{number} {requests} to /v1 refused in the last hour: {why}{_origin(addresses)}"
    done, why = SENTENCES.get(what.reason, ("turned away", what.reason))
    text = f"{done} in the last hour: {why}".format(app=what.app or "(unknown)")
    noun = "e-mail" if what.reason in OF_EMAILS else "webhook"
    return f"{number} {noun}{'' if number == 1 else 's'} {text}{_origin(addresses)}"


def _origin(addresses: Mapping[str, int]) -> str:
    named = [(amount, address) for address, amount in addresses.items() if address]
    if not named:
        return ""
    _, most_frequent = max(named)
    others = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return f" (from {most_frequent}{others})"
