"""The payloads of pushes, as Stream's SDKs for Swift, Android, Flutter and React Native parse them. Pure.

Every value of the `stream` part is a string, and the caller's name is never empty: React Native on iOS crashes on a
JSON boolean for `video`, and Android's notification API on a blank name. Bellhop adds the call's UUID (the same for
every ring of one call session, so that an app can use it for CallKit), the time at which the push was made, and the
time at which it expires (unix ms).
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import to_json

from bellhop.domain.device import Provider
from bellhop.domain.push import RINGING, PushKind, named_uuid
from bellhop.domain.round import Recipient, Round
from bellhop.i18n.texts import BUILT_IN, Wording, fill

ENGLISH = BUILT_IN.wording("en")
CALL_NAMESPACE = uuid.UUID("5d1f4d8e-0c1a-4e3b-9f57-6a2d7b90c1e4")
EVENT = {kind: f"call.{kind}" for kind in PushKind} | dict.fromkeys(RINGING, "call.ring")
"""Stream's type of each push."""
TEXTS = {kind: str(kind) for kind in PushKind} | dict.fromkeys(RINGING, "ring")
"""How the names of a push's texts begin (`bellhop.i18n.texts`)."""
TIME_SENSITIVE, PASSIVE = "time-sensitive", "passive"
LONGEST_TEXT, SHORTEST_TEXT = 255, 40
"""Characters: the longest text that comes in, and the length below which no text is cut. Ids are never cut."""
LONGEST_OWN_TEXT = 1_000
"""Characters of a text that a team writes."""


RESERVED_KEYS = frozenset(
    {
        *("aps", "stream", "bellhop"),
        *("sender", "type", "version", "call_cid", "call_display_name", "created_by_id", "created_by_display_name"),
        *("receiver_id", "video", "title", "body", "sound", "ringtone"),
        *("call_uuid", "sent_at", "expires_at", "id", "receipt", "missed_title", "missed_body"),
    }
)
"""The keys of payloads that a team's own data may not have."""


class PushTexts(NamedTuple):
    """The texts that the user reads on the phone."""

    title: str
    body: str


def words(kind: PushKind, round_: Round, wording: Wording) -> PushTexts:
    """Write the push's title and body."""
    caller = round_.caller_name if round_.caller_id else wording["unknown_caller"]
    title, body = wording[f"{TEXTS[kind]}_title"], wording[f"{TEXTS[kind]}_body"]
    return PushTexts(fill(title, caller=caller), fill(body, caller=caller))


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


class OwnFields(NamedTuple):
    """What a team wants in one push (`bellhop.domain.own_pushes`). A field that is None is as Bellhop makes it."""

    title: str | None = None
    body: str | None = None
    sound: str | None = None
    ringtone: str | None = None
    category: str | None = None
    thread: str | None = None
    badge: int | None = None
    interruption_level: str = ""
    data: Mapping[str, str] = {}
    """Further data, by key. What does not fit is left out, from the end."""
    left_out: tuple[str, ...] = ()
    """Fields and keys that could not be filled in."""


class PushFacts(NamedTuple):
    """Everything that a payload depends on."""

    kind: PushKind
    round: Round
    recipient: Recipient
    now_ms: int
    expires_ms: int
    wording: Wording = ENGLISH
    receipt: str = ""
    """The ticket that the phone sends back when it rings (`bellhop.domain.ticket`)."""
    own: OwnFields | None = None
    """None if the team has no template for this push."""
    iphone_at_google: bool = False
    """Whether Google delivers the message to an iPhone."""
    badge: int | None = None
    """The number for the app's icon; None leaves the icon as it is."""
    ringing_alert: bool = False
    """Whether it is the alert that rings an iPhone (`Device.rings`), or its repetition."""


class BuiltPayload(NamedTuple):
    """A payload within its provider's limit, and the team's fields and keys that are not in it."""

    payload: Mapping[str, Any]
    aps: Mapping[str, Any] | None = None
    """What iOS shows of a message that Google delivers to an iPhone."""
    left_out: tuple[str, ...] = ()


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
    """Build a payload for which the team has no template."""
    return build_payload(provider, PushFacts(kind, round_, recipient, now_ms, expires_ms, wording, receipt)).payload


