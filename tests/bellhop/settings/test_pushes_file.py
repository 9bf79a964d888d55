"""The file of a team's own pushes: it is read when a worker starts, and all its mistakes are found at once."""

import pytest

from bellhop.domain.device import Provider
from bellhop.domain.push import PushKind
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes

GOOD = """
[[pushes]]
kind = "missed"
provider = "apns"
title = "Missed"
sound = "missed.caf"
interruption_level = "time-sensitive"
badge = 1

[pushes.body]
en = "{{ caller.name }} called"
pt-BR = "{{ caller.name }} ligou"

[[pushes]]
kind = "ring"
provider = "fcm"
app = "calls"
call_type = "support"
ringtone = "support.mp3"
data = { topic = "{{ call.custom.topic }}", picture = "{{ caller.image }}" }
"""


def read(tmp_path, text, **settings):
    path = tmp_path / "pushes.toml"
    path.write_text(text)
    own = read_pushes(Settings(pushes_file=path, **settings))
    return own.templates, [problem.replace(f"{path}, ", "") for problem in own.problems]


def test_a_file_is_read(tmp_path):
    templates, problems = read(tmp_path, GOOD, push_call_fields=["topic"], push_caller_fields=["image"])
    assert problems == []
    missed = templates.of(PushKind.MISSED, Provider.APNS, "any", "default:1")
    assert (missed.badge, missed.interruption_level, [*missed.texts]) == (
        1,
        "time-sensitive",
        ["title", "body", "sound"],
    )
    assert [*missed.texts["body"]] == ["en", "pt-br"]
    assert [*templates.of(PushKind.RING, Provider.FCM, "calls", "support:1").data] == ["topic", "picture"]
    assert templates.of(PushKind.RING, Provider.FCM, "calls", "default:1") is None


BAD = '''
[[pushes]]
kind = "rings"
provider = "apns"

[[pushes]]
kind = "ring"
provider = "apns"
sound = "x"
titel = "x"

[[pushes]]
kind = "missed"
provider = "apns"
title = "{{ caller.nam }}"
thread = "{{ 'x' in 7 }}"
body = """
first line
{{ 'a' * 9 }}"""

[pushes.data]
tier = "{{ caller.custom.tier }}"

[[pushes]]
kind = "missed"
provider = "apns"
sound = "{{ nobody }}"

[[pushes]]
kind = "ring"
provider = "apns"
sound = "x"

[[pushes]]
kind = "notification"
provider = "fcm"
data = { call_cid = "1" }

[[pushes]]
kind = "notification"
provider = "apns"
title = { english = 1 }

[other]
'''


def test_every_mistake_is_named_with_line_and_field(tmp_path):
    _, problems = read(tmp_path, BAD)
    expected = [
        ("line 44, other:", "is not a table of this file: write [[pushes]]"),
        (
            "line 3, kind:",
            "must be 'ring', 'notification', 'missed', 'live_started', 'session_started', 'second_ring', "
            "'ring_over' or 'alert_ring'",
        ),
        ("line 10, titel:", "is not a field of a push; did you mean title?"),
        ("line 15, title:", "uses caller.nam, which does not exist; did you mean caller.name?"),
        ("line 16, thread:", "cannot be filled in with an example"),
        ("line 19, body:", "uses arithmetic, which is not available here"),
        ("line 22, data.tier:", "(it must be in BELLHOP_PUSH_CALLER_FIELDS)"),
        ("line 24, [[pushes]] number 4:", "is for the same pushes as number 3"),
        ("line 29, [[pushes]] number 5:", "sound: not for a ring through apns"),
        ("line 37, data:", "the key call_cid is taken"),
        ("line 42, title:", "english must be a text in quotes"),
    ]
    for place, message in expected:
        assert [p for p in problems if p.startswith(place) and message in p], (place, problems)
    assert len(problems) == len(expected)


def test_data_that_never_fits_is_refused(tmp_path):
    keys = "\n".join(f'k{number} = "{"x" * 1_000}"' for number in range(5))
    _, problems = read(tmp_path, f'[[pushes]]\nkind = "missed"\nprovider = "apns"\n[pushes.data]\n{keys}\n')
    [problem] = problems
    assert problem.startswith("line 4, data: does not fit: ")
    assert "k4" in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[pushes]", "is not valid TOML"),
        ("pushes = 1", "must be written [[pushes]], with two brackets"),
        ("[pushes]\nkind = 'ring'", "must be written [[pushes]], with two brackets"),
        ("[[pushes]]\nkind = 'ring'\nprovider = 'fcm'\nanalytics_label = 'a b'", "line 4, analytics_label: must have"),
        ("[[pushes]]\nkind = 'ring'", "line 1, provider: is missing"),
        (
            "[[pushes]]\nkind = 'missed'\nprovider = 'fcm'\n"
            'body = { english = """\n[!]\n""" }\n'
            "analytics_label = 'a b'",
            "line 7, analytics_label: must have",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, problem):
    _, problems = read(tmp_path, text)
    assert problem in problems[0]
    assert len(problems) == 1


def test_a_file_that_does_not_exist_is_a_problem(tmp_path):
    [problem] = read_pushes(Settings(pushes_file=tmp_path / "none.toml")).problems
    assert problem == f"BELLHOP_PUSHES_FILE: {tmp_path}/none.toml cannot be read: No such file or directory"


def test_a_second_ring_has_sounds_and_levels_but_no_priority(tmp_path):
    text = '[[pushes]]\nkind = "second_ring"\nprovider = "apns"\nsound = "ring.caf"\ninterruption_level = "active"\n'
    assert read(tmp_path, text)[1] == []
    _, [problem] = read(tmp_path, text + 'priority = "normal"\n')
    assert "priority: not for a second_ring through apns" in problem
