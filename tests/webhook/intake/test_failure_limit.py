"""Which clients lately sent many webhooks that were refused."""

from webhook.intake import failure_limit
from webhook.intake.failure_limit import FailureLimit

CLIENT, OTHER = ("192.0.2.1", "key"), ("192.0.2.1", "another key")


def failed(times, now_s=0.0, per_minute=5):
    failures = FailureLimit(per_minute)
    for _ in range(times):
        failures.note(CLIENT, now_s)
    return failures


def test_so_many_failures_are_allowed():
    assert not failed(5).exceeded(CLIENT, 1)
    assert failed(6).exceeded(CLIENT, 1)


def test_address_and_key_count_together():
    assert not failed(6).exceeded(OTHER, 1)


def test_failures_count_until_the_end_of_the_next_minute():
    failures = failed(6, now_s=59)
    assert failures.exceeded(CLIENT, 61)
    assert failures.exceeded(CLIENT, 119)
    assert not failures.exceeded(CLIENT, 121)
    assert not failed(6, now_s=59).exceeded(CLIENT, 500)


def test_a_right_signature_ends_the_failures():
    failures = failed(6)
    failures.forget(CLIENT)
    assert not failures.exceeded(CLIENT, 1)


def test_the_number_of_clients_is_limited(monkeypatch):
    monkeypatch.setattr(failure_limit, "MAX_CLIENTS", 3)
    failures = failed(3)
    for number in range(100):
        failures.note((f"192.0.2.{number}", "key"), 1)
    assert len(failures._now) == 3
    for _ in range(3):
        failures.note(CLIENT, 1)
    assert failures.exceeded(CLIENT, 1)
