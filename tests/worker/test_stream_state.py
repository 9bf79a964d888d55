"""Stream is asked about a ring once, within the budget, and its answer becomes stamps of the call."""

import asyncio
import time

import aiohttp
import pytest
import pytest_asyncio
import redis

from bellhop.domain import derived_notice
from bellhop.domain.push import PushKind
from bellhop.ring_question import AskedRing, QuestionLimits, StreamQuestions
from bellhop.sandbox.stream_rest import StreamApiStandIn, hook
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.settings import StreamApp
from bellhop.store.keys import call_key, question_key
from bellhop.stream_api import StreamApi
from bellhop.trail import StreamAsked
from tests.trails import trail_of
from tests.worker import test_settle
from tests.worker.test_settle import GRACE_US, notices, now_s, settled
from worker.derived_notices import DerivedNotices
from worker.settle import settle_call
from worker.stream_state import StreamState
from worker.stream_subscriptions import StreamSubscriptions

KEY, SECRET = "key", "secret"
PATIENT = QuestionLimits(answer_s=10.0)
"""For a busy machine."""
KEEPING = QuestionLimits(answer_s=10.0, kept_ms=600_000)
LONG_US = 600_000_000
post = test_settle.post


@pytest_asyncio.fixture
async def stream():
    async with StreamApiStandIn(KEY, SECRET) as stream:
        yield stream


@pytest_asyncio.fixture
async def api(stream):
    async with aiohttp.ClientSession() as session:
        yield StreamApi(session, stream.url, KEY, SECRET)


@pytest.fixture
def questions(store, api):
    return StreamQuestions(store, {"default": api}, 100, limits=PATIENT)


async def asked(store, call):
    return [line for line in await trail_of(store, call.cid) if isinstance(line, StreamAsked)]


def a_call(stream, *members, **options):
    call = SampleCall(members=members or ("ben",), ring_ms=5_000, **options)
    stream.add_call(call)
    return call


@pytest.mark.parametrize("ring_state_for", [{"server", "user"}, {"user"}, set()])
async def test_a_lost_accept_makes_no_notice(store, post, redis_url, stream, questions, ring_state_for):
    stream.ring_state_for = ring_state_for
    call, began = a_call(stream, "ben", "jane"), now_s(redis_url) - 20
    post(call.ring(at=began))
    call.accepted("ben", at=began + 2)  # its webhook is lost
    await settle_call(store, "default", call.cid, GRACE_US, DerivedNotices(store, StreamState(questions)))
    assert sorted(word for _, _, word in await settled(store, call)) == ["answered", "no_answer"]
    assert [user for _, user in await notices(store)] == ["jane"]
    (line,) = await asked(store, call)
    assert (line.kind, line.outcome, len(line.learned)) == (PushKind.MISSED, "answered", 1)
    await settle_call(store, "default", call.cid, GRACE_US, DerivedNotices(store, StreamState(questions)))
    assert len(await asked(store, call)) == 1


@pytest.mark.parametrize(
    ("status", "pause_s", "outcome"),
    [(500, 0, "no_answer"), (200, 60, "no_answer"), (429, 0, "refused"), (403, 0, "refused"), (404, 0, "unknown_call")],
)
async def test_without_an_answer_the_webhooks_decide(
    store,
    post,
    redis_url,
    stream,
    api,
    status,
    pause_s,
    outcome,
):
    stream.question_status, stream.question_pause_s = status, pause_s
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 20))
    questions = StreamQuestions(store, {"default": api}, 100, limits=QuestionLimits() if pause_s else PATIENT)
    began = time.monotonic()
    await settle_call(store, "default", call.cid, GRACE_US, DerivedNotices(store, StreamState(questions)))
    assert time.monotonic() - began < 20
    assert [user for _, user in await notices(store)] == ["ben"]
    (line,) = await asked(store, call)
    assert (line.outcome, line.learned) == (outcome, ())


async def test_an_answer_whose_record_had_no_answer_is_told_once(store, post, redis_url, stream, api):
    class LosesAnAnswer:
        lost = False

        def __getattr__(self, name):
            return getattr(store, name)

        async def script(self, name, keys, args):
            answer = await store.script(name, keys, args)
            if name == "calls/take_event" and not self.lost:
                self.lost = True
                raise redis.ConnectionError("the connection was lost")
            return answer

    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 20))
    await StreamQuestions(LosesAnAnswer(), {"default": api}, 100, limits=PATIENT).ask(AskedRing("default", call.cid))
    assert len(await asked(store, call)) == 1


