"""Processor time to make the payload of one push, without and with a team's own texts: python -m bench.pushes

It needs no Redis. The last two rows are the worst that a file may contain: every field and twenty keys of data, each a
template as long as is allowed; and the same where nothing fits, so that texts are cut and keys left out one by one.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bellhop.clock import Micros
from bellhop.domain.device import Device, Kind, Provider
from bellhop.domain.own_pushes import NO_TEMPLATES, PushScope, PushTemplate, PushTemplates
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient, Round
from bellhop.domain.text_template import TextTemplate
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes

PUSHES, REPEATS = 500, 7
USUAL = """
[[pushes]]
kind = "ring"
provider = "fcm"
title = "{{ caller.name }}"
body = "{{ call.custom.topic or default.body }}"
ringtone = "{{ 'support.mp3' if call.type == 'support' else 'ring.mp3' }}"
data = { picture = "{{ caller.image }}", link = "https://a.example/{{ call.id|urlencode }}" }
"""
ROUND = Round(
    tenant="default",
    cid="default:6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11",
    session_id="c2d7b6a8-3a0e-4f0b-8d4c-5b1f2a9e7710",
    started_at=Micros(1_800_000_000_000_000),
    deadline=Micros(1_800_000_030_000_000),
    caller_id="sara-lind",
    caller_name="Sara Lind",
    call_name="Design review",
    call_fields={"topic": "Loan"},
    caller_fields={"image": "https://cdn.example.com/avatars/sara-lind.png"},
    recipients=(Recipient(id="ben-osei", name="Ben Osei", language="en"),),
)
LONG = ROUND.model_copy(update={"caller_name": "é" * 255, "call_name": "é" * 255})
DEVICES = {"ben-osei": [Device(user_id="ben-osei", provider=Provider.FCM, kind=Kind.ALERT, token="t", app="calls")]}


def main() -> None:
    """Print the table."""
    rows: dict[str, tuple[Round, PushTemplates]] = {
        "without templates": (ROUND, NO_TEMPLATES),
        "with those of docs/pushes.md": (ROUND, _usual()),
        "the largest templates": (ROUND, _largest("{{ call.custom.topic|upper }}")),
        "the largest, of which nothing fits": (LONG, _largest("{{ caller.name|upper }}")),
    }
    for name, (round_, templates) in rows.items():
        print(f"{name:36} {_cpu_us(lambda r=round_, t=templates: _make(r, t)):9.1f} µs")  # type: ignore[misc]


def _make(round_: Round, templates: PushTemplates) -> None:
    plan(PushKind.RING, round_, DEVICES, round_.started_at, templates=templates)


def _usual() -> PushTemplates:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pushes.toml"
        path.write_text(USUAL)
        own = read_pushes(Settings(pushes_file=path, push_call_fields=["topic"], push_caller_fields=["image"]))
    assert not own.problems, own.problems
    return own.templates


def _largest(part: str) -> PushTemplates:
    known = {part.strip("{} ").partition("|")[0]}
    template = TextTemplate(part * (1_000 // len(part)), known)
    data = {f"key{number}": template for number in range(20)}
    texts = {name: {"": template} for name in ("title", "body", "ringtone")}
    return PushTemplates({PushScope(PushKind.RING, Provider.FCM): PushTemplate(texts, data)})


def _cpu_us(function: Callable[[], None]) -> float:
    """Return the shortest of some processor times of one call, in microseconds."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        for _ in range(PUSHES):
            function()
        best = min(best, (time.process_time() - began) / PUSHES)
    return best * 1e6


if __name__ == "__main__":
    main()
