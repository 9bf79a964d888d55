"""Trails in tests: milestones as they come back from Redis.

`told`, `webhook`, `ring`, `attempt` and `settled` write the milestones of a call that begins to ring at START.
"""

from typing import get_type_hints

from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec.structs import fields

from bellhop.clock import Micros
from bellhop.store.keys import trail_key
from bellhop.trail import (
    GREATEST,
    MILESTONES,
    PushAttempted,
    UserSettled,
    WebhookReceived,
    decode,
    encode,
    read_trail,
)

START = Micros(1_784_887_200_123_000)
"""When the call of the milestones below begins to ring."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-GREATEST, GREATEST)
OF_TYPE = {
    str: TEXTS,
    Micros: INTEGERS,
    Micros | None: st.none() | INTEGERS,
    int | None: st.none() | INTEGERS,
    float | int | None: st.none() | INTEGERS | st.floats(-1e9, 1e9, allow_nan=False),
    tuple[str, ...]: st.lists(TEXTS, max_size=5).map(tuple),
}
"""What a field of each type may hold."""


async def trail_of(store, cid, tenant="default"):
    """Read the trail of a call."""
    return read_trail(await store.call("LRANGE", trail_key(tenant, cid), 0, -1))


def line(kind, at, /, **facts):
    """Write a milestone. It takes those facts that it has a field for; required fields that are not given are empty."""
    known = {field.name: field.default for field in fields(kind) if field.name != "at"}
    required = {name: 0 if name == "round" else "" for name, default in known.items() if default is NODEFAULT}
    given = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items() if name in known}
    return encode(kind(at=at, **required | given))


def milestone(kind, at, /, **facts):
    """Write a milestone and read it back."""
    return decode(line(kind, at, **facts))


def told(what, after_s, /, **facts):
    """Write a milestone `after_s` after START."""
    return milestone(what, START + round(after_s * 1e6), **facts)


def webhook(type_, after_s, *users, late_s=0.0, **facts):
    """Receive an event that Stream stamped `after_s` after START, `late_s` after its stamp."""
    stamp = START + round(after_s * 1e6)
    return told(WebhookReceived, after_s + late_s, type=type_, stamp=stamp, users=users, **facts)


def ring(*users, after_s=0.0, late_s=0.01, **facts):
    """Receive a call.ring of Sara's for these users, which lasts 30 seconds."""
    start = START + round(after_s * 1e6)
    facts = {"round": start, "callers": ["sara"], "until": start + 30_000_000} | facts
    return webhook("call.ring", after_s, *users, late_s=late_s, **facts)


def attempt(after_s, device, outcome, kind="ring", **facts):
    """Attempt a push to a device, which is given as its facts: user, device, label, provider."""
    return told(PushAttempted, after_s, round=START, kind=kind, outcome=outcome, **device, **facts)


def settled(after_s, user, standing, start=START):
    """Settle a user of the round that began at `start`."""
    return told(UserSettled, after_s, user=user, outcome=standing, round=start)


def milestones(**given):
    """Any milestone that a trail can hold; `given` are strategies for fields by their names."""
    return st.one_of(
        st.builds(kind, **{name: given.get(name, OF_TYPE[hint]) for name, hint in _hints(kind).items()})
        for kind in MILESTONES
    )


def _hints(kind):
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
