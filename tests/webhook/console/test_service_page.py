"""The console's service page: webhooks, rings, apps, processes and Redis, and failed jobs in the bar of each page."""

import re
import socket
import time

import pytest

from bellhop import __version__
from bellhop.clock import Micros
from bellhop.dead_letters import DeadLetter, keep_dead_letter
from bellhop.domain.clock_offset import ClockOffset
from bellhop.queue.names import MAIL, NOTICES, RINGS
from bellhop.queue.worker_status import ChannelStatus, EndpointStatus, WorkerStatus
from bellhop.settings.events import EventEndpoint
from bellhop.store import clock_differences
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import ALONE
from bellhop.store.keys import WEB_PROCESSES, lease_key, rq_worker_key, rq_workers_key, status_key
from bellhop.telemetry import last_hour
from bellhop.telemetry.last_webhook import LastWebhooks
from bellhop.telemetry.turned_away import TurnedAwayCounter
from bellhop.telemetry.web_processes import OwnEntry
from tests.webhook.console.conftest import logged_in
from tests.webhook.console.test_lists_and_pages import words

READY = "Redis answers, every queue has a worker, and the providers accept the credentials."


@pytest.fixture
def worker(redis_client):
    """Let a worker live that serves all queues."""

    def worker(name, *channels, machine="host-1", clock_ahead_s=0.0):
        redis_client.set(lease_key(name), 1)
        status = WorkerStatus(channels, clock_ahead_s=clock_ahead_s, machine=machine, pid=7, version="0.0.9")
        redis_client.set(status_key(name), status.to_json())
        for queue in (RINGS, NOTICES, MAIL):
            redis_client.sadd(rq_workers_key(queue), rq_worker_key(name))

    return worker


def alerts(page):
    return [words(alert) for alert in re.findall(r'<div class="alert bad".*?</div>', page, re.DOTALL)]


def facts(page):
    return {words(name): words(value) for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL)}


def rows(page, heading):
    section = page[page.index(f'aria-labelledby="{heading}"') :]
    return [
        words(row) for row in re.findall(r'<tr role="row">.*?</tr>', section[: section.index("</section>")], re.DOTALL)
    ]


def test_the_page_says_what_came_in_and_what_rang(browser, worker, redis_client):
    worker("w-1", ChannelStatus("apns", "com.example"))
    webhooks = LastWebhooks()
    webhooks.note("default", "call.ring", int(time.time() * 1e6) - 150_000_000)
    webhooks.flush(redis_client)
    turned_away = TurnedAwayCounter()
    turned_away.add("bad_signature", "key", "192.0.2.7", known_app=True)
    run_script(redis_client, turned_away.flush())
    run_script(
        redis_client, last_hour.count({last_hour.RINGS: 3, "accepted": 4, "no_devices": 2, "token_dead": 1, "muted": 1})
    )
    page = browser.get("/console/service").text
    assert alerts(page) == []
    assert READY in words(page)
    assert "1 webhook refused in the last hour: signature does not match" in words(page)
    seen = facts(page)
    assert seen["Last webhook"].endswith("(2 minutes ago) call.ring")
    assert (seen["Rings in the last hour"], seen["Phones reached by them"]) == ("3", "4")
    assert (seen["Not reached"], seen["No push needed"]) == ("no devices 2, token dead 1", "muted 1")
    assert seen["Version"] == redis_client.info("server")["redis_version"]
    assert seen["Bellhop"] == f"version {__version__}"
    assert re.fullmatch(r"[\d.]+[KM], no limit", seen["Memory"])
    assert re.fullmatch(r".+, database \d+", seen["Server"])


