"""What one user can do to the pushes of other users, by the endpoints that the user registers."""

from types import SimpleNamespace

import pytest

from bellhop.domain.outcomes import AttemptResult, Outcome
from tests.factories import a_browser, a_push
from worker.delivery import provider_channel
from worker.delivery.circuit_breaker import FAILURES_TO_OPEN, FIRST_PROBE_S, REFUSALS_TO_OPEN
from worker.delivery.service_channels import MOST_HOSTS, ServiceChannels

SAFARI = "https://web.push.apple.com/1"
NO_HOST = AttemptResult(Outcome.UNSENT, reason="CONNECT")


class OneUserFails:
    """A sender that accepts the pushes to Ben, and gives this result to those of another user."""

    def __init__(self, result=NO_HOST):
        self._result = result

    async def send(self, push, timeout_s, start_s):
        return AttemptResult(Outcome.ACCEPTED, 201) if push.device.user_id == "ben" else self._result


async def result_of(channels, user, endpoint):
    push = a_push(a_browser(user, token=endpoint))
    return await channels.of(push.device).attempt(push, 5, 5)


async def attempt(channels, user, endpoint):
    return (await result_of(channels, user, endpoint)).outcome


async def test_a_host_that_does_not_exist_stops_no_other_host():
    """`*.push.apple.com` and `*.notify.windows.com` have many hosts, and a user's app chooses one."""
    channels = ServiceChannels(OneUserFails(), "webpush web", 128)
    for _ in range(FAILURES_TO_OPEN):
        assert await attempt(channels, "mallory", "https://none.push.apple.com/1") is Outcome.UNSENT
    assert await attempt(channels, "mallory", "https://none.push.apple.com/2") is Outcome.CIRCUIT_OPEN
    assert await attempt(channels, "ben", SAFARI) is Outcome.ACCEPTED


def test_the_hosts_that_apps_choose_use_little_memory():
    channels = ServiceChannels(OneUserFails(), "webpush web", 128)
    used = channels.of(a_browser("ben", token=SAFARI))
    for number in range(2 * MOST_HOSTS):
        channels.of(a_browser("mallory", token=f"https://{number}.push.apple.com/1"))
        assert channels.of(a_browser("ben", token=SAFARI)) is used
    assert len(channels._channels) == MOST_HOSTS


async def test_refusals_of_one_users_endpoints_delay_others_little(monkeypatch):
    """Google's host has addresses that answer 401 whatever the key, and any user can register them."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(provider_channel, "time", SimpleNamespace(monotonic=lambda: now.s))
    channels = ServiceChannels(OneUserFails(AttemptResult(Outcome.CREDENTIALS_REFUSED, 401)), "webpush web", 128)
    waited_s = 0.0
    for number in range(REFUSALS_TO_OPEN + 20):  # after the first, every second one waits
        now.s += waited_s
        waited_s = (await result_of(channels, "mallory", f"https://fcm.googleapis.com/v1/{number}")).retry_after_s or 0
    assert waited_s == 0
    now.s += FIRST_PROBE_S
    assert await attempt(channels, "ben", "https://fcm.googleapis.com/fcm/send/1") is Outcome.ACCEPTED
    assert not channels.blocked


async def test_one_users_foreign_browsers_say_nothing_about_our_key():
    channels = ServiceChannels(OneUserFails(AttemptResult(Outcome.WRONG_APP, 403, "KEY_MISMATCH")), "webpush web", 128)
    assert await attempt(channels, "ben", f"{SAFARI}/1") is Outcome.ACCEPTED
    for number in range(20):
        assert await attempt(channels, "mallory", f"{SAFARI}/{number}") is Outcome.WRONG_APP
    assert channels.trouble is None


@pytest.mark.parametrize(("outcome", "status"), [(Outcome.UNSENT, 0), (Outcome.CREDENTIALS_REFUSED, 403)])
async def test_a_host_that_never_served_us_is_no_trouble_of_the_app(outcome, status):
    """Its only user may have invented it, or be the only one there. An alarm would never end."""
    sender = OneUserFails(AttemptResult(outcome, status, "why"))
    channels = ServiceChannels(sender, "webpush web", 128)
    for _ in range(FAILURES_TO_OPEN):
        await attempt(channels, "mallory", "https://none.push.apple.com/1")
    assert channels.blocked, "as far as is known, no host serves us"
    assert channels.trouble.outcome is outcome
    await attempt(channels, "ben", SAFARI)
    assert (channels.blocked, channels.refused, channels.trouble) == (False, "", None)
    for _ in range(FAILURES_TO_OPEN):
        await attempt(channels, "mallory", SAFARI)
    assert channels.blocked, "a host that served us does not any more"
    assert channels.trouble.outcome is outcome
