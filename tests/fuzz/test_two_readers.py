"""The fast reader of events never disagrees with the lenient one. EXAMPLES=… compares more bodies."""

import os

from bellhop.domain.stream_json import decode
from tests.fuzz.odd_bodies import odd_bodies
from webhook.intake.events import UnreadableEvent
from webhook.intake.parsing import load_leniently

EXAMPLES = int(os.environ.get("EXAMPLES", "5000"))


def test_the_fast_reader_gives_what_the_lenient_one_gives():
    by_fast_reader = 0
    for body in odd_bodies(seed=1, count=EXAMPLES):
        event = decode(body)
        if event is None:
            continue
        by_fast_reader += 1
        try:
            lenient = load_leniently(body)
        except UnreadableEvent as error:
            lenient = error
        # repr: 1, 1.0 and True are equal.
        assert repr(event) == repr(lenient), body
    assert EXAMPLES / 5 < by_fast_reader < EXAMPLES, by_fast_reader
