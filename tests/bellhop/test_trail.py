"""Lines of the trail: compact, bounded, readable by later versions; and where the scripts put them."""

import json
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec.structs import asdict, fields, replace

from bellhop import trail
from bellhop.clock import seconds
from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import PushKind
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import brake_key, trail_key
from bellhop.store.steps import run_steps
from bellhop.trail import (
    LINE_BYTES,
    LONG,
    MILESTONES,
    SHORT,
    EmailMilestone,
    JobPickedUp,
    PhoneRang,
    PushAttempted,
    PushFinished,
    PushReduced,
    PushSkipped,
    PushWaited,
    TokenChecked,
    TokenFate,
    UnknownMilestone,
    UserSettled,
    WebhookOutdated,
    WebhookReceived,
    WebhookRepeated,
    decode,
    encode,
)
from tests.factories import a_dead_token, a_delivery, a_push, a_round, an_iphone
from tests.trails import line, milestones, trail_of
from webhook.intake.apply import Verdict, apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse
from worker.delivery.attempt import deliver
from worker.delivery.fence import Admission, Fence, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner

NOW = 1_800_000_000_000_000
DAYS_S = 7 * trail.DAY_S
LISTS_OF_TEXTS = {"callers", "users", "learned", "names"}
NUMBERS = {"round", "status", "ms", "times", "stamp", "more", "left_out", "attempt", "until", "redis_ahead_us"}


