"""An operator's mistakes, planted in a whole installation: `bellhop check` alone must name each of them."""

import asyncio
import json
import re
import time
from html import unescape
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from aiohttp import web
from aiohttp.test_utils import TestServer

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.google_script import fcm_error
from bellhop.sandbox.installation import API_KEY, Installation
from bellhop.sandbox.stream_rest import hook
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn
from bellhop.store.keys import LAST_WEBHOOK, METRICS_KEY, devices_key, user_key
from tests.e2e.bellhop_command import bellhop
from tests.e2e.test_turned_away import console
from tests.waiting import come_true
from tests.webhook.console.played_calls import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")
LATE_CLOCK = """
import time
real, real_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: real() - 600, lambda: real_ns() - 600 * 10**9
"""
"""For sitecustomize.py: the clock of the process is ten minutes late."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"CONSOLE_PASSWORD": PASSWORD}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


@pytest.fixture
def redis_client(installation):
    """Redis, which forgets after the test what the test registered."""
    with redis.Redis.from_url(installation.redis.url, decode_responses=True) as client:
        before = set(client.scan_iter("bellhop:devices:*"))
        yield client
        for key in set(client.scan_iter("bellhop:devices:*")) - before:
            client.delete(key)


async def checked(installation, level):
    """Run the check; returns its exit status and the sentences of a level."""
    status, output = await bellhop(installation, "check", "--json")
    findings = json.loads(output)["findings"]
    return status, [f"{found['subject']}: {found['sentence']}" for found in findings if found["level"] == level]


async def only_problem(installation):
    """Run the check, which must fail; returns the one problem that it names."""
    status, (problem,) = await checked(installation, "problem")
    assert status == 1
    return problem


async def service(installation):
    """Read the console's service page."""
    return unescape(await console(installation, "/console/service"))


async def test_strict_fails_for_a_warning(installation, monkeypatch):
    first = hook(f"{installation.url}/webhooks/stream")
    second = hook(f"{installation.url}/webhooks/stream?again")
    monkeypatch.setitem(installation.stream_api.app, "event_hooks", [first, second])
    assert (await bellhop(installation, "check"))[0] == 0
    assert (await bellhop(installation, "check", "--strict"))[0] == 1


async def test_two_hooks_that_lead_here(installation, monkeypatch):
    hooks = [hook(f"{installation.url}/webhooks/stream", "call.ring"), hook(f"{installation.url}/webhooks/stream?b")]
    monkeypatch.setitem(installation.stream_api.app, "event_hooks", hooks)
    _, warnings = await checked(installation, "warning")
    place = f"{installation.url}/webhooks/stream"
    (warning,) = [found for found in warnings if "twice" in found]
    assert warning.startswith(f"Stream default: phones may ring twice: two hooks lead here, {place} and {place}.")
    monkeypatch.setitem(installation.stream_api.app, "event_hooks", hooks[1:])
    monkeypatch.setitem(installation.stream_api.app, "webhook_url", hooks[1]["webhook_url"])
    assert "twice" not in str(await checked(installation, "warning")), "the older fields show the same hook again"


async def test_a_hook_that_sends_rings_only(installation, monkeypatch):
    hooks = [hook(f"{installation.url}/webhooks/stream", "call.ring")]
    monkeypatch.setitem(installation.stream_api.app, "event_hooks", hooks)
    status, problems = await checked(installation, "problem")
    assert status == 1
    assert problems[0].startswith("Stream default: does not send all events that Bellhop needs: add call.accepted, ")
    assert [problem.partition(": ")[2] for problem in problems[1:]] == [
        "without call.accepted and call.session_participant_joined, Bellhop does not learn who answered, and takes the "
        "call for missed",
        "without call.rejected, call.ended, call.session_ended and call.deleted, Bellhop does not learn who declined "
        "or hung up: phones may be rung after that",
    ]
    lesser = "Stream default: without call.missed, missed-call notices come some seconds later"
    assert lesser in (await checked(installation, "warning"))[1]
    assert "does not send all events that Bellhop needs: add call.accepted" in await service(installation)


