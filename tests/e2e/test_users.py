"""The /v1 interface over real HTTP, and what it changes about who is rung."""

import asyncio
import json
import os
import re
import secrets
import signal
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import pytest_asyncio

from bellhop.sandbox.installation import API_KEY, BUNDLE, PROJECT, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.trail import PushAttempted
from tests.e2e.bellhop_command import bellhop
from tests.trails import trail_of
from tests.waiting import come_true
from webhook.api_errors import MEDIA_TYPE, ApiErrorKind

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER = {"tenant": "other", "api_keys": ["other-key"], "api_secrets": ["other-secret-that-is-long-enough"]}
LONG_SECRET = "a-second-secret-that-pyjwt-finds-long-enough"
WRITES = 40
SOON_S = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    apps = [{"api_keys": [API_KEY], "api_secrets": [SECRET, LONG_SECRET]}, OTHER]
    settings = {
        "STREAM_API_KEY": "",
        "STREAM_API_SECRET": "",
        "STREAM_APPS": json.dumps(apps),
        "MISSED_GRACE_S": "0",
        "API_WRITES_PER_MINUTE": str(WRITES),
        "USER_CALLS": "true",
        "BADGE": "true",
    }
    async with Installation(tmp_path_factory.mktemp("installation"), settings, web_push=True) as installation:
        yield installation


class Client:
    """An app on a user's phone, or a backend (without a user)."""

    def __init__(self, installation, user=None, *, secret=LONG_SECRET, key=API_KEY, **claims):
        who = {"user_id": user} if user else {"server": True}
        self.installation, self.headers = (
            installation,
            {"Authorization": jwt.encode(who | claims, secret, "HS256"), "X-Api-Key": key},
        )

    async def __call__(self, method, path, status=200, body=None, **options):
        async with self.installation.http.request(
            method, f"{self.installation.url}/v1/users/{path}", json=body, headers=self.headers, **options
        ) as response:
            text = await response.text()
            assert response.status == status, text
            if status >= 400:
                return problem(response, text)
            return json.loads(text) if text else None

    async def devices(self, user="me"):
        return (await self("GET", f"{user}/devices"))["devices"]


def problem(response, text):
    """Check a problem document against the one table; returns which it is."""
    assert response.content_type == MEDIA_TYPE
    document = json.loads(text)
    found = next(problem for problem in ApiErrorKind if problem.type == document["type"])
    assert (document["status"], document["title"]) == (response.status, found.title) == (found.status, found.title)
    if response.status == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"
    return found


async def test_a_revoked_token_is_refused(installation, name):
    now = int(time.time())
    old, new, dateless = (
        Client(installation, name, iat=now - 60),
        Client(installation, name, iat=now),
        Client(installation, name),
    )
    for client in (old, new, dateless):
        assert await client.devices() == []
    revoked = datetime.fromtimestamp(now - 30, UTC).isoformat()
    user = {"id": name, "revoke_tokens_issued_before": revoked}
    changed = {"type": "user.updated", "created_at": datetime.now(UTC).isoformat(), "user": user}
    assert (await installation.stream.post(changed)).body["status"] == "taken"
    for client in (old, dateless):
        assert await client("GET", "me/devices", 401) is ApiErrorKind.REVOKED_TOKEN
    assert await new.devices() == []
    assert await Client(installation).devices(name) == []


async def test_a_token_of_the_second_of_a_revocation_is_new(installation, name):
    """A backend revokes all tokens and makes a new one at once. `iat` has whole seconds, Stream's time has parts."""
    now = int(time.time())
    user = {"id": name, "revoke_tokens_issued_before": datetime.fromtimestamp(now - 30 + 0.7, UTC).isoformat()}
    changed = {"type": "user.updated", "created_at": datetime.now(UTC).isoformat(), "user": user}
    assert (await installation.stream.post(changed)).body["status"] == "taken"
    assert await Client(installation, name, iat=now - 30).devices() == []
    assert await Client(installation, name, iat=now - 31)("GET", "me/devices", 401) is ApiErrorKind.REVOKED_TOKEN


