"""What Stream could send, and what anybody could: hypothesis strategies."""

import copy
import json
from functools import reduce
from operator import getitem
from typing import Any

from hypothesis import strategies as st

from bellhop.sandbox.stream_webhooks import SAMPLES

SIGNATURES = json.loads((SAMPLES / "SIGNATURES.json").read_text())
EVENTS = {name: json.loads((SAMPLES / f"{name}.json").read_text()) for name in SIGNATURES["signatures"]}
"""Every sample event by the name of its file."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "\ud83d", "2026-11-18T09:30:01Z", "0001-01-01T00:00:00Z", "9" * 400, 10**30, 2**53, -1])
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
headers = st.none() | st.text(st.characters(max_codepoint=0xFF), max_size=80)
"""A header as WSGI hands it over: any bytes at all, decoded as Latin-1."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value, as the keys that lead to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in inner for place in [(*path, key), *places(child, (*path, key))]]


PLACES = {name: places(event) for name, event in EVENTS.items()}


@st.composite
def mutated_events(draw: st.DrawFn) -> Any:
    """A sample event with a few values, anywhere in it, dropped or replaced by anything."""
    name = draw(st.sampled_from(sorted(EVENTS)))
    event = copy.deepcopy(EVENTS[name])
    for *path, key in draw(st.lists(st.sampled_from(PLACES[name]), min_size=1, max_size=5)):
        try:
            holder = reduce(getitem, path, event)
            if draw(st.booleans()):
                del holder[key]
            else:
                holder[key] = draw(json_values)
        except (LookupError, TypeError):
            continue  # an earlier change took this place away
    return event
