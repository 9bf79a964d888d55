"""JSON for the trail and the log, of texts that UTF-8 cannot write."""

from bellhop.domain.json_text import encoded
from bellhop.telemetry.logs import _json


def test_half_a_character_becomes_a_question_mark():
    assert encoded(["250 f\udcfcr Zoë", {"id": "\ud83d"}, 1]) == '["250 f?r Zoë",{"id":"?"},1]'.encode()


def test_the_fallback_also_works_beside_half_a_character():
    assert encoded(["a", object()], lambda _: "else") == b'["a","else"]'
    assert encoded(["\ud83d", object()], lambda _: "else") == b'["?","else"]'


def test_log_and_trail_write_half_a_character_the_same_way():
    assert _json(None, "info", {"event": "mail", "reason": "f\udcfcr"}) == '{"event":"mail","reason":"f?r"}'
