"""A phone that has sent receipts before, and sends none for this ring, is rung once more, seen by Apple and Google."""

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import BUNDLE
from bellhop.store.keys import devices_key, user_key
from bellhop.store.phones import note_receipt
from tests.flows.conftest import Flow, Phone

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"


async def has_reported_before(flow: Flow, phone: Phone) -> None:
    keys = await flow.installation.store.call("HKEYS", devices_key("default", phone.user))
    for key in keys:
        command = note_receipt("default", phone.user, key.decode(), 5_000, round_started_at=1, event="rang")
        await flow.installation.store.script(*command)


async def one_iphone(flow: Flow) -> Phone:
    """A phone whose two tokens are known to be of one phone. Its user reads German."""
    phone = await flow.iphone("ben")
    for kind, token in zip((Kind.VOIP, Kind.ALERT), phone.tokens, strict=True):
        await flow.installation.register(phone.user, Provider.APNS, kind, token, hardware_id="ben's phone")
    await flow.installation.store.call("HSET", user_key("default", phone.user), "contact", '{"language": "de"}')
    return phone


async def test_only_phones_that_stay_silent_are_rung_again(flow):
    ben, jane, ana = await one_iphone(flow), await flow.android("jane"), await flow.android("ana")
    for phone in (ben, jane, ana):
        await has_reported_before(flow, phone)
    call = flow.call(ben, jane, ana)
    await flow.post(call.ring())
    await flow.rings(ben, jane, ana)
    await flow.reports(ana)
    await flow.rings(ben, jane, times=2)

    voip, alert = (one for one in flow.installation.apple.received if one.token in ben.tokens)
    assert (voip.token, alert.token) == ben.tokens
    assert alert.headers["apns-push-type"] == "alert"
    assert alert.headers["apns-topic"] == BUNDLE
    assert alert.headers["apns-expiration"] == voip.headers["apns-expiration"]
    assert alert.headers["apns-collapse-id"]
    aps = alert.payload["aps"]
    assert aps["interruption-level"] == "time-sensitive"
    assert aps["sound"] == "default"
    assert aps["alert"]["title"].endswith(" ruft dich an")
    assert alert.payload["stream"] == voip.payload["stream"]
    assert alert.payload["bellhop"]["receipt"] != voip.payload["bellhop"]["receipt"]

    first, second = (one.message for one in flow.installation.google.received if one.token in jane.tokens)
    assert second["android"] == first["android"] | {"ttl": second["android"]["ttl"]}
    assert second["data"] == first["data"] | {"sent_at": second["data"]["sent_at"]}

    await flow.post(call.rejected(call.caller, "cancel"))
    await flow.outcomes(call)
    assert flow.seen(ana).count(RING) == 1
    assert flow.seen(ben).count(RING) == flow.seen(jane).count(RING) == 2
    trail = await flow.trail(call)
    assert {line.user for line in trail if line.what == "second_ring"} == {ben.user, jane.user}
    notice = [one for one in flow.installation.apple.received if one.token in ben.tokens][-1]
    assert notice.payload["stream"]["type"] == MISSED
    assert notice.headers["apns-collapse-id"] == alert.headers["apns-collapse-id"], "the notice replaces the alert"


async def test_no_phone_is_rung_again_after_the_answer(flow):
    ben = await one_iphone(flow)
    await has_reported_before(flow, ben)
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.accepted(ben.user))
    await flow.idle()
    assert flow.seen(ben) == [RING]
