"""Which phones get a second push, by which token, and when."""

import random

import pytest

from bellhop.domain.call import Standing
from bellhop.domain.device import Device, Kind, Platform, Provider
from bellhop.domain.second_way import FIND_DEVICE, NextStep, RungPhone, decide, device_of_second_push
from tests.factories import a_device, an_iphone

S = 1_000_000
ORDERS = 100_000
AFTER_US, DEADLINE = 4 * S, 30 * S
ENDS = {
    "answer": Standing.ANSWERED,
    "decline": Standing.DECLINED,
    "cancel": Standing.CANCELLED,
    "end": Standing.ENDED,
    "miss": Standing.MISSED,
}
VOIP = an_iphone(hardware_id="a")


def alert(number: int, **changes: object) -> Device:
    fields = {"kind": Kind.ALERT, "token": f"{number:02x}" * 32, "hardware_id": "a", "registered_at": number}
    return an_iphone(**fields | changes)


def test_in_any_order_only_a_silent_phone_is_rung_again_once():
    """Receipts, answers and ends come at any time, and several runs of the job look at any time."""
    chance = random.Random(22)
    rung_again = 0
    for _ in range(ORDERS):
        phone = RungPhone(VOIP, round(chance.random() * 6 * S))
        has_reported_before = chance.random() < 0.9
        events = [
            (round(chance.random() * 40 * S), what) for what in chance.sample(["report", *ENDS], chance.randrange(3))
        ]
        looks = [(round(chance.random() * 40 * S), "look") for _ in range(chance.randrange(1, 6))]
        happened: set[str] = set()
        sent: list[int] = []
        for at, what in sorted([*events, *looks]):
            if what != "look":
                happened.add(what)
                continue
            standing = next((ENDS[end] for end in ENDS if end in happened), Standing.RINGING)
            step = decide(
                phone,
                at,
                after_us=AFTER_US,
                deadline=DEADLINE,
                has_reported_before=has_reported_before,
                has_reported="report" in happened,
                standing=standing,
                is_sent=bool(sent),
            )
            due = phone.rung_at + AFTER_US <= at < DEADLINE
            assert (step is NextStep.RING) == (due and has_reported_before and not happened and not sent)
            assert step is not NextStep.WAIT or at < phone.rung_at + AFTER_US
            if step is NextStep.RING:
                sent.append(at)
        assert len(sent) <= 1
        rung_again += len(sent)
    assert rung_again > ORDERS // 10


@pytest.mark.parametrize(
    ("rung", "others", "by"),
    [
        (VOIP, [alert(1), alert(2)], alert(2)),
        (VOIP, [alert(1, hardware_id="b")], None),
        (VOIP, [alert(1, hardware_id="")], None),
        (an_iphone(hardware_id=""), [alert(1, hardware_id="")], None),
        (VOIP, [a_device(hardware_id="a", platform=Platform.IOS)], a_device(hardware_id="a", platform=Platform.IOS)),
        (VOIP, [a_device(hardware_id="a", platform=Platform.IOS, registered_at=9), alert(1)], alert(1)),
        (VOIP, [a_device(hardware_id="a")], None),
        (VOIP, [an_iphone(token="ef" * 32, hardware_id="a")], None),
        (a_device(), [], a_device()),
        (a_device(hardware_id="a"), [alert(1)], a_device(hardware_id="a")),
    ],
)
def test_the_second_push_goes_to_the_same_phone(rung, others, by):
    assert device_of_second_push(rung, [rung, *others]) == by


def test_every_provider_has_a_device_for_the_second_push():
    assert set(FIND_DEVICE) == set(Provider)
