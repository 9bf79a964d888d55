"""The number on an app's icon: how many missed calls the user has not seen, in notices on iPhones."""

import pytest

from bellhop.clock import Micros
from bellhop.domain.device import Kind, Platform, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.own_pushes import NO_TEMPLATES, PushScope, PushTemplate, PushTemplates
from bellhop.domain.push import PushKind
from bellhop.domain.user import Preferences
from bellhop.store import registry
from bellhop.store.keys import missed_calls_key, user_key
from bellhop.store.missed_calls import note_missed
from bellhop.store.steps import run_steps
from tests.factories import a_device, a_queued_round, an_iphone
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner

pytestmark = pytest.mark.usefixtures("live_workers")

IPHONE, IPHONE_AT_GOOGLE, ANDROID = (
    an_iphone(kind=Kind.ALERT),
    a_device(platform=Platform.IOS),
    a_device(token="android"),
)
PHONES = {IPHONE.token: "iphone", IPHONE_AT_GOOGLE.token: "iphone at google", ANDROID.token: "android"}
BADGE_1 = PushTemplates({PushScope(PushKind.MISSED, Provider.APNS): PushTemplate(badge=1)})


class Provided:
    """A provider that accepts all pushes and keeps them."""

    def __init__(self):
        self.pushes = {}

    async def send(self, push, timeout_s=0, start_s=0):
        self.pushes[PHONES[push.device.token]] = push
        return AttemptResult(Outcome.ACCEPTED)

    async def prepare(self, environment, within_s): ...

    async def close(self): ...


@pytest.fixture
async def push_to(store):
    """Ben has missed two calls; return the pushes of this kind to his phones."""
    for number in range(2):
        await store.together(*note_missed("default", "ben", f"default:{number}", Micros(number + 1), 60))
    for phone in (IPHONE, IPHONE_AT_GOOGLE, ANDROID):
        await run_steps(registry.register("default", phone), store)

    async def push_to(kind, templates=NO_TEMPLATES, **tools):
        provided = Provided()
        channels = {(provider, "calls"): ProviderChannel(provided, provider) for provider in Provider}
        tools = DeliveryTools(store, "w-1", channels, TokenPruner(store), templates=templates, **tools)
        fan_out = FanOut(tools, kind, a_queued_round())
        await fan_out.run()
        for command in fan_out.last_records():
            await store.script(*command)
        return provided.pushes

    return push_to


async def test_notices_on_iphones_carry_the_number_if_it_is_on(push_to, store):
    assert "badge" not in (await push_to(PushKind.MISSED))["iphone"].payload["aps"]
    for kind in (PushKind.MISSED, PushKind.NOTIFICATION):
        pushes = await push_to(kind, badges=True)
        assert pushes["iphone"].payload["aps"]["badge"] == pushes["iphone at google"].aps["badge"] == 2
        assert "badge" not in pushes["android"].payload
    await store.call("DEL", missed_calls_key("default", "ben"))
    assert (await push_to(PushKind.NOTIFICATION, badges=True))["iphone"].payload["aps"]["badge"] == 0


async def test_a_number_in_the_teams_own_push_counts_first(push_to):
    pushes = await push_to(PushKind.MISSED, BADGE_1, badges=True)
    assert pushes["iphone"].payload["aps"]["badge"] == 1


async def test_a_call_by_somebody_blocked_is_not_counted(push_to, store):
    blocked = Preferences(never_from=("sara",))
    await store.call("HSET", user_key("default", "ben"), "preferences", blocked.model_dump_json())
    assert await push_to(PushKind.MISSED, badges=True, missed_kept_s=60) == {}
    assert await store.call("ZRANGE", missed_calls_key("default", "ben"), 0, -1) == [b"default:0"]


async def test_users_cost_no_command_more_if_it_is_off(push_to, redis_client):
    redis_client.config_resetstat()
    await push_to(PushKind.MISSED)
    assert "cmdstat_zcard" not in redis_client.info("commandstats")
    await push_to(PushKind.NOTIFICATION, badges=True)
    assert redis_client.info("commandstats")["cmdstat_zcard"]["calls"] == 1
