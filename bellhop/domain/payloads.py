"""The payloads of pushes, as Stream's SDKs for Swift, Android, Flutter and React Native parse them. Pure.

Every value of the `stream` part is a string, and the caller's name is never empty: React Native on iOS crashes on a
JSON boolean for `video`, and Android's notification API on a blank name. Bellhop adds the call's UUID (the same for
every ring of one call session, so that an app can use it for CallKit), the time at which the push was made, and the
time at which it expires (unix ms).
"""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from pydantic_core import to_json

from bellhop.domain.device import Provider
from bellhop.domain.push import PushKind, named_uuid
from bellhop.domain.round import Recipient, Round
from bellhop.i18n.texts import BUILT_IN, Wording, fill

ENGLISH = BUILT_IN.wording("en")
CALL_NAMESPACE = uuid.UUID("5d1f4d8e-0c1a-4e3b-9f57-6a2d7b90c1e4")
EVENT = {PushKind.RING: "call.ring", PushKind.NOTIFICATION: "call.notification", PushKind.MISSED: "call.missed"}
LONGEST_TEXT, SHORTEST_TEXT = 255, 40
"""Characters: the longest text that comes in, and the length below which no text is cut. Ids are never cut."""


class PushTexts(NamedTuple):
    """The texts that the user reads on the phone."""

    title: str
    body: str


def words(kind: PushKind, round_: Round, wording: Wording) -> PushTexts:
    """Write the push's title and body."""
    caller = round_.caller_name if round_.caller_id else wording["unknown_caller"]
    return PushTexts(fill(wording[f"{kind}_title"], caller=caller), fill(wording[f"{kind}_body"], caller=caller))


def call_uuid(round_: Round) -> str:
    """Return the UUID for CallKit. It is the same for all rings of one session of one call."""
    return named_uuid(CALL_NAMESPACE, f"{round_.tenant}|{round_.cid}|{round_.session_id}")


def notice_id(kind: PushKind, round_: Round, user_id: str) -> str:
    """Return the id by which an Android app replaces a notice that comes twice. Each round has its own for each user.

    There is no `collapse_key`: of all messages that wait for a phone without a connection, Google keeps only those of
    four keys, and drops the rest. So a key for each call would lose notices.
    https://firebase.google.com/docs/cloud-messaging/customize-messages/collapsible-message-types
    """
    return named_uuid(CALL_NAMESPACE, f"{round_.tenant}|{round_.cid}|{round_.started_at}|{kind}|{user_id}")


def payload(
    provider: Provider,
    kind: PushKind,
    round_: Round,
    recipient: Recipient,
    now_ms: int,
    expires_ms: int,
    wording: Wording = ENGLISH,
    receipt: str = "",
) -> Mapping[str, Any]:
    """Build the body for APNs, or the data map for FCM. Long texts are shortened to keep the provider's limit.

    `receipt` is the ticket that the phone sends back when it rings (`bellhop.domain.ticket`).
    """
    limit = most_bytes(provider, kind)
    build = partial(_apns, wording=wording) if provider is Provider.APNS else _fcm
    longest, shortened = LONGEST_TEXT, round_
    while True:
        result: dict[str, Any] = build(kind, shortened, recipient, now_ms, expires_ms)
        if receipt:
            (result["bellhop"] if provider is Provider.APNS else result)["receipt"] = receipt
        if longest <= SHORTEST_TEXT or size_of(provider, result) <= limit:
            return result
        longest = max(SHORTEST_TEXT, longest // 2)
        shortened = _with_shorter_names(round_, longest)


def _with_shorter_names(round_: Round, longest: int) -> Round:
    names = {"caller_name": _cut(round_.caller_name, longest), "call_name": _cut(round_.call_name, longest)}
    return round_.model_copy(update=names)


def _cut(text: str, longest: int) -> str:
    """Shorten a text to this many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def most_bytes(provider: Provider, kind: PushKind) -> int:
    """Return the provider's limit: Apple 5 KB for a VoIP push and 4 KB for others ("Generating a remote notification"),
    Google 4 KB (https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type)."""
    return 5_120 if provider is Provider.APNS and kind is PushKind.RING else 4_096


def size_of(provider: Provider, result: Mapping[str, Any]) -> int:
    """Return the bytes that count against the limit: Apple counts the JSON body, Google the keys and values."""
    if provider is Provider.FCM:
        return len("".join([*result, *result.values()]).encode())
    return len(to_json(result))


def _stream(kind: PushKind, round_: Round, recipient: Recipient) -> dict[str, str]:
    """Build the part that Stream's SDKs read on both platforms."""
    stream = {
        "sender": "stream.video",
        "type": EVENT[kind],
        "version": "v2",
        "call_cid": round_.cid,
        "call_display_name": round_.call_name,
        "created_by_id": round_.caller_id,
        "created_by_display_name": round_.caller_name,
        "receiver_id": recipient.id,
    }
    if kind is PushKind.RING:
        stream["video"] = "true" if round_.video else "false"
    return stream


def _apns(
    kind: PushKind, round_: Round, recipient: Recipient, now_ms: int, expires_ms: int, wording: Wording
) -> dict[str, Any]:
    texts = words(kind, round_, wording)._asdict()
    aps: dict[str, Any] = {"alert": texts}
    stream = _stream(kind, round_, recipient)
    if kind is PushKind.RING:
        aps |= {"badge": 0, "category": "stream.video", "mutable-content": 1}
    else:
        aps |= {
            "category": "stream.video",
            "mutable-content": 1,
            "sound": "default",
            "thread-id": f"video-{round_.cid}",
        }
        stream |= texts
    extra = {"call_uuid": call_uuid(round_), "sent_at": now_ms, "expires_at": expires_ms}
    return {"aps": aps, "stream": stream, "bellhop": extra}


def _fcm(kind: PushKind, round_: Round, recipient: Recipient, now_ms: int, expires_ms: int) -> dict[str, str]:
    extra = {"call_uuid": call_uuid(round_), "sent_at": str(now_ms), "expires_at": str(expires_ms)}
    if kind is not PushKind.RING:  # a ring has its call_uuid
        extra["id"] = notice_id(kind, round_, recipient.id)
    return _stream(kind, round_, recipient) | extra
