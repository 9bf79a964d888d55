"""What the list, the page of a call and the page of a person say of the same call."""

import re
import time
from html import unescape

import pytest

from bellhop.call_index import NewEntry
from bellhop.clock import micros
from bellhop.domain.phone import PhoneHealth
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import calls_key, calls_of_user_key, people_of_calls_key, trail_key
from bellhop.store.phones import note_health
from bellhop.store.registry import register
from bellhop.store.steps import run_blocking
from bellhop.trail import PushAttempted, PushSkipped, UserSettled, WebhookReceived
from tests.factories import a_device
from tests.trails import line

MINUTE_US = 60_000_000


@pytest.fixture
def call(redis_client):
    """Have Sara call Ben, who has no device, and Jane, whose phone rings."""

    def call(cid="default:1", ago_us=MINUTE_US):
        at = int(time.time() * 1e6) - ago_us
        of_jane = {"round": at, "kind": "ring", "user": "jane", "device": "d" * 20, "provider": "fcm"}
        people = {"sara": "Sara Lind", "jane": "Jane Morel", "ben": "Ben Osei"}
        facts = {"type": "call.ring", "stamp": at, "round": at, "users": ["jane", "ben"], "callers": ["sara"]}
        lines = [
            line(WebhookReceived, at, names=list(people.values()), until=at + 30_000_000, **facts),
            line(PushAttempted, at + 90_000, outcome="accepted", label="Jane's Pixel", ms=40.0, **of_jane),
            line(PushSkipped, at + 50_000, outcome="no_devices", round=at, kind="ring", user="ben"),
            line(UserSettled, at + 2_000_000, round=at, user="jane", outcome="answered"),
            line(UserSettled, at + 35_000_000, round=at, user="ben", outcome="missed"),
        ]
        redis_client.rpush(trail_key("default", cid), *lines)
        for key in (calls_key("default"), *(calls_of_user_key("default", user) for user in people)):
            redis_client.zadd(key, {cid: at})
        redis_client.lpush(people_of_calls_key("default"), NewEntry(cid, people, 0, begins=True).for_tenant()["line"])

    return call


def words(html):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", re.sub("</?bdi>", "", html))).split())


def rows(answer):
    return [words(row) for row in re.findall(r'<li class="call .*?</li>', answer.text, re.DOTALL)]


def test_the_row_of_a_call_says_its_reason_as_the_page_does(browser, call):
    call()
    (row,) = rows(browser.get("/console/"))
    assert "Not reached" in row
    assert "sara (Sara Lind) called jane (Jane Morel) and ben (Ben Osei)" in row
    assert "Reached 1 of 2 · no devices: ben" in row
    page = browser.get("/console/call?id=default:1").text
    assert "✕ Not reached no devices: ben" in words(page)
    cards = re.findall(r'<article class="card person (\w+)">(.*?)</article>', page, re.DOTALL)
    assert [(tone, words(card)[:25]) for tone, card in cards] == [
        ("bad", "ben (Ben Osei) ✕ Not reac"),
        ("good", "jane (Jane Morel) ✓ Reach"),
    ]


def test_a_persons_page_says_what_became_of_their_call(browser, call):
    call()
    (of_jane,), (of_ben,), (of_sara,) = (
        rows(browser.get(f"/console/person?id={user}")) for user in ("jane", "ben", "sara")
    )
    assert of_jane.startswith("✓ Reached sara (Sara Lind) called jane (Jane Morel)")
    assert "· answered" in of_jane
    assert of_ben.startswith("✕ Not reached sara (Sara Lind) called ben (Ben Osei)")
    assert "· no devices default:1" in of_ben
    assert of_sara.startswith("✕ Not reached")
    assert "no devices: ben" in of_sara


def test_a_persons_page_says_whether_they_can_be_rung(browser, redis_client):
    device = a_device("jane", name="Jane's Pixel")
    run_blocking(register("default", device), redis_client)
    health = PhoneHealth(full_screen_intent=False, model="<script>")
    run_script(redis_client, note_health("default", "jane", device.key, micros(time.time()), health))
    text = words(browser.get("/console/person?id=jane").text)
    assert "jane cannot be rung now: No worker is alive that sends rings." in text
    assert "Jane's Pixel: Full-screen notifications are off for the app since" in text
    assert "Special app access" in text


def test_calls_are_found_by_name_and_by_the_readers_time(browser, call):
    call("default:old", ago_us=26 * 60 * MINUTE_US)
    call("default:new")
    began = time.localtime(time.time() - 26 * 3600)
    where_it_is_noon = f"Etc/GMT{time.gmtime().tm_hour - 12:+}".replace("+", "%2B")
    assert len(rows(browser.get("/console/?q=ben+osei"))) == 2
    for query, found in (
        (time.strftime("osei %Y-%m-%d %H:%M", time.gmtime(time.mktime(began))), ["default:old"]),
        (f"jane today&zone={where_it_is_noon}", ["default:new"]),
        (time.strftime("%Y-%m-%d %H:%M&zone=Etc/GMT-5", time.gmtime(time.mktime(began) + 5 * 3600)), ["default:old"]),
        (time.strftime("%Y-%m-%d %H:%M&zone=nowhere", time.gmtime(time.mktime(began) + 5 * 3600)), []),
    ):
        page = browser.get(f"/console/?q={query}")
        assert [row.rsplit(" ", 1)[1] for row in rows(page)] == found, query
        assert "Calls that began between" in page.text