async def test_the_last_webhook_is_named(installation, redis_client):
    redis_client.delete(LAST_WEBHOOK)
    assert "Stream default: no webhook has come yet" in (await checked(installation, "warning"))[1]
    assert not redis_client.exists(LAST_WEBHOOK), "the check's own webhook does not count"
    assert (await installation.stream.post(SampleCall().updated())).status == 200
    await come_true(lambda: redis_client.exists(LAST_WEBHOOK))
    _, right = await checked(installation, "ok")
    assert [found for found in right if "the last webhook (call.updated) came at 20" in found], right
    redis_client.hdel(METRICS_KEY, *[key for key in redis_client.hkeys(METRICS_KEY) if '"call.ring"' in key] or ["-"])
    unasked = "Stream default: webhooks come, but no call.ring yet: does the app create its calls with ring: true?"
    assert unasked in (await checked(installation, "warning"))[1]
    redis_client.delete(LAST_WEBHOOK)
    assert (await installation.stream.post(SampleCall().ring(at=time.time() - 600))).status == 200
    await come_true(lambda: redis_client.exists(LAST_WEBHOOK))
    _, warnings = await checked(installation, "warning")
    assert [found for found in warnings if " s after Stream sent it: look on Stream's dashboard" in found], warnings
    assert unasked not in warnings


async def test_a_wrong_secret_here(installation, redis_client):
    """Stream signs with another secret than all processes here have."""
    installation.stream_api.secrets[API_KEY] = "the-secret-that-stream-has-for-the-app"
    stream = StreamStandIn(installation.url, API_KEY, installation.stream_api.secrets[API_KEY], installation.http)
    try:
        assert (await stream.post(SampleCall().ring())).status == 401
        await come_true(lambda: "bad_signature" in str([*map(redis_client.hgetall, turned_away(redis_client))]))
        status, problems = await checked(installation, "problem")
        _, warnings = await checked(installation, "warning")
    finally:
        installation.stream_api.secrets[API_KEY] = installation.environment()["BELLHOP_STREAM_API_SECRET"]
    assert status == 1
    assert problems == [
        "Stream default: does not accept this API key and secret (status 401): copy both from Stream's dashboard"
    ]
    why = f"signature does not match: is the secret of key {API_KEY} right? (from 127.0.0.1)"
    assert f"webhooks: 1 webhook refused in the last hour: {why}" in warnings


def turned_away(client):
    return list(client.scan_iter("bellhop:turned-away:*"))


async def test_a_web_process_with_another_secret(installation):
    """Stream accepts the secret of the check, but the web process at the hook has another one."""
    installation.stream_api.secrets[API_KEY] = "the-new-secret-of-this-app-of-stream"
    installation.settings["STREAM_API_SECRET"] = "the-new-secret-of-this-app-of-stream"
    try:
        status, problems = await checked(installation, "problem")
    finally:
        installation.settings.pop("STREAM_API_SECRET")
        installation.stream_api.secrets[API_KEY] = installation.environment()["BELLHOP_STREAM_API_SECRET"]
    assert status == 1
    assert any("answers 401 to a test webhook: the web process there has another API secret" in one for one in problems)


async def test_no_web_process_where_the_hook_leads(installation, monkeypatch, redis_client):
    redis_client.delete(LAST_WEBHOOK)
    monkeypatch.setitem(installation.stream_api.app, "event_hooks", [hook("http://127.0.0.1:1/webhooks/stream")])
    problem = await only_problem(installation)
    assert problem.startswith("Stream default: no answer from http://127.0.0.1:1/webhooks/stream to a test webhook")