async def test_a_notice_that_stream_asks_for_does_not_wait(store, post, redis_url, stream, questions):
    stream.question_pause_s = 30
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 2))
    post(call.missed())
    await asyncio.wait_for(
        settle_call(store, "default", call.cid, GRACE_US, DerivedNotices(store, StreamState(questions))), 15
    )
    assert [user for _, user in await notices(store)] == ["ben"]
    assert stream.questions == []


async def test_one_question_per_call_at_a_time(store, post, redis_url, stream, api):
    stream.question_pause_s = 0.3
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 2))
    ring = AskedRing("default", call.cid, call.session_id, 1, call.caller)
    questions, others = (StreamQuestions(store, {"default": api}, 100, limits=KEEPING) for _ in range(2))
    results = await asyncio.gather(*(one.ask(ring) for one in (questions, others) * 3))
    assert sorted(result.outcome for result in results) == ["answered", *["shared"] * 5]
    assert len(stream.questions) == 1
    assert (await questions.ask(ring)).outcome == "shared", "the answer counts for a while"
    await store.call("DEL", question_key("default", call.cid))  # some time later
    assert (await questions.ask(ring)).outcome == "answered"


async def test_the_budget_is_never_exceeded(store, post, redis_url, stream, api):
    calls = [a_call(stream, "ben") for _ in range(30)]
    two = [StreamQuestions(store, {"default": api}, 3, limits=PATIENT) for _ in range(2)]
    began = time.monotonic()
    results = await asyncio.gather(
        *(two[number % 2].ask(AskedRing("default", call.cid, call.session_id)) for number, call in enumerate(calls))
    )
    allowed = 3 * (time.monotonic() - began + 1)
    assert 1 <= len(stream.questions) <= allowed
    assert {result.outcome for result in results} == {"answered", "over_budget"}


async def test_a_late_answer_is_no_answer(store, post, redis_url, stream, api):
    stream.question_pause_s = 0.5
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url)))
    call.accepted("ben")
    questions = StreamQuestions(store, {"default": api}, 100, limits=QuestionLimits(answer_s=0.2))
    assert (await questions.ask(AskedRing("default", call.cid, call.session_id))).outcome == "no_answer"
    assert await store.call("HGET", call_key("default", call.cid), "a:ben") is None


async def test_a_call_that_bellhop_does_not_know_stays_unknown(store, stream, api):
    call = a_call(stream, "ben")
    call.accepted("ben")
    questions = StreamQuestions(store, {"default": api}, 100, limits=KEEPING)
    result = await questions.ask(AskedRing("default", call.cid, call.session_id))
    assert result.milestone.learned
    assert await store.call("KEYS", f"*{call.cid}") == [f"bellhop:question:default:{call.cid}".encode()]


async def test_stream_that_refuses_is_not_asked_for_a_while(store, stream, questions):
    stream.question_status = 403
    for _ in range(3):
        call = a_call(stream, "ben")
        assert (await questions.ask(AskedRing("default", call.cid, call.session_id, 1, "sara"))).outcome == "refused"
    assert len(stream.questions) == 3, "each way once"


@pytest.mark.parametrize("ring_state_for", [{"server", "user"}, set()])
async def test_a_secret_that_is_rotated_is_replaced_by_the_next(store, stream, ring_state_for):
    stream.ring_state_for = ring_state_for
    call = a_call(stream, "ben")
    async with aiohttp.ClientSession() as session:
        api = StreamApi(session, stream.url, KEY, "new", "newer", SECRET)
        questions = StreamQuestions(store, {"default": api}, 100, limits=PATIENT)
        ring = AskedRing("default", call.cid, call.session_id, 1, call.caller)
        assert (await questions.ask(ring)).outcome == "answered"
        refused = len([question for question in stream.questions if question.status == 401])
        assert refused == 6, "each way once for each of the other secrets"
        assert (await api.devices("ben")).devices == []
        await asyncio.sleep(1.1)
        assert (await questions.ask(ring)).outcome == "answered"
        assert [question.status for question in stream.questions].count(401) == refused
        stream.secrets[KEY] = "of nobody"
        await asyncio.sleep(1.1)
        assert (await questions.ask(ring)).outcome == "refused"


async def test_each_request_with_another_secret_costs_budget(store, stream):
    call = a_call(stream, "ben")
    async with aiohttp.ClientSession() as session:
        app = StreamApi(session, stream.url, KEY, "new", SECRET)
        questions = StreamQuestions(store, {"default": app}, per_s=0.01, limits=PATIENT)
        ring = AskedRing("default", call.cid, call.session_id, 1, call.caller)
        for requests in (1, 2, 3):
            assert (await questions.ask(ring)).outcome == "over_budget"
            assert len(stream.questions) == requests
            await store.call("FLUSHDB")  # the budget allows one request again, and nobody has asked
        assert (await questions.ask(ring)).outcome == "answered", "it goes on where the last stopped"
        assert len(stream.questions) == 4