T = 1_784_887_200_123_000
KEY = "ab" * 10
PUSH = {"round": T, "kind": "ring", "user": "jane", "device": KEY, "label": "Jane's iPhone"}
WRITTEN = [
    (
        WebhookReceived(
            at=T + 9_000,
            type="call.ring",
            stamp=T,
            attempt=1,
            users=("jane", "ben"),
            left_out=7,
            session="8f3a91c0",
            round=T,
            callers=("sara",),
            until=T + 30_000_000,
        ),
        '[2,"received",1784887200132000,{"t":"call.ring","c":1784887200123000,"a":1,"n":["jane",'
        '"ben"],"h":7,"z":"8f3a91c0","r":1784887200123000,"f":["sara"],"g":1784887230123000}]',
    ),
    (
        WebhookReceived(
            at=T + 9_000, type="call.ring", stamp=T, users=("jane",), callers=("sara",), names=("", "Jane Roe")
        ),
        '[2,"received",1784887200132000,{"t":"call.ring","c":1784887200123000,"n":["jane"],"f":["sara"],'
        '"B":["","Jane Roe"]}]',
    ),
    (
        WebhookReceived(at=T + 9_000, type="call.rejected", stamp=T, users=("ben",), session="8f3a91c0", reason="busy"),
        '[2,"received",1784887200132000,{"t":"call.rejected","c":1784887200123000,"n":["ben"],'
        '"z":"8f3a91c0","y":"busy"}]',
    ),
    (
        WebhookRepeated(at=T + 9_000, type="call.ring", stamp=T, session="8f3a91c0", attempt=2),
        '[2,"repeated",1784887200132000,{"t":"call.ring","c":1784887200123000,"z":"8f3a91c0","a":2}]',
    ),
    (
        WebhookRepeated(at=T + 9_000, type="call.ring", stamp=T, session="8f3a91c0", attempt=2, times=12),
        '[2,"repeated",1784887200132000,{"t":"call.ring","c":1784887200123000,"z":"8f3a91c0","a":2,"N":12}]',
    ),
    (
        WebhookOutdated(at=T + 9_000, type="call.ring", stamp=T),
        '[2,"outdated",1784887200132000,{"t":"call.ring","c":1784887200123000}]',
    ),
    (
        JobPickedUp(at=T + 12_000, round=T, job="ring", worker="3f2a1b"),
        '[2,"picked_up",1784887200135000,{"r":1784887200123000,"j":"ring","w":"3f2a1b"}]',
    ),
    (
        PushSkipped(at=T, round=T, kind="ring", user="jane", outcome="muted"),
        '[2,"skipped",1784887200123000,{"r":1784887200123000,"k":"ring","u":"jane","o":"muted"}]',
    ),
    (
        PushSkipped(at=T, round=T, kind="ring", user="jane", outcome="same_phone", device=KEY, label="Jane's iPhone"),
        '[2,"skipped",1784887200123000,{"r":1784887200123000,"k":"ring","u":"jane","o":"same_phone",'
        '"d":"abababababababababab","l":"Jane\'s iPhone"}]',
    ),
    (
        PushSkipped(at=T, round=T, kind="ring", user="jane", outcome="no_devices", reason="1 device"),
        '[2,"skipped",1784887200123000,{"r":1784887200123000,"k":"ring","u":"jane","o":"no_devices","y":"1 device"}]',
    ),
    (
        PushWaited(at=T, **PUSH, outcome="circuit_open", provider="apns", environment="production", app="com.example"),
        '[2,"waited",1784887200123000,{"k":"ring","u":"jane","d":"abababababababababab",'
        '"l":"Jane\'s iPhone","o":"circuit_open","r":1784887200123000,"p":"apns","e":"production",'
        '"b":"com.example"}]',
    ),
    (
        PushAttempted(
            at=T, **PUSH, outcome="accepted", status=200, id="E1-F2", ms=41.0, provider="apns", environment="production"
        ),
        '[2,"attempted",1784887200123000,{"k":"ring","u":"jane","d":"abababababababababab",'
        '"l":"Jane\'s iPhone","o":"accepted","s":200,"i":"E1-F2","m":41.0,"r":1784887200123000,'
        '"p":"apns","e":"production"}]',
    ),
    (
        PushAttempted(at=T, **PUSH, outcome="unsent", reason="gaierror é", ms=0.0, provider="fcm", app="proj"),
        '[2,"attempted",1784887200123000,{"k":"ring","u":"jane","d":"abababababababababab",'
        '"l":"Jane\'s iPhone","o":"unsent","y":"gaierror é","m":0.0,"r":1784887200123000,"p":"fcm",'
        '"b":"proj"}]',
    ),
    (
        PushFinished(at=T, **PUSH, outcome="gave_up", provider="apns", environment="sandbox", app="com.example"),
        '[2,"finished",1784887200123000,{"k":"ring","u":"jane","d":"abababababababababab",'
        '"l":"Jane\'s iPhone","o":"gave_up","r":1784887200123000,"p":"apns","e":"sandbox",'
        '"b":"com.example"}]',
    ),
    (
        TokenChecked(at=T, **PUSH, provider="apns", detail="removed"),
        '[2,"token",1784887200123000,{"r":1784887200123000,"k":"ring","u":"jane",'
        '"d":"abababababababababab","l":"Jane\'s iPhone","p":"apns","v":"removed"}]',
    ),
    (
        PushReduced(at=T, **PUSH, provider="apns", detail="title, picture"),
        '[2,"reduced",1784887200123000,{"r":1784887200123000,"k":"ring","u":"jane",'
        '"d":"abababababababababab","l":"Jane\'s iPhone","p":"apns","v":"title, picture"}]',
    ),
    (
        UserSettled(at=T, round=T, user="jane", outcome="no_answer"),
        '[2,"settled",1784887200123000,{"u":"jane","o":"no_answer","r":1784887200123000}]',
    ),
    (
        PhoneRang(at=T, round=T, device=KEY, provider="apns", detail="1784887200400"),
        '[2,"rang",1784887200123000,{"r":1784887200123000,"d":"abababababababababab","p":"apns","v":"1784887200400"}]',
    ),
    (
        PhoneRang(at=T, round=T, device=KEY, provider="apns"),
        '[2,"rang",1784887200123000,{"r":1784887200123000,"d":"abababababababababab","p":"apns"}]',
    ),
    (
        EmailMilestone(at=T, round=T, user="jane", outcome="mail_refused", status=550, reason="5.1.1 unknown", ms=12.5),
        '[2,"mailed",1784887200123000,{"r":1784887200123000,"u":"jane","o":"mail_refused","s":550,'
        '"y":"5.1.1 unknown","m":12.5}]',
    ),
]
"""Lines as version 2 has written them since the beginning: old trails stay readable, older versions read new ones."""


