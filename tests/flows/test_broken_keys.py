"""A key that holds what does not belong there: the ring is refused until it is repaired, and then rings once."""

import json

import pytest

from bellhop.store.homes import partition_with
from bellhop.store.keys import call_key, round_key, trail_key
from webhook.intake.apply import webhook_digest
from webhook.intake.parsing import parse

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("broken", ["call", "round", "trail", "job"])
async def test_a_repaired_key_lets_the_repeat_ring_once(flow, broken):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    ring = call.ring()
    started_at = parse(json.dumps(ring).encode()).at
    key = {
        "call": call_key("default", call.cid),
        "round": round_key("default", call.cid, started_at),
        "trail": trail_key("default", call.cid),
        "job": f"rq:job:ring-{webhook_digest('default', call.id)}",
    }[broken]
    store, stream = flow.installation.store, flow.installation.stream
    store = store.at(partition_with(trail_key("default", call.cid), store.partitions))
    await store.call("SET", key, "not what belongs here")
    for attempt in (1, 2):
        assert (await stream.post(ring, webhook_id=call.id, attempt=attempt)).status == 503
    await store.call("DEL", key)
    replies = [await stream.post(ring, webhook_id=call.id, attempt=attempt) for attempt in (3, 4)]
    assert [reply.body["status"] for reply in replies] == ["taken", "already"]
    await flow.rings(ben, jane)
    await flow.post(call.ended())
    assert await flow.outcomes(call) == {"ben": ["ended"], "jane": ["ended"]}
    assert flow.seen(ben).count("call.ring") == flow.seen(jane).count("call.ring") == 1
    assert [line.type for line in await flow.trail(call) if line.what == "received"].count("call.ring") == 1