@pytest.mark.parametrize("place", ["user", "member", "creator"])
async def test_an_event_of_a_call_revokes_tokens_too(installation, name, place):
    now = int(time.time())
    old, new = Client(installation, name, iat=now - 60), Client(installation, name, iat=now)
    ring = SampleCall(members=(name, f"{name}-2")).ring()
    users = {"user": ring["user"], "member": ring["members"][0]["user"], "creator": ring["call"]["created_by"]}
    revoked = datetime.fromtimestamp(now - 30, UTC).isoformat()
    users[place] |= {"id": name, "revoke_tokens_issued_before": revoked}
    assert (await installation.stream.post(ring)).body["status"] == "taken"
    assert await old("GET", "me/devices", 401) is ApiErrorKind.REVOKED_TOKEN
    assert await new.devices() == []
    # A later event without the field, or with null, does not tell that the old tokens are valid again.
    for fields in ({}, {"revoke_tokens_issued_before": None}):
        user = {"id": name, **fields}
        await installation.stream.post(
            {"type": "user.updated", "created_at": datetime.now(UTC).isoformat(), "user": user}
        )
        ring["user"] = user
        await installation.stream.post(ring)
    assert await old("GET", "me/devices", 401) is ApiErrorKind.REVOKED_TOKEN


@pytest.fixture
def name():
    """A user id that no other test has."""
    return f"jane-{secrets.token_hex(4)}"


def android(token, **fields):
    return {"provider": "fcm", "token": token, "app": PROJECT} | fields


def iphone(kind="voip", **fields):
    return {"provider": "apns", "kind": kind, "token": secrets.token_hex(32), "app": BUNDLE} | fields


