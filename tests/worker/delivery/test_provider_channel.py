"""What a channel lets through to its provider, and what it tells about it."""

import asyncio

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult, Outcome
from tests.factories import a_push, an_iphone
from worker.delivery.circuit_breaker import FIRST_PROBE_S, REFUSALS_TO_OPEN
from worker.delivery.provider_channel import ProviderChannel


def ring(environment=Environment.PRODUCTION):
    return a_push(an_iphone(environment=environment))


class Refusing:
    """Apple with a revoked key."""

    def __init__(self, reason="InvalidProviderToken"):
        self.attempts, self.reason = 0, reason

    async def send(self, push, timeout_s, start_s):
        self.attempts += 1
        await asyncio.sleep(0)
        return AttemptResult(Outcome.CREDENTIALS_REFUSED, 403, self.reason)


async def test_an_open_circuit_sends_nothing():
    sender = Refusing()
    channel = ProviderChannel(sender, "apns com.example")
    for _ in range(REFUSALS_TO_OPEN):
        assert (await channel.attempt(ring(), 1, 1)).outcome is Outcome.CREDENTIALS_REFUSED
    result = await channel.attempt(ring(), 1, 1)
    assert (result.outcome, result.reason) == (Outcome.CIRCUIT_OPEN, sender.reason)
    assert 0 < result.retry_after_s <= FIRST_PROBE_S
    assert sender.attempts == REFUSALS_TO_OPEN


async def test_who_waits_for_a_circuit_is_woken_when_it_closes():
    class Recovering(Refusing):
        async def send(self, push, timeout_s, start_s):
            refused = await super().send(push, timeout_s, start_s)
            return refused if self.attempts <= REFUSALS_TO_OPEN else AttemptResult(Outcome.ACCEPTED, 200)

    channel = ProviderChannel(Recovering(), "apns com.example")
    for _ in range(REFUSALS_TO_OPEN + 1):
        await channel.attempt(ring(), 1, 1)
    waiting = asyncio.create_task(channel.until_closed(ring(), 60))
    await asyncio.sleep(FIRST_PROBE_S)
    assert not waiting.done()
    assert (await channel.attempt(ring(), 1, 1)).outcome is Outcome.ACCEPTED
    await asyncio.wait_for(waiting, 5)
    assert not channel.blocked


async def test_the_third_refusal_is_told_until_one_is_accepted():
    channel = ProviderChannel(Refusing(), "apns com.example")
    for told in ("", "", "InvalidProviderToken"):
        await channel.attempt(ring(), 1, 1)
        assert (channel.refused, channel.blocked) == (told, bool(told))


async def test_a_key_for_the_other_environment_is_no_alarm():
    channel = ProviderChannel(Refusing("BadEnvironmentKeyIdInToken"), "apns com.example")
    for _ in range(REFUSALS_TO_OPEN):
        await channel.attempt(ring(Environment.SANDBOX), 1, 1)
    assert (channel.refused, channel.blocked) == ("", False)


class Restricted:
    """A key of Apple that is valid for production only."""

    async def send(self, push, timeout_s, start_s):
        refused = push.device.environment is Environment.SANDBOX
        return AttemptResult(Outcome.CREDENTIALS_REFUSED if refused else Outcome.ACCEPTED, 403 if refused else 200)

    async def close(self): ...

    async def prepare(self, environment, within_s): ...


async def test_each_environment_has_a_circuit_of_its_own():
    """Any user can register a phone of the sandbox, and a token that production does not know is tried there."""
    channel = ProviderChannel(Restricted(), "apns calls")
    environments = [Environment.SANDBOX] * REFUSALS_TO_OPEN + [Environment.PRODUCTION, Environment.SANDBOX]
    outcomes = [(await channel.attempt(ring(environment), 1, 1)).outcome for environment in environments]
    refused = [Outcome.CREDENTIALS_REFUSED] * REFUSALS_TO_OPEN
    assert outcomes == [*refused, Outcome.ACCEPTED, Outcome.CIRCUIT_OPEN]
    assert channel.blocked