async def test_after_a_cancel_stream_may_ask_for_silence(store, post, redis_url, stream, questions, monkeypatch):
    monkeypatch.setattr(derived_notice, "MISSED_WAIT_US", 20_000_000)
    derived = DerivedNotices(store, StreamState(questions))
    for quiet in (False, True):  # the first call shows that this app sends call.missed
        call = a_call(stream, "ben")
        post(call.ring(at=now_s(redis_url) - 2))
        post(call.rejected(call.caller, "cancel"))
        began = time.monotonic()
        await settle_call(store, "default", call.cid, GRACE_US, derived)
        assert time.monotonic() - began < 10
        assert len(await notices(store)) == 1
        post(call.missed(notify_user=not quiet))
        await settle_call(store, "default", call.cid, GRACE_US, derived)
    assert [word for _, _, word in await settled(store, call)] == ["missed_quietly"]
    assert len(await notices(store)) == 1


async def test_an_answer_about_a_missed_call_asks_for_no_notice(store, post, redis_url, stream, questions, monkeypatch):
    """Stream answers that the user missed the call, a moment before its call.missed comes, which asks for silence."""
    monkeypatch.setattr(derived_notice, "MISSED_WAIT_US", 20_000_000)
    await store.call("SET", "bellhop:missed-seen:default", "")
    derived = DerivedNotices(store, StreamState(questions))
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 2))
    post(call.rejected(call.caller, "cancel"))
    missed = call.missed(notify_user=False)
    call.missed_by["ben"] = missed["created_at"]
    await settle_call(store, "default", call.cid, GRACE_US, derived)
    assert [line.outcome for line in await asked(store, call)] == ["answered"]
    post(missed)
    await settle_call(store, "default", call.cid, GRACE_US, derived)
    assert [word for _, _, word in await settled(store, call)] == ["missed_quietly"]
    assert await notices(store) == []


async def test_no_notice_waits_for_what_is_not_subscribed(store, post, redis_url, stream, questions, api, monkeypatch):
    monkeypatch.setattr(derived_notice, "MISSED_WAIT_US", 20_000_000)
    await store.call("SET", "bellhop:missed-seen:default", "")
    app = StreamApp(api_keys=[KEY], api_secrets=[SECRET])
    for events, waits in ((["call.ring"], False), (["call.ring", "call.missed"], True)):
        stream.app["event_hooks"] = [hook("https://calls.example/webhooks/stream", *events)]
        subscriptions = StreamSubscriptions({"default": api}, [app])
        reading = asyncio.create_task(subscriptions.keep_reading())
        while subscriptions.may_send("default", "call.missed") is not waits:
            await asyncio.sleep(0.01)
        call = a_call(stream, "ben")
        post(call.ring(at=now_s(redis_url) - 2))
        post(call.rejected(call.caller, "cancel"))
        derived = DerivedNotices(store, StreamState(questions, subscriptions))
        await settle_call(store, "default", call.cid, GRACE_US, derived)
        assert ([word for _, _, word in await settled(store, call)] == []) is waits
        reading.cancel()


async def test_after_a_cancel_the_notice_waits_two_seconds_at_most(
    store, post, redis_url, stream, questions, monkeypatch
):
    await store.call("SET", "bellhop:missed-seen:default", "")
    derived = DerivedNotices(store, StreamState(questions))
    call = a_call(stream, "ben")
    post(call.ring(at=now_s(redis_url) - 2))
    cancelled_s = now_s(redis_url)
    post(call.rejected(call.caller, "cancel", at=cancelled_s))
    with monkeypatch.context() as patch:
        patch.setattr(derived_notice, "MISSED_WAIT_US", LONG_US)
        await settle_call(store, "default", call.cid, GRACE_US, derived)
    assert await notices(store) == []
    due_s = float(await store.call("ZSCORE", "bellhop:agenda", f"default:{call.cid}")) / 1000
    assert due_s - cancelled_s == pytest.approx(LONG_US / 1e6, abs=0.01)
    assert derived_notice.MISSED_WAIT_US == 1_500_000
    await asyncio.sleep(max(0.0, cancelled_s + 1.51 - now_s(redis_url)))
    await settle_call(store, "default", call.cid, GRACE_US, derived)
    assert len(await notices(store)) == 1
    assert len(stream.questions) == 1