@pytest.mark.parametrize(("kept", "text"), WRITTEN)
def test_a_line_keeps_the_form_in_which_it_is_stored(kept, text):
    assert encode(kept) == text
    assert decode(text) == decode(text.encode()) == kept


FIRST_VERSION = [
    (
        '{"what":"received","at":1784887200132000,"type":"call.ring","stamp":1784887200123000,"attempt":1,'
        '"users":["jane"],"callers":["sara"]}',
        WebhookReceived(at=T + 9_000, type="call.ring", stamp=T, attempt=1, users=("jane",), callers=("sara",)),
    ),
    (
        '{"what":"attempted","at":1784887200123000,"kind":"ring","user":"jane","device":"abababababababababab",'
        '"label":"Jane\'s iPhone","outcome":"accepted","status":200,"ms":41,"provider":"apns"}',
        PushAttempted(at=T, **PUSH | {"round": 0}, outcome="accepted", status=200, ms=41, provider="apns"),
    ),
    (
        '{"what":"settled","at":1,"user":"jane","outcome":"busy"}',
        UserSettled(at=1, round=0, user="jane", outcome="busy"),
    ),
]


@pytest.mark.parametrize(("text", "kept"), FIRST_VERSION)
def test_lines_of_the_first_version_still_read(text, kept):
    assert decode(text) == kept


@given(milestones())
def test_a_line_reads_back_as_it_was_written(kept):
    read = decode(encode(kept))
    assert (read.what, read.at) == (kept.what, kept.at)
    written = {LONG[letter] for letter in kept.letters}
    assert all(getattr(read, name) == getattr(kept, name) for name in written if getattr(kept, name) != "")
    assert encode(read) == encode(kept)


@given(milestones())
def test_a_line_with_nulls_reads_like_the_one_without(kept):
    """msgspec refuses a null, so such a line is read field by field. Both ways to read must agree."""
    version, what, at, facts = json.loads(encode(kept))
    nulls = dict.fromkeys(set(kept.letters) - set(facts))
    assert decode(json.dumps([version, what, at, facts | nulls])) == decode(encode(kept))


@pytest.mark.parametrize("kind", MILESTONES)
def test_a_milestone_writes_only_fields_that_it_has(kind):
    assert {LONG[letter] for letter in kind.letters} <= {field.name for field in fields(kind)}
    required = {field.name for field in fields(kind) if field.default is NODEFAULT} - {"at"}
    assert required <= {LONG[letter] for letter in kind.letters}


def test_empty_facts_are_left_out():
    empty = WebhookReceived(at=NOW, type="call.ended", reason="", attempt=None, users=())
    assert encode(empty) == f'[2,"received",{NOW},{{"t":"call.ended"}}]'


def test_a_line_is_shorter_than_with_whole_names():
    kept, _ = WRITTEN[7]
    assert len(encode(kept)) < 0.8 * len(json.dumps({"what": kept.what} | asdict(kept), separators=(",", ":")))


def test_every_fact_has_a_letter_of_its_own():
    assert len(set(SHORT.values())) == len(SHORT)
    assert all(len(letter) == 1 for letter in SHORT.values())