@pytest.mark.parametrize("said", ['{"status": "ok"}', '["status"]', '{"status": ', "<p>status</p>"])
async def test_another_program_where_the_hook_leads(installation, monkeypatch, redis_client, said):
    redis_client.delete(LAST_WEBHOOK)

    async def answer(_):
        return web.Response(text=said)

    app = web.Application()
    app.router.add_post("/webhooks/stream", answer)
    async with TestServer(app, host="127.0.0.1") as other:
        url = str(other.make_url("/webhooks/stream"))
        monkeypatch.setitem(installation.stream_api.app, "event_hooks", [hook(url)])
        problem = await only_problem(installation)
    assert problem.startswith(f"Stream default: {url} answers 200 to a test webhook: another program answers there")


async def test_devices_of_an_app_without_credentials(installation, redis_client):
    device = await installation.register("jane", Provider.FCM, Kind.ALERT, "jane:pixel")
    other = device.model_copy(update={"app": "another-project"})
    redis_client.hset(devices_key("default", "jane"), device.key, other.model_dump_json())
    problem = await only_problem(installation)
    assert problem.startswith(
        "fcm another-project: 1 device is of the Firebase project another-project, but the credentials are of "
        "example-calls: none of these phones rings"
    )


async def test_a_service_account_of_another_project(installation, redis_client):
    refusal = fcm_error(403, "PERMISSION_DENIED", code="SENDER_ID_MISMATCH")
    for number in range(3):
        await installation.register(f"ben-{number}", Provider.FCM, Kind.ALERT, f"ben:{number}")
        installation.google.script(f"ben:{number}", refusal)
    problem = await only_problem(installation)
    assert problem.startswith(
        "Firebase example-calls: the service account is of the project example-calls, and Google says that the "
        "phones' tokens are of another project (403 SENDER_ID_MISMATCH): every Android phone gets this answer."
    )
    assert installation.arrivals == [], "Google was asked only, and sent nothing"
    for number in range(3):
        installation.google.script(f"ben:{number}", refusal)
    await installation.stream.post(SampleCall(members=("ben-0", "ben-1", "ben-2")).ring())
    statuses = lambda: [redis_client.get(key) or "" for key in redis_client.scan_iter("bellhop:status:*")]  # noqa: E731
    await come_true(lambda: "wrong_app" in str(statuses()), within_s=30)
    page = await service(installation)
    assert "tokens are of another Firebase project than example-calls" in page
    assert "every Android phone gets this answer (403 SENDER_ID_MISMATCH)" in page
    assert "Use a service account of the project" in page


async def test_a_firebase_project_without_an_apns_key(installation):
    await installation.register("ben", Provider.FCM, Kind.ALERT, "ben:iphone")
    installation.google.script("ben:iphone", fcm_error(401, "UNAUTHENTICATED", code="THIRD_PARTY_AUTH_ERROR"))
    words = (
        "Firebase example-calls: Google could not pass the push on: for example-calls, Firebase has no valid APNs key"
    )
    _, warnings = await checked(installation, "warning")
    assert any(warning.startswith(words) for warning in warnings)


async def test_only_a_token_for_notices(installation, redis_client):
    await installation.register("ida", Provider.APNS, Kind.ALERT, "1d" * 32)
    words = "ida has 1 device for notices and none for calls: an iPhone rings by its VoIP token"
    assert f"devices: {words}" in (await checked(installation, "warning"))[1]
    status, output = await bellhop(installation, "send-test", "ida", "--kind", "ring")
    assert (status, output) == (1, f"{words}. Register it too, with kind voip\n")


async def test_ids_that_differ_in_capitals_only(installation, redis_client):
    await installation.register("ann[1]", Provider.APNS, Kind.VOIP, "aa" * 32)
    await installation.register("ann[1]", Provider.FCM, Kind.ALERT, "ann:pixel")
    words = "Ann[1] has no devices, but ann[1] has 2 devices: the ids differ in capitals only"
    assert (await installation.stream.post(SampleCall(members=("Ann[1]",)).ring())).status == 200
    assert any(warning.startswith(f"devices: {words}.") for warning in (await checked(installation, "warning"))[1])
    for command in (["send-test", "Ann[1]"], ["devices", "list", "Ann[1]"]):
        assert words in (await bellhop(installation, *command))[1]


