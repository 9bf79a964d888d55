"""One user's rings cost others nothing: what a bound turns away shows on the trail, in `check` and in a metric."""

import asyncio
import time

import pytest
import pytest_asyncio
import redis

from bellhop.domain.device import Kind, Provider
from bellhop.explain.explanation import explain
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.telemetry.turned_away import read_last_hour
from tests.e2e.bellhop_command import run_bellhop
from tests.trails import trail_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "token-of-the-metrics"
BOUNDS = {"RINGS_PER_CALLER": "12", "RINGS_PER_CALL": "6", "RINGS_PER_CALLEE": "5", "OPEN_ROUNDS_PER_CALL": "50"}
UNCOUNTED = 3
"""A process does not count the first rings of a minute in Redis."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation")
    async with Installation(folder, BOUNDS | {"METRICS_TOKEN": TOKEN, "RING_MEMBERS": "4"}) as installation:
        await installation.register("kim", Provider.APNS, Kind.VOIP, "b0" * 32)
        yield installation


async def verdict(installation, event, **options):
    reply = await installation.stream.post(event, **options)
    assert reply.status == 200, reply
    return reply.body["status"]


async def explained(installation, call, user=""):
    return explain(call.cid, await trail_of(installation.store, call.cid), user)


async def until(look, what):
    give_up = time.monotonic() + 20
    while not await look():
        assert time.monotonic() < give_up, f"never: {what}"
        await asyncio.sleep(0.05)


async def test_a_call_rings_a_number_of_people_a_minute(installation, one_minute):
    call = SampleCall(caller="sara", members=("ben-osei", "jane-morel"))
    verdicts = [await verdict(installation, call.ring()) for _ in range(UNCOUNTED + 4)]
    assert verdicts == ["taken"] * (UNCOUNTED + 3) + ["turned_away"], "two people each"
    other = SampleCall(caller="sara", members=("jane-morel",))
    assert await verdict(installation, other.ring()) == "taken", "another call rings"

    told = await explained(installation, call, "ben-osei")
    assert "ben-osei was not rung: the call had rung too many people in that minute" in told.summary
    assert any("BELLHOP_RINGS_PER_CALL " in advice for advice in told.rounds[-1].people[0].next)

    ring = call.ring()
    assert await verdict(installation, ring, webhook_id="the-same") == "turned_away"
    assert await verdict(installation, ring, webhook_id="the-same") == "already"
    for event in (call.accepted("ben-osei"), call.rejected("jane-morel"), call.rejected("sara"), call.ended()):
        assert await verdict(installation, event) == "taken", "what ends a ring always counts"


async def test_a_caller_rings_a_number_of_people_a_minute(installation, one_minute):
    calls = [SampleCall(caller="tom", members=("ben-osei", "jane-morel")) for _ in range(UNCOUNTED + 7)]
    verdicts = [await verdict(installation, call.ring()) for call in calls]
    assert verdicts == ["taken"] * (UNCOUNTED + 6) + ["turned_away"]
    assert await verdict(installation, SampleCall(caller="ann", members=("ben-osei",)).ring()) == "taken"
    assert (
        "the caller had called too many people"
        in (await explained(installation, calls[-1])).rounds[0].people[0].verdict
    )


async def test_a_repeated_ring_counts_once(installation, one_minute):
    call = SampleCall(caller="eve", members=("ben-osei", "jane-morel"))
    for _ in range(UNCOUNTED):
        await verdict(installation, call.ring())
    ring = call.ring()
    for number in range(5):
        assert await verdict(installation, ring, webhook_id=f"copy-{number}") in ("taken", "already")
    assert await verdict(installation, call.ring()) == "taken"


async def test_a_callee_rings_a_number_of_times_a_minute(installation, one_minute):
    calls = [SampleCall(caller=f"caller-{number}", members=("kim",)) for number in range(UNCOUNTED + 6)]
    for call in calls:
        assert await verdict(installation, call.ring()) == "taken"

    async def decided():
        trails = [await trail_of(installation.store, call.cid) for call in calls]
        return all({"attempted", "skipped"} & {line.what for line in trail} for trail in trails)

    await until(decided, "every ring is sent or skipped")
    rung = [arrival for arrival in installation.arrivals if arrival.cid in {call.cid for call in calls}]
    assert len(rung) == UNCOUNTED + 5
    verdicts = [(await explained(installation, call, "kim")).summary for call in calls]
    assert sum("they had been called too often in that minute" in text for text in verdicts) >= 1, verdicts


async def test_only_some_members_of_a_ring_ring(installation, one_minute):
    call = SampleCall(caller="max", members=tuple(f"member-{number}" for number in range(7)))
    assert await verdict(installation, call.ring()) == "taken"
    told = await explained(installation, call)
    assert len(told.rounds[0].people) == 4
    assert any("ignored 3 more members" in entry.sentence for entry in told.rounds[0].timeline)
    assert [entry.outcome for entry in told.rounds[0].timeline if entry.what == "received"] == ["too_many_members"]


async def test_what_was_turned_away_shows_in_check(installation, one_minute):
    call = SampleCall(caller="lea", members=tuple(f"member-{number}" for number in range(5)))
    for _ in range(UNCOUNTED + 3):
        await verdict(installation, call.ring())
    for _ in range(UNCOUNTED + 13):
        await verdict(installation, SampleCall(caller="tim", members=("nobody",)).ring())
    expected = {"call_limit", "caller_limit", "callee_limit", "too_many_members"}

    async def counted():
        with redis.Redis.from_url(installation.redis.url) as client:
            return expected <= {what.reason for what in read_last_hour(client)}

    await until(counted, "the processes have written what they counted")
    done = await run_bellhop(installation, "check")
    for setting in ("RINGS_PER_CALLER", "RINGS_PER_CALL", "RINGS_PER_CALLEE", "RING_MEMBERS"):
        assert f"than BELLHOP_{setting} " in done.stdout, done.stdout
    page = await installation.http.get(f"{installation.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert 'bellhop_rings_turned_away_total{outcome="call_limit"}' in await page.text()
