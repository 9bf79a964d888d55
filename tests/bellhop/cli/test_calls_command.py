"""`bellhop calls`, and how `bellhop explain` finds a call by its id without its type, by a user and by a time."""

import json
import time

import pytest
import redis
from click.testing import CliRunner

from bellhop.call_index import NewEntry
from bellhop.cli import main
from bellhop.clock import iso
from bellhop.store.blocking_client import together
from bellhop.store.keys import calls_key, people_of_calls_key, trail_key
from bellhop.trail import PushAttempted, PushSkipped, UserSettled, WebhookReceived
from tests.trails import line

NOW = time.time_ns() // 1000
HOUR = 3_600_000_000
JANE = {"user": "jane", "device": "ab" * 10, "label": "Jane's iPhone", "provider": "apns"}


def lines_of(start, *users, names=()):
    facts = {"type": "call.ring", "stamp": start, "users": users, "round": start, "callers": ["sara"]}
    return [line(WebhookReceived, start + 9_000, **facts, names=names, until=start + 30_000_000)]


CALLS = {
    "default:1": [
        *lines_of(NOW - HOUR, "jane", names=["Sara Lind", "Jane Roe"]),
        line(PushAttempted, NOW - HOUR + 100000, round=NOW - HOUR, kind="ring", outcome="accepted", **JANE),
        line(UserSettled, NOW - HOUR + 400000, user="jane", outcome="answered", round=NOW - HOUR),
    ],
    "default:2": [
        *lines_of(NOW - 2 * HOUR, "jane", "ben"),
        line(
            PushSkipped,
            NOW - 2 * HOUR + 100000,
            round=NOW - 2 * HOUR,
            kind="ring",
            user="ben",
            outcome="no_devices",
            reason="0 devices",
        ),
        line(UserSettled, NOW - 2 * HOUR + 4000000, user="jane", outcome="declined", round=NOW - 2 * HOUR),
    ],
    "livestream:2": lines_of(NOW - 30 * HOUR, "ben"),
}


@pytest.fixture
def bellhop(redis_url):
    with redis.Redis.from_url(redis_url) as client:

        def keep(cid, lines, people):
            client.rpush(trail_key("default", cid), *lines)
            began = json.loads(lines[0])[3]["r"]
            entry = NewEntry(cid, people, began, begins=True)
            client.zadd(calls_key("default"), {cid: began})
            client.lpush(people_of_calls_key("default"), entry.for_tenant()["line"])
            together(client, *entry.for_users("default", 60))

        keep("livestream:2", CALLS["livestream:2"], {"sara": "", "ben": ""})
        keep("default:2", CALLS["default:2"], {"sara": "", "jane": "", "ben": ""})
        keep("default:1", CALLS["default:1"], {"sara": "Sara Lind", "jane": "Jane Roe"})

        def run(*args, status=0, keys=True):
            if not keys:
                client.flushdb()
            result = CliRunner(env={"BELLHOP_REDIS_URL": redis_url, "COLUMNS": "120"}).invoke(main, [*args])
            assert result.exit_code == status, result.output
            return result.output

        yield run


def listed(output):
    return [text.split()[3] for text in output.splitlines() if text.startswith("20")]


def test_the_latest_calls_one_line_each(bellhop):
    output = bellhop("calls")
    assert listed(output) == ["default:1", "default:2", "livestream:2"]
    first, second, *rest = output.splitlines()
    assert first[21:] == "✓ default:1  sara (Sara Lind) called jane (Jane Roe): 1 of 1 reached"
    assert second.endswith("default:2  sara called jane and ben: 0 of 2 reached")
    assert rest[0].strip() == "ben was not rung: no device of ben was registered."


def test_calls_are_chosen_by_user_name_time_and_result(bellhop):
    assert listed(bellhop("calls", "--user", "jane")) == ["default:1", "default:2"]
    assert listed(bellhop("calls", "--user", "lind")) == ["default:1"]
    assert listed(bellhop("calls", "--since", "3h")) == ["default:1", "default:2"]
    assert listed(bellhop("calls", "--missed")) == ["default:2", "livestream:2"]
    assert listed(bellhop("calls", "--missed", "--user", "jane")) == []
    assert listed(bellhop("calls", "--limit", "1")) == ["default:1"]
    assert "'soon' is not a time: write an RFC 3339 time" in bellhop("calls", "--since", "soon", status=2)


def test_the_list_as_json(bellhop):
    [call] = json.loads(bellhop("calls", "--json", "--limit", "1"))["calls"]
    assert (call["cid"], call["time"], call["caller_name"]) == ("default:1", iso(NOW - HOUR), "Sara Lind")
    [person] = call["people"]
    assert (person["user"], person["name"], person["missed"], person["reached"]) == ("jane", "Jane Roe", False, True)


def test_without_a_list_it_says_what_switches_it_on(bellhop):
    assert "set BELLHOP_CONSOLE_PASSWORD" in bellhop("calls", keys=False)


def test_a_call_is_explained_by_its_id_alone(bellhop):
    assert bellhop("explain", "1").startswith("default:1\n")
    several = bellhop("explain", "2", status=1)
    assert several.splitlines()[1:] == ["  bellhop explain default:2", "  bellhop explain livestream:2"]
    assert "try `bellhop explain jane --since 24h`" in bellhop("explain", "jane", status=1)


def test_the_calls_of_a_user_are_explained(bellhop):
    output = bellhop("explain", "jane", "--since", "90 min")
    assert "✓ jane (Jane Roe): Jane's iPhone was rung 0.1 s after the call began." in output
    assert "default:2" not in output
    both = json.loads(bellhop("explain", "ben", "--since", "2d", "--json"))["calls"]
    assert [(call["cid"], call["user"]) for call in both] == [("default:2", "ben"), ("livestream:2", "ben")]
    assert "sara (Sara Lind) called jane" in bellhop("explain", "sara", "--since", "90 min")
    assert "max has no call since 20" in bellhop("explain", "max", "--since", "2h", status=1)
