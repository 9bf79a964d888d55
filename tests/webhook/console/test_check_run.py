"""The last check on the service page, and the button that runs one."""

import json
import threading
import time

import pytest

from bellhop.store.keys import CHECK_RUNS, LAST_CHECK
from bellhop.telemetry.last_check import keep_check, read_last_check
from tests.waiting import come_true
from tests.webhook.console.played_calls import token
from tests.webhook.console.test_lists_and_pages import words
from webhook.console import check_run

SETTINGS_MISSING = ("-c", "import sys; sys.exit('Error: BELLHOP_STREAM_API_KEY is missing')")


@pytest.fixture(autouse=True)
def _last_thread_ends():
    """A check's thread writes to Redis at its end, and must not do so in the next test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "check":
            thread.join(30)


def section(page):
    return words(page[page.index('aria-labelledby="check"') : page.index('aria-labelledby="traffic"')])


def press(browser):
    return browser.post("/console/service/check", data={"token": token(browser.get("/console/service"))})


def test_the_page_shows_what_the_last_check_found(browser, redis_client):
    assert "It has not run in the last week" in section(browser.get("/console/service").text)
    faults = [("problem", "Stream default", "does not send all events"), ("warning", "Devices", "ids differ <b>")]
    redis_client.execute_command(*keep_check(int(time.time() * 1e6), faults))
    shown = section(browser.get("/console/service").text)
    assert "Problem Stream default : does not send all events" in shown
    assert "Warning Devices : ids differ <b>" in shown


def test_a_check_without_faults_is_shown_as_good(browser, redis_client):
    redis_client.execute_command(*keep_check(int(time.time() * 1e6), []))
    assert "It found no problem" in section(browser.get("/console/service").text)


async def test_the_button_runs_one_check_at_a_time(browser, redis_client, monkeypatch, tmp_path):
    (running := tmp_path / "running").touch()
    program = f"import os, time\nwhile os.path.exists({str(running)!r}): time.sleep(0.02)\nprint('no findings')"
    monkeypatch.setattr(check_run, "COMMAND", ("-c", program))
    assert press(browser).location == "/console/service"
    assert "A check is running" in section(browser.get("/console/service").text)
    assert check_run.start_check(redis_client) is False
    running.unlink()
    await come_true(lambda: not redis_client.exists(CHECK_RUNS))
    assert "Run the check now" in section(browser.get("/console/service").text)


async def test_a_check_that_takes_too_long_says_so(browser, redis_client, monkeypatch):
    monkeypatch.setattr(check_run, "COMMAND", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(check_run, "LONGEST_S", 1)
    press(browser)
    await come_true(lambda: read_last_check(redis_client) is not None)
    assert "took longer than 1 s" in section(browser.get("/console/service").text)


async def test_a_check_that_cannot_run_says_why(browser, redis_client, monkeypatch):
    monkeypatch.setattr(check_run, "COMMAND", SETTINGS_MISSING)
    press(browser)
    await come_true(lambda: not redis_client.exists(CHECK_RUNS))
    assert json.loads(redis_client.get(LAST_CHECK))["faults"] == [
        ["problem", "Check", "it could not run: Error: BELLHOP_STREAM_API_KEY is missing"]
    ]


def test_the_button_needs_the_form_of_the_console(browser):
    assert browser.post("/console/service/check").status_code == 403