def test_a_fact_that_a_later_writer_adds_is_ignored():
    assert decode('[2,"settled",7,{"u":"jane","o":"busy","r":5,"hue":"red"}]') == UserSettled(
        at=7, round=5, user="jane", outcome="busy"
    )


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (
            '[3,"teleported",7,{"u":"jane","r":5,"hue":"red"},"more"]',
            {"word": "teleported", "user": "jane", "round": 5},
        ),
        ('[3,"settled",7,{"u":"jane","o":["busy"]}]', {"word": "settled", "user": "jane"}),
        ('[2,"beamed",7,{"u":"jane"}]', {"word": "beamed", "user": "jane"}),
        ('{"what":"beamed","at":7,"user":"jane"}', {"word": "beamed", "user": "jane"}),
        ('[2,"settled",7,{"u":"jane","o":3}]', {"word": "settled", "user": "jane"}),
        ('[2,"received",7,{"n":["jane",3]}]', {"word": "received"}),
        ('[2,"attempted",7,{"m":true}]', {"word": "attempted"}),
        ('[2,"attempted",7,{"m":NaN}]', {"word": "attempted"}),
        ('[2,"attempted",7,{"r":1e400}]', {"word": "attempted"}),
        ('[2,"settled",7,{"u":4}]', {"word": "settled"}),
    ],
)
def test_a_line_that_this_version_cannot_read_is_unknown(text, known):
    assert decode(text) == UnknownMilestone(at=7, **known)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "7", "null", '"text"', "[2,3,4,{}]", '[2,"settled","7",{}]', '[2,"settled",7,[]]', b"\xff"],
)
def test_an_unreadable_line_is_unknown(text):
    assert decode(text) == UnknownMilestone(at=0)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists) | st.text() | st.binary())
def test_no_line_is_too_strange_to_read(value):
    decode(value if isinstance(value, (str, bytes)) else json.dumps(value))


def test_too_many_users_are_cut_and_counted():
    users = tuple(f"user-{number}-{'x' * 30}" for number in range(1_000))
    text = encode(WebhookReceived(at=NOW, type="call.ring", users=users))
    found = decode(text)
    assert len(text.encode()) <= LINE_BYTES
    assert found.users == users[: len(found.users)]
    assert len(found.users) + found.more == 1_000


def test_a_hundred_users_with_uuids_fit():
    users = tuple(f"{number:08}-0000-4000-8000-000000000000" for number in range(100))
    assert decode(encode(WebhookReceived(at=NOW, type="call.ring", users=users))).users == users


def test_names_are_few_and_short():
    read = decode(encode(WebhookReceived(at=NOW, type="call.ring", names=("\x01" * 300,) * 1_000)))
    assert read.names == ("\x01" * trail.NAME,) * trail.NAMES


LONG_TEXTS = st.text(max_size=255)


@given(
    milestones(**dict.fromkeys(SHORT.keys() - LISTS_OF_TEXTS - NUMBERS, LONG_TEXTS)),
    st.text(),
)
def test_a_line_is_bounded_with_any_facts(kept, reason):
    if hasattr(kept, "reason"):
        kept = replace(kept, reason=reason * 100)
    text = encode(kept)
    assert len(text.encode("utf-8", "replace")) <= LINE_BYTES
    assert decode(text).what == kept.what


@pytest.fixture
def intake(redis_url):
    from redis import Redis  # noqa: PLC0415

    with Redis.from_url(redis_url) as client:
        script = partial(run_script, client)

        def take(event, webhook_id="one", attempt=1, **options):
            found = parse(json.dumps(event).encode())
            work = effects(found, NOW, EffectRules("default", 30, 5))
            return apply(script, "default", webhook_id, found, work, NOW, attempt=attempt, **options)

        yield take


async def test_a_ring_is_one_line_that_names_its_round_people_and_end(store, intake):
    call = SampleCall("sara", ("ben", "jane"), ring_ms=20_000)
    stamp = NOW // 1_000_000 - 1
    intake(call.ring(at=stamp), trail_ttl_s=DAYS_S)
    [found] = await trail_of(store, call.cid)
    start = stamp * 1_000_000
    assert found == WebhookReceived(
        at=NOW,
        type="call.ring",
        stamp=start,
        attempt=1,
        users=("ben", "jane"),
        session=call.session_id[:8],
        round=start,
        callers=("sara",),
        until=start + 20_000_000,
        names=("Sara", "Ben", "Jane"),
    )
    assert DAYS_S - 60 < await store.call("TTL", trail_key("default", call.cid)) <= DAYS_S


