"""A job that runs again, since its worker was interrupted, goes on where it was."""

import time

import pytest

from worker.contract import Recipient, Round
from worker.delivery.hygiene import Hygiene
from worker.delivery.lanes import Lane
from worker.domain.device import Device, Provider
from worker.domain.outcome import Answer, Outcome
from worker.engine.inflight import Call
from worker.jobs import Jobs
from worker.storage import registry
from worker.storage.store import Store


@pytest.fixture
async def store(redis_url):
    store = Store.from_url(redis_url)
    yield store
    await store.close()


class Provided:
    """A provider that gives one answer, and the e-mails that are offered behind the push."""

    def __init__(self, outcome):
        self.outcome, self.asked, self.offers = outcome, 0, []

    async def send(self, push, timeout_s=0, start_s=0):
        self.asked += 1
        return Answer(self.outcome)

    async def close(self): ...

    async def offer(self, round_, *, pushed):
        self.offers.append(pushed)


@pytest.mark.parametrize(("outcome", "asked", "pushed"), [(Outcome.ACCEPTED, 1, True), (Outcome.BAD_REQUEST, 2, False)])
async def test_a_notice_that_is_given_again_knows_whether_a_push_was_accepted(store, outcome, asked, pushed):
    device = Device(user_id="ben", provider=Provider.FCM, token="token", app="calls", registered_at=1)
    await store.script(*registry.register("default", device))
    now = time.time_ns() // 1000
    missed = Round(
        tenant="default",
        cid="default:1",
        session_id="s-1",
        started_at=now - 60_000_000,
        deadline=now - 30_000_000,
        caller_id="sara",
        caller_name="Sara",
        recipients=(Recipient(id="ben"),),
    )
    provided = Provided(outcome)
    lanes = {(Provider.FCM, "calls"): Lane(provided, "fcm calls")}
    for worker in ("w-1", "w-2"):
        await Jobs(store, worker, lanes, Hygiene(store), 1.0, mail=provided).notice(Call(missed.model_dump()))
    assert (provided.asked, provided.offers) == (asked, [pushed, pushed])
