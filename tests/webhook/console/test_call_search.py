"""Searching the calls of the console's list."""

import time
from functools import partial
from types import SimpleNamespace

import pytest

from bellhop.call_index import MAX_CALLS, MAX_LINES, NewEntry, calls_with, is_known_user
from bellhop.explain.summary import Extent, Flag
from bellhop.privacy.forgetting_people import erase_due, forget
from bellhop.store.blocking_client import partitions_of, run_script, together
from bellhop.store.keys import calls_key, calls_of_user_key, people_of_calls_key, trail_key
from bellhop.store.steps import run_blocking
from bellhop.trail import PushAttempted, WebhookReceived, encode
from tests.long_trails import answered_one_by_one, rung_again_and_again
from tests.trails import line
from webhook.console import call_search, summary_cache
from webhook.console.summary_cache import SummaryCache

T = 1_784_887_200_000_000


@pytest.fixture
def begin(redis_client):
    """Have calls begun, the first the earliest."""

    def begin(*cids, user="ben", name="Ben Osei", outcome="accepted"):
        for number, cid in enumerate(cids):
            at = T + number
            facts = {"type": "call.ring", "stamp": at, "round": at, "users": [user], "callers": ["sara"]}
            push = {"round": at, "kind": "ring", "user": user, "device": "d" * 20, "provider": "apns"}
            lines = [line(WebhookReceived, at, **facts), line(PushAttempted, at, outcome=outcome, **push)]
            redis_client.rpush(trail_key("default", cid), *lines)
            for key in (calls_key("default"), calls_of_user_key("default", user)):
                redis_client.zadd(key, {cid: at})
            people = NewEntry(cid, {"sara": "Sára Lind", user: name}, 0, begins=True).for_tenant()["line"]
            redis_client.lpush(people_of_calls_key("default"), people)

    return begin


def cids(page):
    return [call.cid for call in page.calls]


def pages(redis_client, timeout_s=60, **options):
    """All pages of a search; by default each has as much time as a busy machine needs."""
    before, found = 0, []
    while True:
        page = call_search.search_calls(redis_client, "default", before=before, timeout_s=timeout_s, **options)
        found.append(cids(page))
        if not (before := page.older):
            return found


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])])
@pytest.mark.parametrize("options", [{}, {"text": "ben"}, {"user_id": "ben"}, {"text": "call-"}], ids=str)
def test_pages_hold_every_call_once_the_latest_first(redis_client, begin, count, sizes, options):
    names = [f"call-{number}" for number in range(count)]
    begin(*names)
    found = pages(redis_client, **options)
    assert [len(page) for page in found] == sizes
    assert [cid for page in found for cid in page] == names[::-1]


def test_calls_are_found_by_names_and_parts_of_ids(redis_client, begin):
    begin("default:1", "default:2", user="ben-osei")
    begin("default:3", user="jane", name="Jane Morel")
    for text in ("ault:3", "jan", "MOREL", "jane morel", "sara morel", "default:3 lind"):
        assert pages(redis_client, text=text) == [["default:3"]], text
    assert pages(redis_client, text="osei ben") == pages(redis_client, text="ben-") == [["default:2", "default:1"]]
    assert pages(redis_client, text="jane osei") == [[]]


def test_without_names_calls_are_found_by_ids(redis_client, begin):
    """A web process of an older version writes no names."""
    begin("default:1", user="ben")
    redis_client.delete(people_of_calls_key("default"))
    assert pages(redis_client, text="be") == [[]]
    assert pages(redis_client, text="ben") == pages(redis_client, text="ault:1") == [["default:1"]]


def test_the_calls_of_two_stream_apps_do_not_mix(redis_client, begin):
    begin("default:1")
    assert call_search.search_calls(redis_client, "other").calls == []
    assert not is_known_user(redis_client, "other", "ben")


def test_a_call_whose_trail_is_gone_is_left_out(redis_client, begin):
    begin("default:1", "default:2")
    redis_client.delete(trail_key("default", "default:1"))
    assert pages(redis_client) == [["default:2"]]


def test_looking_stops_in_time_and_goes_on_where_it_stopped(redis_client, begin):
    begin(*(f"call-{number}" for number in range(40)))
    begin("the-one", outcome="token_dead")
    first = call_search.search_calls(redis_client, "default", flag=Flag.FAILED, timeout_s=0)
    assert (first.calls, first.complete) == ([], False)
    assert first.older
    assert [cid for page in pages(redis_client, flag=Flag.FAILED, timeout_s=0) for cid in page] == ["the-one"]


def test_long_trails_are_read_one_after_the_other(redis_client, begin, monkeypatch):
    begin(*(f"call-{number}" for number in range(30)), outcome="token_dead")
    monkeypatch.setattr(call_search, "LENGTH", 5)
    read = []
    together = call_search.together
    monkeypatch.setattr(call_search, "together", lambda *asked: read.append(together(*asked)) or read[-1])
    assert sum(map(len, pages(redis_client, flag=Flag.FAILED))) == 30
    lines = [sum(map(len, answers)) for answers in read if isinstance(answers[0], list)]
    assert max(lines) <= 5


