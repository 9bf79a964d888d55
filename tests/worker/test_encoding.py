"""JSON of texts that UTF-8 cannot say, for the trail and the log."""

from bellhop.domain.json_text import encoded
from bellhop.telemetry.logs import _json


def test_half_a_character_becomes_a_question_mark_and_the_rest_stays():
    assert encoded(["250 f\udcfcr Zoë", {"id": "\ud83d"}, 1]) == '["250 f?r Zoë",{"id":"?"},1]'.encode()


def test_what_json_does_not_know_is_made_something_else_beside_half_a_character_too():
    assert encoded(["a", object()], lambda _: "else") == b'["a","else"]'
    assert encoded(["\ud83d", object()], lambda _: "else") == b'["?","else"]'


def test_a_line_of_the_log_says_half_a_character_as_the_trail_does():
    assert _json({"event": "mail", "reason": "f\udcfcr"}, repr) == '{"event":"mail","reason":"f?r"}'