async def test_explain_names_what_is_wrong_with_each_user(installation, redis_client):
    """One call of seven users, each with a mistake or a wish of their own."""
    await installation.register("mia", Provider.APNS, Kind.VOIP, "1e" * 32)
    await installation.register("ivo", Provider.APNS, Kind.ALERT, "2e" * 32)
    wishes = {
        "tom": {"mute_until": "2999-01-01T08:00:00+01:00"},
        "kay": {"quiet_hours": {"from": "00:00", "to": "00:00"}},
    }
    for user, wish in wishes.items():
        await installation.register(user, Provider.APNS, Kind.VOIP, user.encode().hex() * 6)
        redis_client.hset(user_key("default", user), "preferences", json.dumps(wish))
    for user in ("eva", "leo"):
        await installation.register(user, Provider.FCM, Kind.ALERT, f"{user}:pixel", f"{user}'s Pixel")
        installation.google.script(f"{user}:pixel", fcm_error(403, "PERMISSION_DENIED", code="SENDER_ID_MISMATCH"))
    call = SampleCall(members=("Mia", "ivo", "tom", "kay", "eva", "leo", "max"))
    assert (await installation.stream.post(call.ring())).status == 200
    people = await explained(installation, call.id, 7)
    for user in wishes:
        redis_client.delete(user_key("default", user))
    assert {user: person["verdict"] for user, person in people.items()} == {
        "Mia": "Mia was not rung: no device of Mia was registered.",
        "ivo": "ivo was not rung: ivo had 1 device for notices and none for calls: an iPhone rings by its VoIP token.",
        "tom": "tom was not rung: they had muted all calls until 2999-01-01 07:00 UTC.",
        "kay": "kay was not rung: the call began in their quiet hours (00:00 to 00:00 UTC, since no time zone is "
        "known).",
        "max": "max was not rung: no device of max was registered.",
        **{
            user: f"{user}'s Pixel was not rung: Google says that this phone's push token belongs to another Firebase "
            "project than example-calls, the project of Bellhop's service account (403 SENDER_ID_MISMATCH)."
            for user in ("eva", "leo")
        },
    }
    assert people["Mia"]["next"] == [
        "Today, Mia has no devices, but mia has 1 device: the ids differ in capitals only. Register devices under the "
        "id that Stream uses."
    ]
    assert "with kind voip" in people["ivo"]["next"][0]
    assert people["eva"]["next"][0].startswith("Every Android phone of this call got this answer: ")
    listed = json.loads((await bellhop(installation, "calls", "--user", "ivo", "--missed", "--json"))[1])["calls"]
    assert [found["cid"] for found in listed] == [call.cid]
    assert call.cid in (await bellhop(installation, "explain", "ivo", "--since", "1h"))[1]


async def explained(installation, call_id, count):
    """Explain a call by its id without its type, once something is decided about `count` people; returns them by id."""
    give_up = time.monotonic() + 30
    while True:
        _, output = await bellhop(installation, "explain", call_id, "--json")
        people = json.loads(output)["rounds"][0]["people"] if output.startswith("{") else []
        if len([person for person in people if person["tone"] in ("bad", "quiet")]) == count:
            return {person["user"]: person for person in people}
        assert time.monotonic() < give_up, output