async def test_a_repeated_webhook_is_recorded_as_repeated(store, intake):
    call = SampleCall()
    ring = call.ring(at=NOW // 1_000_000)
    assert [intake(ring, attempt=n) for n in (1, 2)] == [Verdict.TAKEN, Verdict.ALREADY]
    found = await trail_of(store, call.cid)
    assert [(event.what, event.attempt) for event in found] == [("received", 1), ("repeated", 2)]


async def test_repeats_are_one_line_with_a_counter(store, intake):
    call = SampleCall()
    ring = call.ring(at=NOW // 1_000_000)
    intake(ring)
    for attempt in range(2, 52):
        intake(ring, attempt=attempt)
        if attempt == 20:
            intake(call.accepted("jane"), "two")
            intake(call.accepted("jane"), "two")
    found = await trail_of(store, call.cid)
    shown = [(event.what, event.type, event.attempt, getattr(event, "times", None)) for event in found]
    assert shown == [
        ("received", "call.ring", 1, None),
        ("repeated", "call.ring", 2, 50),
        ("received", "call.accepted", 1, None),
        ("repeated", "call.accepted", 1, None),
    ]


async def test_a_repeat_is_counted_again_after_its_line_left(store, intake):
    call = SampleCall()
    ring = call.ring(at=NOW // 1_000_000)
    for _ in range(3):
        intake(ring)
    await store.call("RPOP", trail_key("default", call.cid))
    intake(ring)
    assert [getattr(event, "times", None) for event in await trail_of(store, call.cid)] == [None, 3]


async def test_webhooks_leave_a_long_trail_after_what_they_explain(store, intake):
    call = SampleCall("sara", ("ben",))
    intake(call.ring(at=NOW // 1_000_000 - 1))
    intake(call.accepted("jane"), "two")
    key = trail_key("default", call.cid)
    for turn in range(4):
        lines = [line(PushSkipped, NOW + 100 * turn + number) for number in range(25)]
        await store.script(
            "calls/record_attempt", ["bellhop:round:x", key], ["ring", "w", "1", 30, trail.DAY_S, 0, *lines]
        )
    found = await trail_of(store, call.cid)
    assert [getattr(event, "type", event.what) for event in found[:3]] == ["call.ring", "call.accepted", "skipped"]
    assert len(found) == 30
    assert [event.at for event in found[2:]] == sorted(event.at for event in found[2:])
    assert found[-1].at == NOW + 324, "the latest lines stay"


async def test_a_trail_of_many_rings_has_an_end_too(store, intake):
    call = SampleCall("sara", ("ben",))
    for number in range(60):
        intake(call.ring(at=NOW // 1_000_000 - 100 + number), str(number))
    key = trail_key("default", call.cid)
    await store.script(
        "calls/record_attempt", ["bellhop:round:x", key], ["ring", "w", "1", 20, trail.DAY_S, 0, line(PushSkipped, NOW)]
    )
    found = await trail_of(store, call.cid)
    assert len(found) == 20
    assert [event.what for event in found].count("received") >= 19


async def test_an_event_that_is_not_a_ring_claims_no_round(store, intake):
    call = SampleCall()
    for number, event in enumerate((call.accepted("jane"), call.rejected("ben", "busy"), call.ended())):
        intake(event, str(number))
    found = await trail_of(store, call.cid)
    assert [event.round for event in found] == [None] * 3
    assert found[1].reason == "busy"


async def test_a_rejections_own_words_stay_off_the_trail(store, intake):
    call = SampleCall()
    intake(call.rejected("ben", "call me at ben@example.com"))
    assert "example" not in str(await trail_of(store, call.cid))


async def test_what_a_worker_adds_does_not_lengthen_the_trails_life(store):
    key = trail_key("default", "default:1")
    await store.call("RPUSH", key, encode(WebhookReceived(at=NOW, type="call.ring")))
    await store.call("EXPIRE", key, 1_000)
    await store.script(
        "calls/record_attempt", ["bellhop:round:x", key], ["ring", "w", "1", 10, trail.DAY_S, 0, "a line"]
    )
    assert 0 < await store.call("TTL", key) <= 1_000


async def test_a_trail_that_only_a_worker_writes_expires_too(store):
    key = trail_key("default", "default:1")
    await store.script(
        "calls/record_attempt", ["bellhop:round:x", key], ["ring", "w", "1", 10, trail.DAY_S, 0, "a line"]
    )
    assert 0 < await store.call("TTL", key) <= trail.DAY_S


async def test_the_oldest_lines_of_a_long_trail_leave(store):
    key = trail_key("default", "default:1")
    lines = [line(PushSkipped, NOW + number) for number in range(30)]
    await store.script("calls/record_attempt", ["bellhop:round:x", key], ["ring", "w", "1", 20, trail.DAY_S, 0, *lines])
    assert [skipped.at - NOW for skipped in await trail_of(store, "default:1")] == list(range(10, 30))


async def test_rings_turned_away_push_no_other_ring_out(store):
    key = trail_key("default", "default:1")
    rang = line(WebhookReceived, NOW, type="call.ring", round=NOW)
    refused = [
        line(WebhookReceived, NOW + number, type="call.ring", round=NOW + number, outcome="call_limit")
        for number in range(1, 30)
    ]
    args = ["ring", "w", "1", 20, trail.DAY_S, 0, rang, *refused]
    await store.script("calls/record_attempt", ["bellhop:round:x", key], args)
    left = await trail_of(store, "default:1")
    assert (left[0].at, left[0].outcome, len(left)) == (NOW, "", 20)


PHONE = an_iphone("jane", registered_at=NOW)


async def test_what_happens_to_a_dead_token_is_recorded(store):
    device, pruner = PHONE, TokenPruner(store)
    assert await pruner.update_registry("default", device, a_dead_token(device, NOW + 1)) is TokenFate.CHANGED
    await run_steps(registry.register("default", device), store)
    assert await pruner.update_registry("default", device, a_dead_token(device, NOW - 1)) is TokenFate.NEWER
    assert await pruner.update_registry("default", device, a_dead_token(device, NOW + 1)) is TokenFate.REMOVED
    await store.call("SET", brake_key(device.provider, device.app), 1)
    assert await pruner.update_registry("default", device, a_dead_token(device, NOW + 1)) is TokenFate.BRAKED


async def test_a_token_that_moves_to_the_other_environment_is_recorded(store):
    device = PHONE
    await run_steps(registry.register("default", device), store)
    moved = a_delivery(device.model_copy(update={"environment": Environment.SANDBOX}), Outcome.ACCEPTED)
    fate = await TokenPruner(store).update_registry("default", device, moved)
    assert fate is TokenFate.MOVED


async def test_a_pick_up_is_written_with_the_first_line_that_follows():
    calls = []

    class Counting:
        def server_of_key(self, key): ...

        async def script(self, name, keys, args):
            calls.append(args)

    fence = Fence(Counting(), "w", PushKind.RING, a_round(), "picked up")
    await fence.note([])
    assert not calls, "no round trip for it alone"
    await fence.note(["skipped"])
    await fence.write(Record("attempted", PHONE.key, sent=True))
    assert [args[6:] for args in calls] == [["picked up", "skipped"], [PHONE.key, "sent", "attempted"]]


async def test_waiting_for_a_provider_is_recorded_once():
    lines = []

    class Open:
        async def admit(self, push, attempt_s):
            return Admission(None, time.monotonic(), seconds(push.deadline) - time.time())

        async def write(self, record):
            lines.extend([record.line] if record.line else [])

    device = PHONE
    channel = ProviderChannel(None, "apns")
    push = a_push(device, left_s=1.5)

    async def barely(_):
        return AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=0.01)

    channel.prepare = lambda push, within_s: barely(push)
    channel.attempt = lambda push, timeout_s, start_s: barely(push)
    lines.append((await deliver(push, {(device.provider, device.app): channel}, Open())).record.line)
    told = [(push.what, push.outcome) for push in trail.read_trail(lines)]
    assert told == [("waited", "circuit_open"), ("finished", "gave_up")]


def test_half_a_character_in_a_providers_reason_is_accepted():
    text = line(EmailMilestone, 1, outcome="mail_accepted", reason="250 f\udcfcr die Zustellung", id="\ud83d")
    assert decode(text.encode()).outcome == "mail_accepted"
