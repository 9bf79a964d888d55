"""What one user can do to the pushes of other users, by the endpoints that the user registers."""

from bellhop.domain.outcomes import AttemptResult, Outcome
from tests.factories import a_browser, a_push
from worker.delivery.circuit_breaker import FAILURES_TO_OPEN
from worker.delivery.service_channels import MOST_HOSTS, ServiceChannels

SAFARI = "https://web.push.apple.com/1"


class OneUserFails:
    """A sender that accepts the pushes to Ben, and cannot send those to another user."""

    async def send(self, push, timeout_s, start_s):
        is_bens = push.device.user_id == "ben"
        return AttemptResult(Outcome.ACCEPTED, 201) if is_bens else AttemptResult(Outcome.UNSENT, reason="CONNECT")


async def attempt(channels, user, endpoint):
    push = a_push(a_browser(user, token=endpoint))
    return (await channels.of(push.device).attempt(push, 5, 5)).outcome


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
