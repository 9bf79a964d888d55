"""Which phones of a call stayed silent, and what their settings say about it."""

from bellhop.domain.phone import PhoneHealth
from bellhop.store import phones, registry
from bellhop.store.blocking_client import run_script
from bellhop.store.phones_today import silent_phones
from bellhop.store.steps import run_blocking
from bellhop.trail import PhoneRang, PushAttempted
from tests.factories import a_device
from tests.trails import line

PHONE = a_device(registered_at=1)
NOW = 1_800_000_000_000_000


def rung(number):
    facts = {"kind": "ring", "user": "ben", "device": PHONE.key, "provider": "fcm", "outcome": "accepted"}
    return line(PushAttempted, number, round=number, **facts).encode()


def rang(number):
    return line(PhoneRang, number, round=number, device=PHONE.key).encode()


def test_a_phone_may_ring_once_and_then_stay_silent(redis_client):
    run_blocking(registry.register("default", PHONE), redis_client)
    run_script(redis_client, phones.note_health("default", "ben", PHONE.key, NOW, PhoneHealth(notifications="denied")))
    silent = [rung(1), rang(1), rung(2)]
    assert "The app may not show notifications" in silent_phones(redis_client, "default", silent, NOW)[PHONE.key]
    assert silent_phones(redis_client, "default", [*silent, rang(2)], NOW) == {}