@pytest.fixture
def noisy(redis_client):
    """Have calls rung again and again, each with a trail of many lines."""

    def noisy(*cids, rounds=500):
        for number, cid in enumerate(cids):
            lines = [encode(milestone) for milestone in rung_again_and_again(rounds)]
            redis_client.rpush(trail_key("default", cid), *lines)
            redis_client.zadd(calls_key("default"), {cid: T + number})

    return noisy


def lines_read(redis_client, look):
    """Look, and return how many lines of trails Redis gave."""
    read = []
    lrange = redis_client.lrange
    redis_client.lrange = lambda *range_: read.append(lrange(*range_)) or read[-1]
    page = look()
    redis_client.lrange = lrange
    return page, sum(map(len, read))


def test_a_page_costs_no_more_however_long_its_trails_are(redis_client, noisy):
    noisy(*(f"call-{number}" for number in range(26)))
    summaries = SummaryCache(400)
    counts, shown = [], set()
    for _ in range(27):
        look = partial(call_search.search_calls, redis_client, "default", summaries=summaries)
        page, count = lines_read(redis_client, look)
        counts.append(count)
        assert len(page.calls) == 25
        shown = {call.cid for call in page.calls if call.extent is Extent.END}
    assert (max(counts), counts[-1]) == (400, 0)  # at last all are shown, and none has changed
    assert len(shown) == 25
    assert page.calls[0].rounds == 80


def test_calls_that_change_all_the_time_take_turns(redis_client, noisy):
    names = [f"call-{number}" for number in range(5)]
    noisy(*names)
    summaries = SummaryCache(400)
    for number in range(1, 11):
        page = call_search.search_calls(redis_client, "default", summaries=summaries)
        assert sum(call.extent is Extent.END for call in page.calls) == min(number, 5)
        noisy(*names, rounds=1)


def test_a_list_of_usual_calls_is_shown_at_once(redis_client, begin):
    begin(*(f"call-{number}" for number in range(26)))
    page = call_search.search_calls(redis_client, "default", summaries=SummaryCache(400))
    assert {call.extent for call in page.calls} == {Extent.WHOLE}


def test_a_round_longer_than_a_page_reads_is_not_guessed_at(redis_client):
    lines = [encode(milestone) for milestone in answered_one_by_one(500)]
    redis_client.rpush(trail_key("default", "crowd"), *lines)
    redis_client.zadd(calls_key("default"), {"crowd": T})
    (call,) = call_search.search_calls(redis_client, "default", summaries=SummaryCache(400)).calls
    assert (call.extent, call.people, call.flags) == (Extent.TOO_LONG, 0, frozenset())


def test_a_forgotten_person_leaves_the_list(redis_client, begin, monkeypatch):
    begin("default:1")
    redis_client.rpush(trail_key("default", "default:1"), line(WebhookReceived, T + 9, type="call.ended", stamp=T + 9))
    summaries = SummaryCache(400)

    def called():
        (call,) = call_search.search_calls(redis_client, "default", summaries=summaries).calls
        return call.called

    assert called() == "ben"
    person = forget(partial(together, redis_client), partial(run_script, redis_client), "default", "ben")
    run_blocking(erase_due(partitions_of(redis_client)), redis_client)
    monkeypatch.setattr(summary_cache, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 60))
    assert called() == person.pseudonym


def test_calls_without_a_trail_end_a_page_early(redis_client):
    redis_client.zadd(calls_key("default"), {f"gone-{number}": T + number for number in range(1000)})
    page = call_search.search_calls(redis_client, "default", summaries=SummaryCache(400))
    assert (page.calls, page.complete, page.older) == ([], False, T + 1000 - call_search.MAX_CANDIDATES)


def test_a_search_in_full_lists_takes_few_commands(redis_client):
    """The lists are read whole. With the search, that took 12 ms of a core that was busy with other work."""
    calls = {f"default:{number:036}": number for number in range(MAX_CALLS)}
    redis_client.zadd(calls_key("default"), {cid: T + number for cid, number in calls.items()})
    lines = [NewEntry(cid, {f"ben-{n}": f"Ben {n}"}, 0, begins=True).for_tenant()["line"] for cid, n in calls.items()]
    redis_client.lpush(people_of_calls_key("default"), *(lines * 2)[:MAX_LINES])
    redis_client.config_resetstat()
    found = {text: next(calls_with(redis_client, "default", text, 0, 26)) for text in ("ben 777", "ben")}
    assert [len(calls) for calls in found.values()] == [19, 26]
    assert sum(stat["calls"] for stat in redis_client.info("commandstats").values()) == 2 * 4 + 1
