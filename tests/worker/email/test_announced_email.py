"""An e-mail that the mail server took is announced for each of its calls, once."""

import json

from bellhop.audience import Audience, Destination
from bellhop.domain.announcement import AnnouncementType
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.queue.names import SEND_EVENTS_JOB
from bellhop.store.keys import outbox_key, round_key
from tests.factories import a_queued_round
from worker.email.email_store import EmailResult, EmailStore

ALL = Audience((Destination("backend", SEND_EVENTS_JOB, 600, frozenset(AnnouncementType)),))


async def test_each_call_of_an_accepted_email_is_announced_once(store):
    calls = [a_queued_round("ben", cid=f"default:{number}") for number in range(3)]
    for call in calls:
        await store.call("HSET", round_key(call.tenant, call.cid, call.started_at), "facts", call.as_json())
    accepted, refused = AttemptResult(Outcome.MAIL_ACCEPTED), AttemptResult(Outcome.MAIL_REFUSED)
    results = [EmailResult(calls[0], accepted), EmailResult(calls[1], accepted), EmailResult(calls[2], refused)]
    for _ in range(2):
        await EmailStore(store, "w-1", 0, audience=ALL).record_attempt("1", "run", results)
    told = [await store.call("LRANGE", outbox_key("backend", call.tenant, call.cid), 0, -1) for call in calls]
    assert [len(documents) for documents in told] == [1, 1, 0]
    document = json.loads(told[0][0])
    assert (document["type"], document["data"]["user_id"], document["data"]["by"]) == (
        "call.missed_notice",
        "ben",
        "email",
    )


async def test_an_email_after_its_round_has_expired_is_announced(store):
    """Redis keeps a round for two hours after the call. An e-mail may wait for a day, and be tried for another."""
    call = a_queued_round("ben")
    results = [EmailResult(call, AttemptResult(Outcome.MAIL_ACCEPTED))]
    await EmailStore(store, "w-1", 0, audience=ALL).record_attempt("1", "run", results)
    told = await store.call("LRANGE", outbox_key("backend", call.tenant, call.cid), 0, -1)
    assert [json.loads(document)["type"] for document in told] == ["call.missed_notice"]
    round_id = round_key(call.tenant, call.cid, call.started_at)
    assert await store.call("EXISTS", round_id) == 0, "it would have no expiry"