async def test_an_app_registers_its_phone_and_is_rung(installation, name):
    app = Client(installation, name)
    device = await app("POST", "me/devices", body=android(f"t-{name}", name="Jane's Pixel"))
    assert "platform" not in device
    device = await app("POST", "me/devices", body=android(f"t-{name}", name="Jane's Pixel", platform="android"))
    assert device["platform"] == "android"
    assert (device["provider"], device["name"], "token" in device) == ("fcm", "Jane's Pixel", False)
    assert abs(datetime.fromisoformat(device["registered_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert await app.devices() == await app.devices(name) == [device]
    call = SampleCall(members=(name,))
    await installation.stream.post(call.ring())
    assert await arrived(installation, f"t-{name}") == ["call.ring"]


async def test_a_browser_is_rung_with_its_page_closed(installation, name):
    async with installation.http.get(f"{installation.url}/v1/web-push/key") as response:
        key = await response.json()
    service = installation.push_service
    gone, browser = (service.subscribe(key["public_key"]) for _ in range(2))
    app, ids = Client(installation, name), []
    for subscribed in (gone, browser):
        body = {"provider": "webpush", "app": key["app"], **subscribed.subscription}
        ids.append((await app("POST", "me/devices", body=body))["id"])
    service.unsubscribe(gone)
    call = SampleCall(members=(name,))
    await installation.stream.post(call.ring())
    await come_true(lambda: service.pushes(browser) and service.refused)
    await installation.stream.post(call.rejected(name, "busy"))
    await come_true(lambda: len(service.pushes(browser)) == 2)
    ring, missed = service.pushes(browser)
    assert (ring.data["type"], ring.data["call_cid"], ring.data["receiver_id"]) == ("call.ring", call.cid, name)
    assert missed.data["type"] == "call.missed"
    assert (missed.data["title"], missed.data["body"]) == (ring.data["missed_title"], ring.data["missed_body"])
    assert missed.headers["Topic"] == ring.headers["Topic"], "a ring that still waits is replaced"
    attempted = {("webpush", ids[0], "token_dead"), ("webpush", ids[1], "accepted")}
    give_up = time.monotonic() + SOON_S
    while await attempts(installation, call) != attempted or [one["id"] for one in await app.devices()] != [ids[1]]:
        assert time.monotonic() < give_up, (await attempts(installation, call), "the ended subscription leaves")
        await asyncio.sleep(0.05)
    assert service.refused[-1].status == 410
    again = SampleCall(members=(name,))
    await installation.stream.post(again.ring())
    await come_true(lambda: len(service.pushes(browser)) == 3)
    await installation.stream.post(again.accepted(name))
    await come_true(lambda: len(service.pushes(browser)) == 4)
    over = service.pushes(browser)[3]
    assert (over.data["type"], over.data["call_cid"]) == ("call.ring_over", again.cid)
    assert over.headers["Topic"] == service.pushes(browser)[2].headers["Topic"]
    status, output = await bellhop(installation, "send-test", name)
    assert (status, f"browser {ids[1][:6]}" in output, "Web Push accepted the push" in output) == (0, True, True)
    _, explained = await bellhop(installation, "explain", call.cid, name)
    assert f"browser {ids[0][:6]}" in explained
    assert "Web Push says that the app was removed" in explained


@pytest.mark.parametrize("body", [{"app": BUNDLE + ".typo"}, {"app": PROJECT}])
async def test_an_app_that_nobody_can_ring_is_refused(installation, name, body):
    app = Client(installation, name)
    assert await app("POST", "me/devices", 422, body=iphone() | body) is ApiErrorKind.INVALID_BODY
    assert await app.devices() == []


async def test_a_phone_reports_why_it_stays_silent(installation, name):
    app, backend = Client(installation, name), Client(installation)
    health = {
        "os": "android",
        "full_screen_intent": False,
        "model": "Nosuch Phone 9",
        "mood": "new",
        "ring_volume": "x",
    }
    device = await app("POST", "me/devices", body=android(f"t-{name}", health=health))
    for answer in (await backend("GET", f"{name}/reachability"), own := await app("GET", "me/reachability")):
        assert answer["rings"] == "maybe"
        (reason,) = [reason for reason in answer["reasons"] if reason["effect"] != "note"]
        assert (reason["word"], reason["device"]) == ("full_screen_off", device["id"])
        assert "Special app access" in reason["path"]
    assert "no_health" not in [reason["word"] for reason in own["reasons"]]
    await app("POST", "me/devices", body=android(f"t-{name}", health={"full_screen_intent": True}))
    assert (await app("GET", "me/reachability"))["rings"] == "yes"
    await app("PUT", "me/preferences", body={"never_from": ["tom"]})
    assert (await app("GET", "me/reachability?caller=tom"))["reasons"][0]["word"] == "caller_blocked"
    assert await app("GET", "ben/reachability", 403) is ApiErrorKind.OTHER_USER
    assert await backend("GET", "me/reachability", 403) is ApiErrorKind.USER_ID_REQUIRED
    await app("DELETE", f"me/devices/{device['id']}", 204)
    assert (await app("GET", "me/reachability"))["rings"] == "no"
    for process in ("web", "worker-1"):
        for words in ("full_screen", "Nosuch", "health"):
            assert words not in installation.log(process)


@pytest.mark.parametrize("health", ["x", 7, []])
async def test_health_is_an_object(installation, name, health):
    app = Client(installation, name)
    assert await app("POST", "me/devices", 422, body=android(f"t-{name}", health=health)) is ApiErrorKind.INVALID_BODY


async def test_registering_again_is_the_same_device(installation, name):
    app = Client(installation, name)
    ids = {(await app("POST", "me/devices", body=android(f"t-{name}")))["id"] for _ in range(3)}
    assert [device["id"] for device in await app.devices()] == list(ids)


async def test_a_removed_device_is_gone_and_cannot_be_removed_twice(installation, name):
    app = Client(installation, name)
    device = await app("POST", "me/devices", body=android(f"t-{name}"))
    assert await app("DELETE", f"me/devices/{device['id']}", 204) is None
    assert await app.devices() == []
    assert await app("DELETE", f"me/devices/{device['id']}", 404) is ApiErrorKind.DEVICE_NOT_FOUND


async def test_a_backend_acts_for_any_user_of_its_app_only(installation, name):
    backend, other = Client(installation), Client(installation, secret=OTHER["api_secrets"][0], key="other-key")
    await backend("POST", f"{name}/devices", body=android(f"t-{name}"))
    assert len(await Client(installation, name).devices()) == len(await backend.devices(name)) == 1
    assert await other.devices(name) == []
    assert await backend("GET", "me/devices", 403) is ApiErrorKind.USER_ID_REQUIRED


async def test_a_user_acts_for_nobody_else(installation, name):
    app = Client(installation, name)
    for method, path, body in (
        ("GET", "ben/devices", None),
        ("POST", "ben/devices", android("t")),
        ("DELETE", f"ben/devices/{'0' * 20}", None),
        ("GET", "ben/contact", None),
        ("PUT", "ben/preferences", {}),
    ):
        assert await app(method, path, 403, body) is ApiErrorKind.OTHER_USER


@pytest.mark.parametrize(
    ("client", "refusal"),
    [
        ({"secret": "x" * 40}, ApiErrorKind.INVALID_TOKEN),
        ({"secret": OTHER["api_secrets"][0]}, ApiErrorKind.INVALID_TOKEN),
        ({"key": "nobodys"}, ApiErrorKind.UNKNOWN_APP),
        ({"exp": 1}, ApiErrorKind.EXPIRED_TOKEN),
        ({"nbf": 2**40}, ApiErrorKind.TOKEN_NOT_YET_VALID),
    ],
)
async def test_a_token_that_does_not_count_opens_nothing(installation, name, client, refusal):
    for method, path in (("GET", "me/devices"), ("PUT", "me/contact"), ("DELETE", f"me/devices/{'0' * 20}")):
        assert await Client(installation, name, **client)(method, path, 401) is refusal


async def test_the_api_key_may_be_in_the_query_as_in_streams_api(installation, name):
    app = Client(installation, name)
    del app.headers["X-Api-Key"]
    assert await app("GET", "me/devices", 401) is ApiErrorKind.UNKNOWN_APP
    assert await app("GET", f"me/devices?api_key={API_KEY}") == {"devices": []}
    app.headers["Authorization"] = ""
    assert await app("GET", "me/devices", 401) is ApiErrorKind.MISSING_TOKEN


async def test_the_twenty_sixth_device_makes_the_oldest_leave(installation, name):
    app = Client(installation, name)
    for number in range(26):
        await app("POST", "me/devices", body=android(f"{name}-{number}", name=f"phone {number}"))
    assert [device["name"] for device in await app.devices()] == [f"phone {number}" for number in range(1, 26)]


async def test_a_push_token_that_moves_rings_only_for_its_new_user(installation, name):
    first, second = Client(installation, name), Client(installation, f"{name}-2")
    await first("POST", "me/devices", body=android(f"t-{name}"))
    await second("POST", "me/devices", body=android(f"t-{name}"))
    assert await first.devices() == []
    await installation.stream.post(SampleCall(members=(name, f"{name}-2")).ring())
    await arrived(installation, f"t-{name}")
    pushes = [one.message["data"]["receiver_id"] for one in installation.google.received if one.token == f"t-{name}"]
    assert pushes == [f"{name}-2"]


async def test_two_tokens_of_one_phone_ring_it_once(installation, name):
    app = Client(installation, name)
    voip = iphone(hardware_id="phone")
    await app("POST", "me/devices", body=android(f"t-{name}", hardware_id="phone"))
    await app("POST", "me/devices", body=voip)
    call = SampleCall(members=(name,))
    await installation.stream.post(call.ring())
    assert await arrived(installation, voip["token"]) == ["call.ring"]
    assert await skips(installation, call) == {"same_phone"}
    assert types(installation, f"t-{name}") == []


async def test_contact_and_preferences_are_read_back_and_replaced(installation, name):
    app = Client(installation, name)
    contact = {"email": "jane@example.org", "language": "pt-BR", "time_zone": "America/Sao_Paulo"}
    nothing = {"email": None, "language": None, "time_zone": None}
    assert await app("GET", "me/contact") == nothing
    assert await app("PUT", "me/contact", body=contact) == await app("GET", "me/contact") == contact
    assert await app("PUT", "me/contact", body={"language": "de"}) == nothing | {"language": "de"}
    preferences = {
        "mute_until": "2030-01-01T00:00:00Z",
        "quiet_hours": {"from": "22:00", "to": "07:00", "let_second_call_through": False, "days": ["sat", "sun"]},
        "email": False,
        "always_from": ["sara-lind"],
        "never_from": ["tom-hale"],
    }
    assert await app("PUT", "me/preferences", body=preferences) == preferences
    assert await app("GET", "me/preferences") == preferences
    default = {"mute_until": None, "quiet_hours": None, "email": True}
    assert await app("PUT", "me/preferences", body={}) == await app("GET", "me/preferences") == default


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("devices", {"provider": "apns", "kind": "voip", "token": "../../x", "app": BUNDLE}, "#/token"),
        ("devices", {"provider": "apns", "kind": "loud", "token": "ab" * 32, "app": BUNDLE}, "#/kind"),
        ("devices", {"provider": "pigeon", "token": "x", "app": "x"}, "#"),
        ("devices", {"provider": "fcm", "token": "a token", "app": "x"}, "#/token"),
        ("devices", {"provider": "fcm", "token": "x", "app": "x", "registered_at": 0}, "#/registered_at"),
        ("contact", {"email": "jane@example.org\r\nBcc: all@example.org"}, "#/email"),
        ("contact", {"time_zone": "Mars/Phobos"}, "#/time_zone"),
        ("preferences", {"mute_until": 1}, "#/mute_until"),
        ("preferences", {"mute_until": "2030-01-01T00:00:00"}, "#/mute_until"),
        ("preferences", {"quiet_hours": {"from": "7", "to": "08:00"}}, "#/quiet_hours/from"),
        ("preferences", {"quiet_hours": {"from": "07:00", "to": "08:00", "days": ["all"]}}, "#/quiet_hours/days/0"),
        ("preferences", {"never_from": [""]}, "#/never_from/0"),
        ("devices", {"provider": "fcm", "token": "x", "app": "another-project"}, "#/app"),
        ("preferences", [], "#"),
    ],
)
async def test_a_body_that_is_wrong_is_told_where(installation, name, path, body, pointer):
    app = Client(installation, name)
    method = "POST" if path == "devices" else "PUT"
    url = f"{installation.url}/v1/users/me/{path}"
    async with installation.http.request(method, url, json=body, headers=app.headers) as response:
        text = await response.text()
        assert problem(response, text) is ApiErrorKind.INVALID_BODY
        (error,) = json.loads(text)["errors"]
        assert error["pointer"] == pointer
        assert re.match("is |must |has |no ", error["detail"]), "a sentence about the field, for people"
        if isinstance(body, dict) and len(body.get("token", "")) > 10:
            assert body["token"] not in text, "a token is a secret"


@pytest.mark.parametrize(
    ("data", "content_type", "refusal"),
    [
        (b"{", "application/json", ApiErrorKind.INVALID_JSON),
        (b"\xff", "application/json", ApiErrorKind.INVALID_JSON),
        (b'{"email": "\\ud800"}', "application/json", ApiErrorKind.INVALID_JSON),
        (b"[" * 9000, "application/json", ApiErrorKind.INVALID_JSON),
        (b"{}", "text/plain", ApiErrorKind.UNSUPPORTED_MEDIA_TYPE),
        (b" " * 16_385, "application/json", ApiErrorKind.BODY_TOO_LARGE),
        (b" " * 900_000, "application/json", ApiErrorKind.BODY_TOO_LARGE),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_problem_of_its_own(installation, name, data, content_type, refusal):
    headers = Client(installation, name).headers | {"Content-Type": content_type}
    for chunked in (False, True):
        async with installation.http.put(
            f"{installation.url}/v1/users/me/contact", data=_chunks(data) if chunked else data, headers=headers
        ) as response:
            assert problem(response, await response.text()) is refusal


async def _chunks(data):
    for at in range(0, len(data), 8192):
        yield data[at : at + 8192]


async def test_unknown_addresses_and_methods_are_problem_documents(installation, name):
    app = Client(installation, name)
    assert await app("GET", "", 404) is ApiErrorKind.NOT_FOUND
    assert await app("GET", "me/pets", 404) is ApiErrorKind.NOT_FOUND
    assert await Client(installation)("GET", "%0a/devices", 404) is ApiErrorKind.NOT_FOUND
    assert await Client(installation)("GET", "x" * 256 + "/devices", 404) is ApiErrorKind.NOT_FOUND
    async with installation.http.put(f"{installation.url}/v1/users/me/devices", headers=app.headers) as response:
        assert problem(response, await response.text()) is ApiErrorKind.METHOD_NOT_ALLOWED
        assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


async def test_the_rate_limit_of_one_user_does_not_affect_others(installation, name):
    app = Client(installation, name)
    for _ in range(2 * WRITES + 2):  # the minute may end in between
        async with installation.http.put(
            f"{installation.url}/v1/users/me/contact", json={}, headers=app.headers
        ) as response:
            text = await response.text()
        if response.status == 429:
            break
    assert problem(response, text) is ApiErrorKind.RATE_LIMITED
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert await app.devices() == [], "reading is not held back"
    await Client(installation, f"{name}-2")("PUT", "me/contact", body={})
    await Client(installation)("PUT", f"{name}/contact", body={})


async def test_a_muted_user_is_not_rung_and_the_trail_shows_why(installation, name):
    app = Client(installation, name)
    await app("POST", "me/devices", body=android(f"t-{name}"))
    until = datetime.now(UTC) + timedelta(hours=1)
    await app("PUT", "me/preferences", body={"mute_until": until.isoformat()})
    call = SampleCall(members=(name,))
    await installation.stream.post(call.ring())
    assert await skips(installation, call) == {"muted"}
    await installation.stream.post(call.rejected(call.caller, "cancel"))
    assert await skips(installation, call, kind="missed") == {"muted"}
    assert types(installation, f"t-{name}") == []
    await app("PUT", "me/preferences", body={})
    await installation.stream.post(SampleCall(members=(name,)).ring())
    assert await arrived(installation, f"t-{name}") == ["call.ring"]


async def test_a_missed_call_is_on_the_icon_until_it_is_seen(installation, name):
    app, phone = Client(installation, name), iphone("alert")
    await app("POST", "me/devices", body=phone)

    async def badge(number):
        """The number on the icon once the phone has shown so many notices."""
        shown = lambda: [arrival for arrival in installation.arrivals if arrival.token == phone["token"]]  # noqa: E731
        await come_true(lambda: len(shown()) == number, SOON_S)
        return shown()[-1].payload["aps"]["badge"]

    calls = [SampleCall(f"sara-{name}", (name,)), SampleCall(f"tom-{name}", (name,))]
    for number, call in enumerate(calls, 1):
        await installation.stream.post(call.ring())
        await installation.stream.post(call.missed())
        assert await badge(number) == number
    assert [call["seen"] for call in (await app("GET", "me/calls"))["calls"]] == [False, False]
    assert await app("POST", "me/calls/seen", body={"call_cids": [calls[0].cid]}) == {"unseen": 1}
    assert await app("POST", "me/calls/seen", body={"until": datetime.now(UTC).isoformat()}) == {"unseen": 0}
    await installation.stream.post(SampleCall(f"ben-{name}", (name,)).notification())
    assert await badge(3) == 0


async def test_what_a_user_set_at_stream_keeps_phones_silent(installation, name):
    app = Client(installation, name)
    await app("POST", "me/devices", body=android(f"t-{name}"))
    call = SampleCall(members=(name,))
    for fields, reason in (
        ({"push_notifications": {"disabled": True}}, "muted"),
        ({"push_notifications": {"disabled": False}, "blocked_user_ids": [call.caller]}, "caller_blocked"),
    ):
        call = SampleCall(members=(name,))
        ring = call.ring()
        ring["members"][0]["user"] |= fields
        await installation.stream.post(ring)
        assert await skips(installation, call) == {reason}
        await installation.stream.post(call.rejected(call.caller, "cancel"))
        assert await skips(installation, call, kind="missed") == {reason}
    assert types(installation, f"t-{name}") == []


ALL_DAY = {"quiet_hours": {"from": "00:00", "to": "00:00"}}


async def test_quiet_hours_let_a_second_call_of_one_caller_through(installation, name):
    app = Client(installation, name)
    await app("POST", "me/devices", body=android(f"t-{name}"))
    await app("PUT", "me/preferences", body=ALL_DAY)
    first, another, second = (SampleCall(caller, (name,)) for caller in ("sara-lind", "tom-hale", "sara-lind"))
    for call in (first, another):
        await installation.stream.post(call.ring())
        assert await skips(installation, call) == {"quiet_hours"}
        await installation.stream.post(call.rejected(call.caller, "cancel"))
        assert await skips(installation, call, kind="missed") == {"quiet_hours"}
    assert types(installation, f"t-{name}") == []
    await installation.stream.post(second.ring())
    assert await arrived(installation, f"t-{name}") == ["call.ring"]
    await installation.stream.post(second.rejected("sara-lind", "cancel"))
    # On Android this push is what ends the ringing, so it goes where the ring went.
    assert await arrived(installation, f"t-{name}", 2) == ["call.ring", "call.missed"]


async def test_quiet_hours_without_a_second_call_let_nothing_through(installation, name):
    app = Client(installation, name)
    await app("POST", "me/devices", body=android(f"t-{name}"))
    await app(
        "PUT", "me/preferences", body={"quiet_hours": ALL_DAY["quiet_hours"] | {"let_second_call_through": False}}
    )
    for _ in range(2):
        call = SampleCall(members=(name,))
        await installation.stream.post(call.ring())
        assert await skips(installation, call) == {"quiet_hours"}
    assert types(installation, f"t-{name}") == []


async def test_no_log_line_holds_a_token_or_an_address(installation):
    for log in ("web", "worker-1"):
        text = installation.log(log)
        assert "t-jane" not in text
        assert "example.org" not in text
        assert LONG_SECRET not in text


async def test_without_redis_it_is_a_503_soon(installation, name):
    """The last one: it takes Redis away from the others."""
    app = Client(installation, name)
    os.kill(installation.redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        found = [await app("GET", "me/contact", 503), await app("PUT", "me/contact", 503, {})]
        took_s = time.monotonic() - began
    finally:
        os.kill(installation.redis.pid, signal.SIGCONT)
    assert set(found) == {ApiErrorKind.REDIS_UNAVAILABLE}
    assert took_s < 15
    assert "Traceback" not in installation.log("web")


async def attempts(installation, call):
    lines = [line for line in await trail_of(installation.store, call.cid) if isinstance(line, PushAttempted)]
    return {(line.provider, line.device, line.outcome) for line in lines}


def types(installation, token):
    google = [one.message["data"]["type"] for one in installation.google.received if one.token == token]
    return google + [one.payload["stream"]["type"] for one in installation.apple.received if one.token == token]


async def arrived(installation, token, count=1):
    """The types of the pushes to a token, once there are `count`."""
    give_up = time.monotonic() + SOON_S
    while len(types(installation, token)) < count:
        assert time.monotonic() < give_up, installation.log("worker-1")[-3000:]
        await asyncio.sleep(0.02)
    return types(installation, token)


async def skips(installation, call, kind="ring"):
    """Why pushes of a kind were skipped, once one was."""
    give_up = time.monotonic() + SOON_S
    while True:
        lines = [line for line in await trail_of(installation.store, call.cid) if line.what == "skipped"]
        if found := {line.outcome for line in lines if line.kind == kind}:
            return found
        assert time.monotonic() < give_up, await trail_of(installation.store, call.cid)
        await asyncio.sleep(0.02)
