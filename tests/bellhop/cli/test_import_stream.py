"""`bellhop devices import-stream` against a stand-in for Stream's REST interface and a real Redis."""

import asyncio
import json
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.domain.device import Device, Kind, Platform, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.privacy.forgetting_people import forget
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.store import registry
from bellhop.store.blocking_client import run_script, together
from bellhop.store.keys import devices_key
from bellhop.store.registered_today import devices_today
from bellhop.store.steps import run_blocking
from bellhop.stream_api import DeviceApps, read_device
from bellhop.stream_hooks import AppSettings
from bellhop.trail import PushSkipped, encode

KEY, SECRET = "app-key", "a-secret-that-is-long-enough-for-hs256"
APPS = ("--app", "ios-voip=com.example", "--app", "ios-apn=com.example", "--app", "firebase=project")


@pytest.fixture
def listed(samples):
    return json.loads((samples / "rest.list_devices.json").read_bytes())["devices"]


def fcm(token, **fields):
    return {
        "push_provider": "firebase",
        "push_provider_name": "firebase",
        "id": token,
        "created_at": 1794907800000000000,
    } | fields


@pytest.fixture
def bellhop(redis_url):
    """Run the command; returns (status, what it printed, what it complained of)."""

    async def run(stream, *args, **settings):
        environment = {
            "REDIS_URL": redis_url,
            "STREAM_API_URL": stream.url,
            "STREAM_API_KEY": KEY,
            "STREAM_API_SECRET": SECRET,
        }
        runner = CliRunner(env={f"BELLHOP_{name}": value for name, value in (environment | settings).items()})
        # The command has an event loop of its own, so it runs beside this one, where the stand-in is.
        result = await asyncio.to_thread(runner.invoke, main, ["devices", "import-stream", *args])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def stored(redis_url, user, tenant="default"):
    with redis.Redis.from_url(redis_url) as client:
        return registry.decode(client.hvals(devices_key(tenant, user)))


async def test_devices_are_copied_and_disabled_ones_left_out(bellhop, redis_url, listed):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["ben-osei"] = listed
        status, out, _ = await bellhop(stream, "ben-osei", *APPS)
    assert (status, out.splitlines()) == (0, ["3 registered, 0 already known, 1 disabled at Stream, 0 left out"])
    voip, alert, android = stored(redis_url, "ben-osei")
    assert (voip.provider, voip.kind, voip.app, voip.token) == (Provider.APNS, Kind.VOIP, "com.example", "a1" * 32)
    assert (alert.kind, alert.token) == (Kind.ALERT, "b2" * 32)
    assert (android.provider, android.app, android.token) == (
        Provider.FCM,
        "project",
        "fcm-token-example:APA91bExample",
    )
    assert voip.registered_at == 1794907800000000, "Stream's nanoseconds are microseconds here"


async def test_a_list_that_comes_in_pieces_is_read_to_its_end(bellhop, redis_url):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["jane"] = [fcm(f"{number:0200}") for number in range(25)]
        status, out, _ = await bellhop(stream, "jane", *APPS)
    assert (status, out.splitlines()[0]) == (0, "25 registered, 0 already known, 0 disabled at Stream, 0 left out")
    assert len(stored(redis_url, "jane")) == 25


async def test_a_list_without_an_end_is_left_out(bellhop):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["jane"] = [fcm("x" * 4096) for _ in range(1200)]
        status, _, err = await bellhop(stream, "jane", *APPS)
    assert status == 1
    assert "the answer is too long" in err


async def test_a_token_that_the_registry_has_stays_as_it_is_there(bellhop, redis_url):
    """The app told us later than Stream, or of another user: Stream's list must not undo it."""
    newer = Device(user_id="jane", provider=Provider.FCM, token="t", app="project", registered_at=2 * 10**15, name="J")
    with redis.Redis.from_url(redis_url) as client:
        run_blocking(registry.register("default", newer), client)
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices = {"jane": [fcm("t")], "ben": [fcm("t")]}
        _, out, _ = await bellhop(stream, "jane", "ben", "--per-minute", "10000", *APPS)
    assert out.startswith("0 registered, 2 already known")
    assert stored(redis_url, "jane") == [newer]
    assert stored(redis_url, "ben") == []