def test_the_page_shows_the_endpoints_of_the_backend(redis_url, redis_client):
    assert "Events for your backend" not in logged_in(redis_url).get("/console/service").text
    for name, away in (("w-1", ""), ("w-2", "HTTP 500")):
        status = WorkerStatus(endpoints=(EndpointStatus("backend", 2, away), EndpointStatus("other", 0)))
        redis_client.mset({lease_key(name): 1, status_key(name): status.to_json()})
        redis_client.sadd(rq_workers_key(RINGS), rq_worker_key(name))
    for command in keep_dead_letter(DeadLetter("backend", "default", "default:1", "{}", "HTTP 500", Micros(1)), 60):
        redis_client.execute_command(*command)
    endpoints = [EventEndpoint(name=name, url="https://example.com/") for name in ("backend", "other")]
    page = logged_in(redis_url, event_endpoints=endpoints).get("/console/service").text
    assert [re.sub("[✕✓] ", "", row) for row in rows(page, "endpoints")[1:]] == [
        "backend Away HTTP 500 4 1 bellhop events dead lists them",
        "other Working 0 0",
    ]


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (
            ChannelStatus("apns", "com.example", blocked=True, refused="InvalidProviderToken"),
            "com.example : Apple refused the credentials for com.example (InvalidProviderToken). Run bellhop check",
        ),
        (
            ChannelStatus("fcm", "shop-1", failing="wrong_app", answer="403 SENDER_ID_MISMATCH"),
            "shop-1 : Google says that the phones' tokens are of another Firebase project than shop-1, so every "
            "Android phone gets this answer (403 SENDER_ID_MISMATCH). Use a service account of the project",
        ),
        (
            ChannelStatus("fcm", "shop-1", blocked=True, failing="unavailable", answer="503 UNAVAILABLE"),
            "shop-1 : Google had an internal problem (503 UNAVAILABLE), as 1 of 2 workers report. Bellhop tries again",
        ),
    ],
    ids=lambda value: value.app if isinstance(value, ChannelStatus) else "",
)
def test_an_app_that_rings_no_phone_makes_the_page_red(browser, worker, channel, said):
    worker("w-1", channel)
    if "1 of 2" in said:
        worker("w-2", ChannelStatus(channel.provider, channel.app))
    page = browser.get("/console/service").text
    (alert,) = alerts(page)
    assert alert.startswith(f"Phones do not ring with this app. {said}")
    assert READY not in words(page)


def test_every_process_is_listed_with_its_clock(browser, worker, redis_client):
    worker("w-2", machine="host-2", clock_ahead_s=600.0)
    worker("w-1", machine="host-1", clock_ahead_s=-0.2)
    OwnEntry().write(redis_client)
    redis_client.hset(WEB_PROCESSES, "ended", '["old", 1, "0", 0.0, 1]')
    page = browser.get("/console/service").text
    machine = socket.gethostname()
    expected = {
        "host-1 worker w-1 rings, notices, mail 0.0.9 0.2 s behind",
        "host-2 worker w-2 rings, notices, mail 0.0.9 ✕ 600.0 s ahead",
    }
    found = rows(page, "processes")
    assert expected <= set(found)
    own = next(row for row in found if row.startswith(f"{machine} web"))
    assert re.fullmatch(rf"{machine} web \d+ none {__version__} (as Redis's|[\d.]+ s (ahead|behind))", own)
    assert not [row for row in found if row.startswith("old")]
    (alert,) = alerts(page)
    assert "The clock of the worker process w-2 on host-2 is 600 s ahead of Redis's" in alert


def test_the_clock_of_stream_is_listed_as_its_events_show_it(browser, worker, redis_client):
    worker("w-1")
    assert "Stream's clock: not known yet." in words(browser.get("/console/service").text)
    for ahead_us, said in ((0, "as Redis's"), (-90_000_000, "90.0 s ahead")):
        for command in clock_differences.write("default", ClockOffset(ahead_us, 1), *ALONE):
            redis_client.execute_command(*command)
        page = browser.get("/console/service").text
        assert f"Stream's clock: {said}." in words(page)
    (alert,) = alerts(page)
    assert "Stream's clock, as the events of default show, is 90 s ahead of Redis's: set both right" in alert


def test_an_ended_web_process_leaves_the_list(redis_client):
    redis_client.hset(WEB_PROCESSES, "ended", '["old", 1, "0", 0.0, 1]')
    OwnEntry().write(redis_client)
    assert list(redis_client.hkeys(WEB_PROCESSES)) != [b"ended"]
    assert redis_client.hlen(WEB_PROCESSES) == 1
    assert 0 < redis_client.ttl(WEB_PROCESSES) <= 3600


def test_without_a_worker_the_page_names_the_redis(browser):
    (alert,) = alerts(browser.get("/console/service").text)
    assert "No worker is alive in Redis" in alert
    assert "database" in alert


def test_a_page_costs_a_bounded_number_of_commands(browser, worker, redis_client):
    for number in range(30):
        worker(f"w-{number}", ChannelStatus("apns", "com.example"))
    browser.get("/console/service")
    counts = {}
    for path in ("/console/", "/console/service"):
        redis_client.config_resetstat()
        assert browser.get(path).status_code == 200
        counts[path] = sum(stat["calls"] for stat in redis_client.info("commandstats").values())
    assert counts["/console/"] < 20
    assert counts["/console/service"] < 70 + 2 * 30
