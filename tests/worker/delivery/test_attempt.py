"""One push until its end: when it is repeated, when it is given up, and what is remembered. No network, no Redis."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from bellhop import trail
from bellhop.clock import seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.queue.names import NOTICE_JOB, RETRIED_AFTER_S
from tests.factories import a_push, an_iphone
from worker.delivery.attempt import Delivered, deliver
from worker.delivery.fence import Admission, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.retry_policy import RetryPolicy

POLICY = RetryPolicy(
    pauses_s=dict.fromkeys(RetryPolicy().pauses_s, (0.001, 0.01)), claimed_pause_s=0.001, admission_s=20.0
)
"""On a busy machine, an admission may be old when the push is sent."""

PRODUCTION = an_iphone()


class Script:
    """A sender that gives these answers, and a fence that gives these words, one after the other; then the last."""

    def __init__(self, *answers: Outcome | AttemptResult, words: Iterable[Outcome | None] = (None,)) -> None:
        self.answers = [AttemptResult(one) if isinstance(one, Outcome) else one for one in answers]
        self.words = list(words)
        self.sent_to: list[Environment] = []
        self.records: list[bool] = []
        self.lines: list[str] = []
        self.asked = 0

    async def send(self, push: Push, timeout_s: float, start_s: float) -> AttemptResult:
        assert 0 < start_s <= POLICY.admission_s
        assert 0 < timeout_s <= POLICY.attempt_s[push.device.provider]
        self.sent_to.append(push.device.environment)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None: ...

    async def prepare(self, environment, within_s) -> None: ...

    async def admit(self, push: Push, attempt_s: float) -> Admission:
        self.asked += 1
        word = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        return Admission(word, time.monotonic(), seconds(push.deadline) - time.time())

    async def write(self, record: Record) -> None:
        self.records += [record.sent] if record.device else []
        self.lines += [record.line] if record.line else []

    def trail(self) -> list[tuple[str, str]]:
        found = trail.read_trail(self.lines)
        return [(line.what, line.outcome) for line in found]


async def run(script: Script, one: Push | None = None, policy: RetryPolicy = POLICY) -> Delivered:
    channels = {(Provider.APNS, "calls"): ProviderChannel(script, "apns calls")}
    result = await asyncio.wait_for(deliver(one or a_push(PRODUCTION), channels, script, policy), 20)
    await script.write(result.record)
    return result


async def test_an_accepted_push_is_sent_once_and_for_good():
    script = Script(Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    assert (script.asked, script.records, script.trail()) == (1, [True], [("attempted", "accepted")])


@pytest.mark.parametrize("trouble", [Outcome.UNSENT, Outcome.UNAVAILABLE, Outcome.THROTTLED])
async def test_a_push_is_repeated_with_a_claim_before_each_attempt(trouble):
    script = Script(trouble, trouble, Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    assert (script.asked, script.records) == (3, [False, False, True])


TOO_LARGE_HERE = AttemptResult(Outcome.TOO_LARGE, reason="6000 bytes")


@pytest.mark.parametrize("final", [Outcome.TOKEN_DEAD, Outcome.WRONG_APP, TOO_LARGE_HERE])
async def test_a_refusal_for_good_ends_it(final):
    script = Script(final)
    assert (await run(script)).outcome is script.answers[0].outcome
    assert script.records == [False], "nothing was sent"


@pytest.mark.parametrize("outcome", [Outcome.TOO_LARGE, Outcome.BAD_REQUEST])
async def test_a_refused_push_is_given_up_the_third_time(outcome):
    refused = AttemptResult(outcome, 404, "BadPath")
    script = Script(refused, refused, Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    always = Script(refused)
    assert (await run(always)).outcome is outcome
    assert always.records == [False] * POLICY.most_confirmed


async def test_credentials_refused_for_a_moment_cost_no_ring():
    refused = AttemptResult(Outcome.CREDENTIALS_REFUSED, 403, "InvalidProviderToken")
    script = Script(refused, refused, Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    assert (script.asked, script.records) == (3, [False, False, True])


@pytest.mark.parametrize("word", ["credentials_refused", "circuit_open"])
async def test_a_key_of_one_environment_says_nothing_of_a_token(word):
    """Our credentials are right. The token is of no use, as the first answer says."""
    there = AttemptResult(Outcome(word), reason="BadEnvironmentKeyIdInToken", retry_after_s=30.0)
    script = Script(Outcome.BAD_TOKEN, there)
    assert (await run(script)).outcome is Outcome.BAD_TOKEN
    assert script.sent_to == [Environment.PRODUCTION, Environment.SANDBOX]
    assert script.trail()[-1] == ("finished", "bad_token")


async def test_a_circuit_that_failures_opened_is_waited_for():
    away = AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=0.001)
    assert (await run(Script(Outcome.BAD_TOKEN, away, Outcome.ACCEPTED))).outcome is Outcome.ACCEPTED


async def test_what_ends_between_two_attempts_is_obeyed():
    script = Script(Outcome.UNAVAILABLE, words=[None, Outcome.CANCELLED])
    assert (await run(script)).outcome is Outcome.CANCELLED
    assert script.trail() == [("attempted", "unavailable"), ("finished", "cancelled")]


async def test_a_push_without_an_answer_is_repeated_only_a_few_times():
    script = Script(Outcome.UNKNOWN)
    assert (await run(script)).outcome is Outcome.GAVE_UP
    assert script.records == [False] * POLICY.most_unknown


async def test_a_push_is_given_up_if_its_next_attempt_is_too_late():
    script = Script(AttemptResult(Outcome.THROTTLED, retry_after_s=60))
    result = await run(script)
    assert (result.outcome, result.last.outcome) == (Outcome.GAVE_UP, Outcome.THROTTLED)
    assert script.trail() == [("attempted", "throttled"), ("finished", "gave_up")]


async def test_the_trail_says_which_pause_is_too_long():
    script = Script(AttemptResult(Outcome.THROTTLED, retry_after_s=60))
    await run(script)
    assert trail.read_trail(script.lines)[-1].reason == "next attempt 60 s later, the ring ends sooner"


@pytest.mark.parametrize("kind", [PushKind.MISSED, PushKind.NOTIFICATION])
async def test_a_throttled_notice_is_tried_at_most_eight_times(kind):
    """The job of a missed-call notice runs again after it failed; the job of a notification does not."""
    runs = 1 + len(RETRIED_AFTER_S[NOTICE_JOB]) if kind is PushKind.MISSED else 1
    scripts = [Script(AttemptResult(Outcome.THROTTLED, 429)) for _ in range(runs)]
    for script in scripts:
        assert (await run(script, a_push(PRODUCTION, kind, left_s=3600))).outcome is Outcome.GAVE_UP
    assert sum(script.asked for script in scripts) == 8


async def test_time_that_runs_out_between_two_attempts_is_given_up_too():
    script = Script(Outcome.UNAVAILABLE, words=[None, Outcome.TOO_LATE])
    assert (await run(script)).outcome is Outcome.GAVE_UP
    assert (await run(Script(Outcome.ACCEPTED, words=[Outcome.TOO_LATE]))).outcome is Outcome.TOO_LATE


async def test_a_token_of_apples_other_environment_is_tried_there_once():
    script = Script(Outcome.BAD_TOKEN, Outcome.ACCEPTED)
    result = await run(script)
    assert script.sent_to == [Environment.PRODUCTION, Environment.SANDBOX]
    assert result.push.device.environment is Environment.SANDBOX
    unknown = Script(Outcome.BAD_TOKEN)
    assert (await run(unknown)).outcome is Outcome.BAD_TOKEN
    assert len(unknown.sent_to) == 2


async def test_waiting_for_an_open_circuit_lengthens_no_pause():
    policy = RetryPolicy(pauses_s=dict.fromkeys(POLICY.pauses_s, (0.001, 60.0)))
    waits = [AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=0.001)] * 30
    assert (await run(Script(*waits, Outcome.ACCEPTED), policy=policy)).outcome is Outcome.ACCEPTED


async def test_a_device_held_by_another_worker_is_waited_for():
    script = Script(Outcome.ACCEPTED, words=[Outcome.HELD, Outcome.HELD, None])
    assert (await run(script)).outcome is Outcome.ACCEPTED
    sent = Script(Outcome.ACCEPTED, words=[Outcome.HELD, Outcome.DUPLICATE])
    assert (await run(sent)).outcome is Outcome.DUPLICATE
    assert sent.sent_to == []


async def test_each_wait_for_an_attempt_begins_and_ends():
    waits = []

    def before_attempt(shortest_s):
        waits.append([shortest_s, None])
        return lambda wait=waits[-1]: wait.__setitem__(1, len(script.sent_to))

    words = [Outcome.HELD, Outcome.HELD, None, Outcome.HELD, None, Outcome.ANSWERED]
    script = Script(Outcome.UNAVAILABLE, words=words)
    channels = {(Provider.APNS, "calls"): ProviderChannel(script, "apns calls")}
    await deliver(a_push(PRODUCTION), channels, script, POLICY, before_attempt)
    assert [ended_after for _, ended_after in waits] == [0, 1, 2], (
        "before each attempt, and the last when it is refused"
    )
    assert waits[0][0] == 0 < waits[1][0]


async def test_an_app_without_credentials_is_named():
    script = Script(Outcome.ACCEPTED)
    result = await run(script, a_push(an_iphone(app="other")))
    assert result.outcome is Outcome.NO_CREDENTIALS
    assert script.trail() == [("finished", "no_credentials")]


async def test_an_attempt_that_is_cut_off_leaves_the_device_free():
    class Hanging(Script):
        async def send(self, push: Push, timeout_s: float, start_s: float) -> AttemptResult:
            self.sent_to.append(push.device.environment)
            await asyncio.Event().wait()
            raise AssertionError

    script = Hanging(Outcome.ACCEPTED)
    task = asyncio.create_task(run(script))
    while not script.sent_to:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (script.records, script.trail()) == ([False], [("attempted", "unknown")])


async def test_a_notice_is_given_up_long_before_its_deadline():
    policy = replace(POLICY, notice_window_s=0.02)
    script = Script(Outcome.UNAVAILABLE)
    assert (await run(script, a_push(PRODUCTION, PushKind.MISSED, left_s=24 * 3600), policy)).outcome is Outcome.GAVE_UP


@pytest.mark.parametrize("wait", ["retry_after_s", "documented_wait_s"])
async def test_a_notice_waits_as_long_as_google_asks_for(wait):
    script = Script(AttemptResult(Outcome.THROTTLED, 429, **{wait: 60}))
    with pytest.raises(TimeoutError):
        channels = {(Provider.APNS, "calls"): ProviderChannel(script, "apns calls")}
        notice = a_push(PRODUCTION, PushKind.MISSED, left_s=86_400)
        await asyncio.wait_for(deliver(notice, channels, script, POLICY), 0.3)
    assert script.asked == 1


@pytest.mark.parametrize("before", [Outcome.DELAYED, Outcome.UNAVAILABLE, Outcome.UNSENT, Outcome.UNKNOWN])
async def test_an_admission_does_not_grow_old(before):
    """After every wait the fence is asked again, and the push has as little time to reach the wire as at first."""
    assert RetryPolicy().admission_s == 0.25
    patience = []

    class Distant(Script):
        async def send(self, push: Push, timeout_s: float, start_s: float) -> AttemptResult:
            patience.append(start_s)
            return AttemptResult(before if len(patience) == 1 else Outcome.ACCEPTED)

    script = Distant(Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    assert script.asked == 2
    assert all(0 < start_s <= POLICY.admission_s for start_s in patience)
    word = "waited" if before is Outcome.DELAYED else "attempted"
    assert script.trail() == [(word, before), ("attempted", "accepted")]


async def test_a_redis_that_is_always_slow_costs_no_ring():
    class Slow(Script):
        async def admit(self, push: Push, attempt_s: float) -> Admission:
            admission = await super().admit(push, attempt_s)
            await asyncio.sleep(0.1)
            return admission

        async def send(self, push: Push, timeout_s: float, start_s: float) -> AttemptResult:
            return self.answers[0]

    script = Slow(Outcome.ACCEPTED)
    assert (await run(script, policy=replace(POLICY, admission_s=0.05))).outcome is Outcome.ACCEPTED
    assert script.asked == 2


async def test_the_slow_part_comes_before_the_claim():
    class Connecting(Script):
        connected = False

        async def prepare(self, environment: Environment, within_s: float) -> None:
            await asyncio.sleep(0.01)
            self.connected = True

        async def admit(self, push: Push, attempt_s: float) -> Admission:
            assert self.connected
            return await super().admit(push, attempt_s)

    script = Connecting(Outcome.ACCEPTED)
    assert (await run(script)).outcome is Outcome.ACCEPTED
    assert script.asked == 1
    assert script.trail() == [("attempted", "accepted")]