async def test_it_brings_no_forgotten_person_back(bellhop, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        forget(partial(together, client), partial(run_script, client), "default", "jane")
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices = {"jane": [fcm("a")], "ben": [fcm("b")]}
        status, printed, complaints = await bellhop(stream, "jane", "ben", *APPS)
    assert (status, printed.splitlines()[0]) == (1, "1 registered, 0 already known, 0 disabled at Stream, 1 left out")
    assert "jane: the user was forgotten" in complaints
    assert stored(redis_url, "jane") == []


async def test_it_knows_who_is_forgotten_while_it_runs(bellhop, redis_url):
    class Devices(dict):
        def get(self, user, default=None):
            with redis.Redis.from_url(redis_url) as client:
                forget(partial(together, client), partial(run_script, client), "default", "jane")
            return super().get(user, default)

    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices = Devices(jane=[fcm("a")], ben=[fcm("b")])
        status, _, complaints = await bellhop(stream, "ben", "jane", "--per-minute", "10000", *APPS)
    assert (status, [user for _, user, _ in stream.asked]) == (1, ["ben"])
    assert "jane: the user was forgotten" in complaints
    assert stored(redis_url, "jane") == []


async def test_running_it_twice_changes_nothing(bellhop, redis_url, listed):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["ben-osei"] = listed
        await bellhop(stream, "ben-osei", *APPS)
        before = stored(redis_url, "ben-osei")
        status, out, _ = await bellhop(stream, "ben-osei", *APPS)
    assert (status, stored(redis_url, "ben-osei")) == (0, before)
    assert "0 registered, 3 already known" in out


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
async def test_users_come_from_a_file_for_one_tenant(bellhop, redis_url, tmp_path, encoding):
    (tmp_path / "users").write_text("jane\n\nben\n", encoding=encoding)
    live = {"tenant": "live", "api_keys": [KEY], "api_secrets": [SECRET]}
    apps = json.dumps([{"api_keys": ["x"], "api_secrets": ["y"]}, live])
    settings = {"STREAM_API_KEY": "", "STREAM_API_SECRET": "", "STREAM_APPS": apps}
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices = {"jane": [fcm("j")], "ben": [fcm("b")]}
        args = ("--file", str(tmp_path / "users"), "--tenant", "live", "--per-minute", "10000", *APPS)
        status, out, _ = await bellhop(stream, *args, **settings)
    assert (status, out.splitlines()[0]) == (0, "2 registered, 0 already known, 0 disabled at Stream, 0 left out")
    assert [device.token for device in stored(redis_url, "ben", "live")] == ["b"]
    assert stored(redis_url, "ben") == []


async def test_it_asks_no_faster_than_it_was_told(bellhop):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        await bellhop(stream, "a", "b", "c", "d", "--per-minute", "120", *APPS)
    times = [at for at, *_ in stream.asked]
    assert times[-1] - times[0] > 0.75, "1.5 s, but the first request may have arrived late"


async def test_a_spent_limit_is_waited_for(bellhop, redis_url):
    users = [f"user-{n}" for n in range(5)]
    async with StreamApiStandIn(KEY, SECRET, per_minute=2, window_s=2) as stream:
        stream.devices = {user: [fcm(f"token-{user}")] for user in users}
        status, out, _ = await bellhop(stream, *users, "--per-minute", "10000", *APPS)
    assert (status, out.splitlines()[0]) == (0, "5 registered, 0 already known, 0 disabled at Stream, 0 left out")
    assert [user for _, user, status in stream.asked if status == 200] == users
    assert all(status == 200 for *_, status in stream.asked), "X-RateLimit-Remaining said so before a 429 had to"


async def test_after_429_it_waits_until_the_time_that_stream_names(bellhop):
    async with StreamApiStandIn(KEY, SECRET, window_s=2) as stream:
        stream.broken = [429]
        began = time.time()
        status, *_ = await bellhop(stream, "jane", *APPS)
    assert status == 0
    assert [status for *_, status in stream.asked] == [429, 200]
    assert stream.asked[1][0] >= (began // 2 + 1) * 2 - 0.1


async def test_a_server_error_is_retried(bellhop):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.broken = [500, 503]
        stream.devices["ben"] = [fcm("b")]
        status, out, _ = await bellhop(stream, "ben", "--per-minute", "10000", *APPS)
    assert (status, out.splitlines()[0]) == (0, "1 registered, 0 already known, 0 disabled at Stream, 0 left out")


async def test_a_wrong_secret_ends_it_at_once(bellhop):
    async with StreamApiStandIn(KEY, "another-secret-that-is-long-enough-too") as stream:
        status, _, err = await bellhop(stream, "jane", "ben", *APPS)
    assert status == 1
    assert "Stream does not accept this app's API key and secret (status 401)" in err
    assert len(stream.asked) == 1


async def test_an_unusable_device_is_reported_without_its_token(bellhop, redis_url):
    devices = [
        fcm("good"),
        fcm("secret-pigeon", push_provider="pigeon"),
        fcm("secret token"),
        fcm("secret-nameless", push_provider_name="other"),
        "secret-text",
        fcm("secret-undated", created_at="soon"),
    ]
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["jane"] = devices
        status, out, err = await bellhop(stream, "jane", *APPS)
    assert (status, out.splitlines()) == (1, ["1 registered, 0 already known, 0 disabled at Stream, 5 left out"])
    assert "secret" not in out + err
    assert "jane: a device was left out: invalid push_provider" in err
    assert 'jane: a device was left out: no app is known for Stream\'s push provider "other" (fcm)' in err


@pytest.mark.parametrize(
    ("args", "settings", "sentence"),
    [
        ((), {}, "name users, or use --file"),
        (("jane", "--app", "x"), {}, "--app takes NAME=APP"),
        (("jane", "--tenant", "nobody"), {}, "no Stream app nobody: use --tenant default"),
        (("jane",), {"STREAM_DEVICE_APPS": "x"}, "must be name=value"),
    ],
)
async def test_what_it_cannot_work_with_is_one_sentence(bellhop, args, settings, sentence):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        status, _, err = await bellhop(stream, *args, **settings)
    assert status
    assert sentence in err
    assert not stream.asked


async def test_stream_out_of_reach_is_reported_once(bellhop):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        pass
    status, out, err = await bellhop(stream, *(f"user-{number}" for number in range(50)), *APPS)
    assert status == 1
    assert err.count("Stream cannot be reached at http://127.0.0.1:") == 1
    assert "user-" not in out + err


async def test_a_short_secret_causes_no_warning(bellhop, recwarn):
    async with StreamApiStandIn(KEY, "short") as stream:
        status, _, err = await bellhop(stream, "jane", *APPS, STREAM_API_SECRET="short")
    assert (status, "Warning" in err) == (0, False)
    assert not [
        warning for warning in recwarn if "Key" in type(warning.message).__name__ and "bellhop" in warning.filename
    ]


async def test_users_without_devices_are_named_with_their_number(bellhop, listed):
    users = ["ben-osei", *(f"user-{number:02}" for number in range(14))]
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["ben-osei"] = listed
        stream.devices["user-00"] = [fcm("t", disabled=True)]
        status, out, _ = await bellhop(stream, *users, "--per-minute", "10000", *APPS)
        _, document, _ = await bellhop(stream, *users, "--per-minute", "10000", *APPS, "--json")
    assert status == 0
    named = ", ".join(f"user-{number:02}" for number in range(12))
    assert out.splitlines()[-1] == f"14 users have no device at Stream: {named} and 2 more (--json lists all)"
    assert json.loads(document)["users_without_devices"] == users[1:]


async def test_phones_of_huawei_and_xiaomi_are_counted_and_said(bellhop, redis_url):
    huawei, xiaomi = (fcm(f"t-{name}", push_provider=name) for name in ("huawei", "xiaomi"))
    skip = PushSkipped(at=1, round=1, kind="ring", user="chen", outcome=Outcome.NO_DEVICES, reason="0 devices")
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices |= {"ben-osei": [fcm("t"), huawei], "chen": [huawei, xiaomi | {"disabled": True}]}
        status, out, err = await bellhop(stream, "ben-osei", "chen", "--per-minute", "10000", *APPS)
        _, document, _ = await bellhop(stream, "chen", *APPS, "--json")
        with redis.Redis.from_url(redis_url) as client:
            said = devices_today(client, "default", [encode(skip).encode()])
            stream.devices["chen"] = [fcm("new")]
            await bellhop(stream, "chen", *APPS)
            assert "Huawei" not in str(devices_today(client, "default", [encode(skip).encode()]))
    assert (status, err) == (0, "")
    assert out.splitlines()[1:] == [
        "not reachable, since Bellhop sends through Apple and Google only: 2 Huawei, 1 Xiaomi",
        "1 user has no other phone: chen",
    ]
    assert json.loads(document)["unreachable"] == {"huawei": 1, "xiaomi": 1}
    assert "chen had only phones of Huawei and Xiaomi" in said["chen"]


def test_push_providers_that_bellhop_does_not_reach_are_known():
    apps = [
        {"providers": [{"type": "xiaomi", "name": "x"}, {"type": "apn"}], "huawei": {"enabled": True}},
        {"providers": None, "huawei": {"enabled": False}, "xiaomi": None},
    ]
    known = [AppSettings(push_notifications=app).unreachable() for app in [*apps, None]]
    assert known == [["Huawei", "Xiaomi"], [], []]


async def test_the_environment_of_apples_tokens_can_be_given(bellhop, redis_url, listed):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["ben-osei"] = listed
        await bellhop(stream, "ben-osei", *APPS, "--environment", "sandbox")
    devices = stored(redis_url, "ben-osei")
    assert {(device.provider, device.environment) for device in devices} == {("apns", "sandbox"), ("fcm", "production")}


async def test_the_guides_line_for_cron_works(redis_url, tmp_path):
    """Cron has neither the virtual environment nor the variables."""
    (line,) = re.findall(r"^    15 3 \* \* \* (.*)$", Path("docs/moving.md").read_text(), re.MULTILINE)
    (tmp_path / "users.txt").write_text("jane\n")
    program = tmp_path / "bellhop"
    program.write_text(f'#!/bin/sh\nexec env PYTHONPATH={Path.cwd()} {sys.executable} -m bellhop "$@"\n')
    program.chmod(0o755)
    paths = {"/etc/bellhop/": f"{tmp_path}/", "/opt/bellhop/bin/": f"{tmp_path}/", "/var/lib/bellhop/": f"{tmp_path}/"}
    for path, ours in paths.items():
        assert path in line
        line = line.replace(path, ours)
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.devices["jane"] = [fcm("t")]
        variables = {"REDIS_URL": redis_url, "STREAM_API_URL": stream.url, "STREAM_API_KEY": KEY}
        variables |= {"STREAM_API_SECRET": SECRET, "STREAM_DEVICE_APPS": "firebase=project"}
        (tmp_path / "bellhop.env").write_text("".join(f"BELLHOP_{name}={value}\n" for name, value in variables.items()))
        clean = ["env", "-i", "PATH=/usr/bin:/bin", "/bin/sh", "-c", line]
        done = await asyncio.to_thread(subprocess.run, clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 registered")


async def test_stopped_by_stream_it_names_the_last_user(bellhop):
    async with StreamApiStandIn(KEY, SECRET) as stream:
        stream.broken = [200, 200, 401]
        status, _, err = await bellhop(stream, "ann", "ben", "cid", "dan", "--per-minute", "10000", *APPS)
    assert status == 1
    last = "Stopped: 2 of 4 users are copied, ben as the last one. To go on, run the command with the users after ben."
    assert last in err


ONLY = DeviceApps({}, {Provider.APNS: "com.only", Provider.FCM: "only"})


def test_the_one_configured_app_is_meant_by_every_name(listed):
    devices = [read_device("ben", listed_device, ONLY) for listed_device in listed]
    assert [device and device.app for device in devices] == [
        "com.only",
        "com.only",
        "only",
        None,
    ]


def test_an_iphone_at_google_is_known_by_its_push_provider():
    apps = ONLY._replace(ios=["firebase-ios"])
    named = [read_device("ben", fcm("t", push_provider_name=name), apps) for name in ("firebase-ios", "firebase")]
    assert [device.platform for device in named] == [Platform.IOS, None]
    assert "platform" in named[0].model_dump_json()
    assert "platform" not in named[1].model_dump_json()


def test_a_phone_that_stream_names_is_one_phone_here():
    device = read_device("ben", fcm("t", hardware_id="phone-1", voip=None, disabled=None), ONLY)
    assert device is not None
    assert device.hardware_id == "phone-1"