async def test_a_worker_whose_clock_is_late(installation, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(LATE_CLOCK)
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
        installation.start("worker", "late-worker")
    try:
        await come_true(lambda: '"worker_started"' in installation.log("late-worker"), within_s=60)
        give_up = time.monotonic() + 60
        while not (late := [word for word in (await checked(installation, "warning"))[1] if "of worker" in word]):
            assert time.monotonic() < give_up
        assert "is 600 s behind Redis's: set both right" in late[0]
        _, right = await checked(installation, "ok")
        assert len([word for word in right if "clock: the clock of worker" in word]) == 1, "and the other one is right"
        for whose in ("this machine's", f"the clock of the web process at {installation.url}", "Google's", "Apple's"):
            assert any(word.startswith(f"clock: {whose}") for word in right), (whose, right)
        page = await service(installation)
        assert re.search(r"The clock of the worker process \S+ on \S+ is 600 s behind Redis", page)
        assert re.search(r"(?:599|600)\.\d s behind", page), "an answer of Redis that comes late makes it less precise"
        assert len(re.findall(r"as Redis's|0\.\d s (?:ahead|behind)", page)) >= 2, "a web process and the other worker"
    finally:
        installation.stop("late-worker")


async def test_credentials_that_apple_no_longer_accepts(installation, monkeypatch):
    """The first call learns it from Apple; calls in the pause after that say the same."""
    for user in ("pia", "ron"):
        await installation.register(user, Provider.APNS, Kind.VOIP, user.encode().hex() * 6)
    monkeypatch.setattr(installation.apple, "interfere", lambda token: AppleReply(403, "InvalidProviderToken"))
    for user in ("pia", "ron"):
        call = SampleCall(members=(user,), ring_ms=6_000)
        assert (await installation.stream.post(call.ring())).status == 200
        person = (await explained(installation, call.id, 1))[user]
        assert "InvalidProviderToken" in person["verdict"], user
        assert person["next"][0].startswith("Run `bellhop check`: it says what is wrong with the credentials"), user
    give_up = time.monotonic() + 30
    while "InvalidProviderToken" not in (page := await service(installation)):
        assert time.monotonic() < give_up, page  # the worker tells its state every second
        await asyncio.sleep(0.1)
    assert "Phones do not ring with" in page  # "this app", or "these apps" after other tests
    assert [said for said in (await checked(installation, "problem"))[1] if "InvalidProviderToken" in said]


async def test_a_web_process_on_another_redis(installation):
    """The check is started with another database than the web process, which Stream posts to."""
    status, output = await bellhop(installation, "check", "--json", REDIS_URL=installation.redis.url[:-1] + "5")
    problems = [found["sentence"] for found in json.loads(output)["findings"] if found["level"] == "problem"]
    place = f"127.0.0.1:{installation.redis.port}, database"
    assert status == 1
    assert (
        f"the web process at {installation.url}/webhooks/stream uses Redis {place} 0, and this check {place} 5: "
        "set the same BELLHOP_REDIS_URL for all processes"
    ) in problems
    assert not [found for found in (await checked(installation, "problem"))[1] if "uses Redis" in found]


async def test_a_worker_in_another_database(installation):
    """It is the last test: it stops the worker."""
    ours = f"127.0.0.1:{installation.redis.port}, database 0"
    theirs = f"127.0.0.1:{installation.redis.port}, database 3"
    installation.stop("worker-1")
    problem = await only_problem(installation)
    assert problem.startswith(f"workers: no worker is alive in Redis {ours}: start `bellhop worker`")
    installation.settings["REDIS_URL"] = installation.redis.url.rstrip("/").removesuffix("/0") + "/3"
    try:
        installation.start("worker", "far-worker")
    finally:
        installation.settings.pop("REDIS_URL")
    await come_true(lambda: '"worker_started"' in installation.log("far-worker"), within_s=60)
    sentence = f"no worker is alive in Redis {ours}, but 1 worker is alive in database 3 of the same server"
    give_up = time.monotonic() + 30
    while sentence not in str(problem):
        assert time.monotonic() < give_up, problem
        problem = await only_problem(installation)
    page = await service(installation)
    assert f"{sentence[0].upper()}{sentence[1:]}: set the same" in page
    assert f"<dd>{ours}</dd>" in page
    assert f'"redis":"{theirs}"' in installation.log("far-worker")
    assert f'"redis":"{ours}"' in installation.log("web")
