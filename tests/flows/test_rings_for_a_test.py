"""A user rings their own phones as a test. Nobody else hears of it, and no missed call comes from it."""

import asyncio

import jwt
import pytest

from bellhop.sandbox.installation import API_KEY, SECRET
from bellhop.store.homes import partition_with
from bellhop.store.keys import AGENDA, call_key, trail_key
from bellhop.trail import read_trail
from tests.flows.conftest import SOON_S, Flow

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Api:
    """The API, as this user's app or, without a user, a backend uses it."""

    def __init__(self, flow: Flow, user: str | None = None) -> None:
        self._installation = flow.installation
        who = {"user_id": user} if user else {"server": True}
        self._headers = {"Authorization": jwt.encode(who, SECRET, "HS256"), "X-Api-Key": API_KEY}

    async def __call__(self, method, path, status=200, body=None):
        url = f"{self._installation.url}/v1/users/{path}"
        async with self._installation.http.request(method, url, json=body, headers=self._headers) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


async def result_with(api, test, condition):
    """Read the result of a test until the condition holds for it."""
    async with asyncio.timeout(SOON_S):
        while not condition(result := await api("GET", f"me/test-ring/{test['id']}")):
            await asyncio.sleep(0.05)
        return result


def has_reports(result):
    """How many phones have reported."""
    return len([phone for phone in result["phones"] if phone["reports"] or phone["rang_after_ms"] is not None])


def has_accepted(result):
    """How many pushes were accepted. The worker records that a moment after they have arrived."""
    return len([phone for phone in result["phones"] if phone["outcome"] == "accepted"])


async def test_a_user_sees_of_each_phone_whether_it_rang(flow):
    ben = await flow.iphone("ben")
    pixel = await flow.android("ben")
    api = Api(flow, ben.user)
    test = await api("POST", "me/test-ring", 202, {"call_cid": "default:seen-by-sdk"})
    assert test["call_cid"] == "default:seen-by-sdk"
    await flow.rings(ben, pixel)
    [ring] = [one for one in flow.installation.apple.received if one.token in ben.tokens]
    assert ring.headers["apns-push-type"] == "voip"
    assert ring.payload["stream"]["call_cid"] == "default:seen-by-sdk"
    await flow.reports(pixel)
    result = await result_with(api, test, lambda result: has_reports(result) and has_accepted(result) == 2)
    rang = {phone["provider"]: phone["rang_after_ms"] for phone in result["phones"]}
    assert rang["apns"] is None
    assert 0 <= rang["fcm"] < 20_000
    assert all(phone["outcome"] == "accepted" and phone["accepted_after_ms"] >= 0 for phone in result["phones"])
    assert not result["over"]

    await flow.reports(ben, "declined")
    result = await result_with(api, test, lambda result: has_reports(result) > 1)
    assert [phone["reports"] for phone in result["phones"] if phone["provider"] == "apns"] == [["declined"]]

    await flow.idle()
    cid = f"default:bellhop-test-{test['id']}"
    store = flow.installation.store
    here = store.at(partition_with(call_key("default", cid), store.partitions))
    assert not await here.call("ZSCORE", AGENDA, f"default:{cid}"), "nobody settles it: no notice can follow"
    assert flow.seen(ben) == flow.seen(pixel) == ["call.ring"]
    trail = read_trail(await store.call("LRANGE", trail_key("default", cid), 0, -1))
    assert not [line for line in trail if line.what in ("settled", "asked", "carried")]
    told = [*flow.installation.stream_api.events.requests, *flow.installation.stream_api.rejects]
    assert not [one for one in told if cid in str(one)], "Stream hears nothing of it"


async def test_a_test_says_why_no_phone_rings(flow):
    user = f"nobody-{flow.suffix}"
    api = Api(flow, user)
    test = await api("POST", "me/test-ring", 202, {})
    result = await result_with(api, test, lambda result: "Nothing is known" not in result["summary"])
    assert (result["phones"], result["summary"]) == ([], f"{user} was not rung: no device of {user} was registered.")


async def test_only_the_user_and_a_backend_read_a_test(flow):
    ben = await flow.android("ben")
    backend = Api(flow)
    test = await backend("POST", f"{ben.user}/test-ring", 202, {})
    assert test["call_cid"] == f"default:bellhop-test-{test['id']}"
    assert (await backend("GET", f"{ben.user}/test-ring/{test['id']}"))["id"] == test["id"]
    await Api(flow, "jane")("GET", f"me/test-ring/{test['id']}", 404)
    await Api(flow, "jane")("GET", f"{ben.user}/test-ring/{test['id']}", 403)
    await Api(flow, ben.user)("GET", "me/test-ring/no-id", 404)
    await backend("POST", f"{ben.user}/test-ring", 422, {"call_cid": "no cid"})
    for _ in range(3):
        await backend("POST", f"{ben.user}/test-ring", 202, {})
    await flow.idle()


async def test_a_user_is_rung_for_tests_a_few_times_a_minute(flow):
    ben = f"ben-{flow.suffix}"
    api = Api(flow, ben)
    answers = []
    for _ in range(12):  # a minute of the clock may end between two requests
        try:
            await api("POST", "me/test-ring", 202, {})
            answers.append(202)
        except AssertionError as error:
            assert "too-many-writes" in str(error)
            answers.append(429)
    assert answers.count(429) >= 2
    await flow.idle()
    assert await flow.installation.store.call("EXISTS", call_key("default", "default:bellhop-test")) == 0
