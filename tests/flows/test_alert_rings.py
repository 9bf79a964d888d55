"""What Apple gets for phones that ring by alerts: one alert after the other, and one text at the end."""

import secrets
import time

import pytest

from bellhop.domain.device import Kind, Provider, RingsBy
from bellhop.sandbox.installation import BUNDLE
from tests.flows.conftest import Flow, Phone

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED, OVER = "call.ring", "call.missed", "call.ring_over"
EARLIEST_S = 1.7
"""The setting is 2 s. How late an alert may be is measured, not tested: docs/alert-rings.md. So each alert is compared
with the start of the ring, not with the alert before it, which may be late."""


async def that_rings_by_alerts(flow: Flow, name: str) -> Phone:
    """An iPhone that also has a VoIP token. No push may go to that token."""
    user, voip, alert = f"{name}-{flow.suffix}", secrets.token_hex(32), secrets.token_hex(32)
    register, phone = flow.installation.register, f"{name}'s phone"
    await register(user, Provider.APNS, Kind.VOIP, voip, hardware_id=phone)
    await register(user, Provider.APNS, Kind.ALERT, alert, hardware_id=phone, rings=RingsBy.ALERT)
    return Phone(user, (voip, alert))


async def test_alerts_ring_in_a_rhythm_and_end_in_one_text(flow):
    ben, jane = await that_rings_by_alerts(flow, "ben"), await that_rings_by_alerts(flow, "jane")
    call, began = flow.call(ben, jane), time.time()
    await flow.post(call.ring())
    await flow.rings(ben, jane, times=2)
    await flow.post(call.accepted(ben.user))
    await flow.rings(jane, times=3)
    await flow.post(call.rejected(call.caller, "cancel"))
    await flow.outcomes(call)
    assert flow.seen(ben)[-1] == OVER
    assert flow.seen(jane)[-1] == MISSED
    for phone in (ben, jane):
        assert set(flow.seen(phone)[:-1]) == {RING}
        pushes = [push for push in flow.installation.apple.received if push.token in phone.tokens]
        *alerts, last = pushes
        assert {push.token for push in pushes} == {phone.tokens[1]}
        assert {push.headers["apns-push-type"] for push in pushes} == {"alert"}
        assert {push.headers["apns-topic"] for push in pushes} == {BUNDLE}
        assert len({push.headers["apns-collapse-id"] for push in pushes}) == 1
        assert len({push.headers["apns-id"] for push in pushes}) == len(pushes)
        assert len({push.headers["apns-expiration"] for push in alerts}) == 1
        assert {push.payload["aps"]["interruption-level"] for push in alerts} == {"time-sensitive"}
        assert all(alert.at - began > number * EARLIEST_S for number, alert in enumerate(alerts))
        assert ("sound" in last.payload["aps"]) is (phone is jane)


async def test_an_answer_elsewhere_replaces_the_alert_at_once(flow):
    """The ring would go on for longer than this test waits. No other event of the call comes."""
    ben = await that_rings_by_alerts(flow, "ben")
    call = flow.call(ben, ring_ms=180_000)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.accepted(ben.user))
    await flow.until(lambda: flow.seen(ben)[-1] == OVER, "the text that replaces the alert")