def build_payload(provider: Provider, facts: PushFacts) -> BuiltPayload:
    """Build the body for APNs, the data map for FCM, or the message for a browser.

    To keep the provider's limit, texts are shortened first, and then the team's data is left out. Ids are never cut.
    At Google, a ring to an iPhone has no `aps`: it rings by its VoIP token, and `aps` would show the call again.
    """
    build, limit = BUILDERS[provider], most_bytes(provider, facts.kind, alert=facts.ringing_alert)
    shows = facts.iphone_at_google and facts.kind is not PushKind.RING
    longest = LONGEST_OWN_TEXT if facts.own else LONGEST_TEXT
    result, aps = build(facts, longest), _aps(facts, longest) if shows else None
    while longest > SHORTEST_TEXT and size_of(provider, result, aps) > limit:
        longest = max(SHORTEST_TEXT, longest // 2)
        shorter = facts._replace(round=_with_shorter_names(facts.round, longest))
        result, aps = build(shorter, longest), _aps(shorter, longest) if shows else None
    if facts.own is None:
        return BuiltPayload(result, aps)
    left_out = [*facts.own.left_out]
    for key in reversed([*facts.own.data]):
        if size_of(provider, result, aps) <= limit:
            break
        del result[key]
        left_out.append(key)
    return BuiltPayload(result, aps, tuple(left_out))


def _with_shorter_names(round_: Round, longest: int) -> Round:
    names = {"caller_name": _cut(round_.caller_name, longest), "call_name": _cut(round_.call_name, longest)}
    return round_.model_copy(update=names)


def _cut(text: str, longest: int) -> str:
    """Shorten a text to this many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def most_bytes(provider: Provider, kind: PushKind, *, alert: bool = False) -> int:
    """Return the provider's limit: Apple 5 KB for a VoIP push and 4 KB for others ("Generating a remote notification"),
    Google 4 KB (https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type), a browser's push
    service 4 KB once it is encrypted (RFC 8030, section 7.2). `alert`: whether Apple gets a ring as an alert."""
    if provider is Provider.WEB_PUSH:
        return 3_993
    return 5_120 if provider is Provider.APNS and kind is PushKind.RING and not alert else 4_096


def size_of(provider: Provider, result: Mapping[str, Any], aps: Mapping[str, Any] | None = None) -> int:
    """Return the bytes that count against the limit: of the JSON; at Google, of the keys and values.

    `aps` is what Google passes on to Apple.
    """
    if provider is Provider.FCM:
        return len("".join([*result, *result.values()]).encode()) + (len(to_json(aps)) if aps else 0)
    return len(to_json(result))


def _stream(kind: PushKind, round_: Round, recipient: Recipient) -> dict[str, str]:
    """Build the part that Stream's SDKs read on both platforms."""
    stream = {
        "sender": "stream.video",
        "type": EVENT[kind],
        "version": "v2",
        "call_cid": round_.shown_cid or round_.cid,
        "call_display_name": round_.call_name,
        "created_by_id": round_.caller_id,
        "created_by_display_name": round_.caller_name,
        "receiver_id": recipient.id,
    }
    if kind in RINGING:
        stream["video"] = "true" if round_.video else "false"
    return stream


def _apns(facts: PushFacts, longest: int) -> dict[str, Any]:
    kind, round_, own = facts.kind, facts.round, facts.own
    stream = _stream(kind, round_, facts.recipient)
    aps = _aps(facts, longest)
    if kind not in RINGING:
        stream |= aps["alert"]
    extra = {"call_uuid": call_uuid(round_), "sent_at": facts.now_ms, "expires_at": facts.expires_ms}
    if facts.receipt:
        extra["receipt"] = facts.receipt
    if own is None:
        return {"aps": aps, "stream": stream, "bellhop": extra}
    if own.ringtone:
        extra["ringtone"] = own.ringtone
    return {"aps": aps, "stream": stream, "bellhop": extra, **own.data}


def _aps(facts: PushFacts, longest: int) -> dict[str, Any]:
    """Build the part that iOS reads."""
    aps: dict[str, Any] = {"alert": _texts(facts, longest)}
    if facts.kind is PushKind.RING and not facts.ringing_alert:
        aps |= {"badge": 0, "category": "stream.video", "mutable-content": 1}
    else:
        aps |= {
            "category": "stream.video",
            "mutable-content": 1,
            "sound": "default",
            "thread-id": f"video-{facts.round.cid}",
        }
        if facts.badge is not None:
            aps["badge"] = facts.badge
    if facts.kind is PushKind.RING_OVER:
        aps["interruption-level"] = PASSIVE
        del aps["sound"]
    if facts.kind is PushKind.SECOND_RING or facts.ringing_alert:
        aps["interruption-level"] = TIME_SENSITIVE
    if facts.own is None:
        return aps
    if facts.ringing_alert and facts.own.ringtone:
        aps["sound"] = facts.own.ringtone
    return _with_own(aps, facts.own)


def _fcm(facts: PushFacts, longest: int) -> dict[str, str]:
    kind, round_, own = facts.kind, facts.round, facts.own
    data = _stream(kind, round_, facts.recipient)
    if kind not in RINGING:  # Stream's SDKs write the texts of a ring by themselves
        data |= _texts(facts, longest)
    data |= {"call_uuid": call_uuid(round_), "sent_at": str(facts.now_ms), "expires_at": str(facts.expires_ms)}
    if kind not in RINGING:  # a ring has its call_uuid
        data["id"] = notice_id(kind, round_, facts.recipient.id)
    if facts.receipt:
        data["receipt"] = facts.receipt
    if own is None:
        return data
    named = {"sound": own.sound, "ringtone": own.ringtone}
    if kind in RINGING:
        named |= {"title": own.title, "body": own.body}
    return data | {name: _cut(text, longest) for name, text in named.items() if text} | {**own.data}


def _web_push(facts: PushFacts, longest: int) -> dict[str, str]:
    """Build what a service worker needs: it has no texts of its own, so a ring carries those of a missed call too."""
    data = _fcm(facts, longest) | _texts(facts, longest)
    if facts.kind in RINGING:
        missed = words(PushKind.MISSED, facts.round, facts.wording)
        data |= {"missed_title": missed.title, "missed_body": missed.body}
    return data


BUILDERS: Mapping[Provider, Callable[[PushFacts, int], dict[str, Any]]] = {
    Provider.APNS: _apns,
    Provider.FCM: _fcm,
    Provider.WEB_PUSH: _web_push,
}


def _texts(facts: PushFacts, longest: int) -> dict[str, str]:
    title, body = words(facts.kind, facts.round, facts.wording)
    if facts.own is not None:
        title = _cut(facts.own.title or title, longest)
        body = _cut(body if facts.own.body is None else facts.own.body, longest)
    return {"title": title, "body": body}


def _with_own(aps: dict[str, Any], own: OwnFields) -> dict[str, Any]:
    """Put the team's fields into the part that iOS reads. An empty text removes the field."""
    fields = {
        "badge": own.badge,
        "category": own.category,
        "sound": own.sound,
        "thread-id": own.thread,
        "interruption-level": own.interruption_level or None,
    }
    aps |= {name: value for name, value in fields.items() if value is not None}
    return {name: value for name, value in aps.items() if value != ""}
