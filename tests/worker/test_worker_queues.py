"""A worker takes only the jobs that its settings can do."""

import json

import pytest

from bellhop.queue.names import MAIL, NOTICES, RINGS, STREAM
from bellhop.settings import Settings
from worker.main import run
from worker.queue_limits import queue_limits

EMAIL = {
    "smtp_host": "smtp.example.com",
    "mail_from": "calls@example.com",
    "mail_secret": ["a-secret-of-no-real-app"],
    "public_url": "https://calls.example.com",
}


@pytest.fixture
def google(tmp_path):
    path = tmp_path / "account.json"
    path.write_text(json.dumps(dict.fromkeys(("project_id", "client_email", "private_key", "token_uri"), "calls")))
    return {"fcm_apps": [{"service_account_file": path}]}


def test_a_worker_without_a_mail_server_takes_no_emails(google):
    assert set(queue_limits(Settings(**google))) == {RINGS, NOTICES}
    assert set(queue_limits(Settings(**google, **EMAIL, mail_policy="never"))) == {RINGS, NOTICES}


def test_a_worker_with_apps_and_a_mail_server_takes_everything(google):
    assert set(queue_limits(Settings(**google, **EMAIL))) == {RINGS, NOTICES, MAIL}


def test_a_worker_without_apps_takes_no_rings():
    assert set(queue_limits(Settings(**EMAIL))) == {MAIL}


def test_a_worker_tells_stream_of_declines_if_it_can(google):
    stream = {"stream_api_key": "key", "stream_api_secret": "a-secret", "receipt_secret": "signs-the-receipts"}
    assert set(queue_limits(Settings(**google, **stream))) == {RINGS, NOTICES, STREAM}
    for off in ({"declines": False}, {"receipt_secret": ""}, {"stream_api_key": "", "stream_api_secret": ""}):
        assert STREAM not in queue_limits(Settings(**google, **stream | off))


def test_a_worker_that_can_do_nothing_does_not_start(redis_url, capsys):
    assert run(Settings(redis_url=redis_url)) == 1
    assert "worker_has_no_work" in capsys.readouterr().out
