"""Tenants take turns: a tenant with thousands of jobs does not keep those of others waiting, and loses none."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from bellhop.clock import Micros
from bellhop.queue.job_payloads import job
from bellhop.queue.names import RING_JOB, RINGS
from bellhop.queue.worker_status import read_installation_state
from bellhop.store import call_scripts, queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.call_scripts import EventToTake, Turn
from bellhop.store.keys import inflight_key, rq_job_key, rq_queue_key, rq_registry_key, tenant_queue_key, turns_key
from tests.factories import a_queued_round
from tests.worker.queue.conftest import QueueClient, StartWorker, eventually

FEW = 16
"""How many jobs wait in the queue itself before further ones wait in lists of their tenants."""
FAR = Micros(4_000_000_000_000_000)


def ring(
    client: redis.Redis,
    tenant: str,
    job_id: str,
    *,
    most_waiting: int = 10_000,
    deadline: Micros = FAR,
    in_turn: bool = True,
) -> str:
    """Queue a ring as the web process does, where tenants take turns or not; returns the script's answer."""
    round_ = a_queued_round("ben").model_copy(update={"deadline": deadline, "tenant": tenant})
    event = EventToTake(
        *(tenant, f"default:{job_id}", job_id, Micros(1_800_000_000_000_000), "received", "", 60, Micros(1)),
        jobs=[job(job_id, RING_JOB, round_)],
        in_turn=in_turn,
        turn=Turn(most_waiting, "waits", "put off") if in_turn else None,
    )
    answer: bytes = run_script(client, call_scripts.take_event(event))
    return answer.decode()


def flood(client: redis.Redis, tenant: str, count: int, **options: Micros) -> list[str]:
    job_ids = [f"{tenant}-{number}" for number in range(count)]
    for job_id in job_ids:
        assert ring(client, tenant, job_id, **options) == "taken"
    return job_ids


def take(client: redis.Redis, most: int = 4, worker: str = "w-1", not_of: Iterable[str] = ()) -> list[str]:
    """Do what one take of a worker does; returns the jobs that it began."""
    client.lmove(rq_queue_key(RINGS), inflight_key(RINGS, worker), "LEFT", "RIGHT")
    command = queue_scripts.take_jobs(RINGS, worker, most, in_turn=True, not_of=not_of)
    return [answer[0].decode() for answer in run_script(client, command)]


def take_all(client: redis.Redis, most: int = 4) -> list[str]:
    taken = []
    while jobs := take(client, most):
        taken += jobs
    return taken


def waiting(client: redis.Redis) -> Mapping[str, int]:
    """How many jobs wait in the queue itself ("") and in the lists of tenants."""
    tenants = [member.decode() for member in client.zrange(turns_key(RINGS), 0, -1)]
    lists = {"": rq_queue_key(RINGS)} | {tenant: tenant_queue_key(RINGS, tenant) for tenant in tenants}
    return {tenant: client.llen(key) for tenant, key in lists.items()}


def commands_of_a_ring(client: redis.Redis, *, in_turn: bool) -> int:
    """How many commands Redis runs to queue a ring and to take it, those inside scripts included."""
    client.config_resetstat()
    ring(client, "a", f"a-{in_turn}", in_turn=in_turn)
    client.lmove(rq_queue_key(RINGS), inflight_key(RINGS, "w-1"), "LEFT", "RIGHT")
    answers = run_script(client, queue_scripts.take_jobs(RINGS, "w-1", 4, in_turn=in_turn))
    assert len(answers) == 1
    return sum(stats["calls"] for name, stats in client.info("commandstats").items() if "config" not in name)


def test_turns_cost_two_commands_and_one_tenant_none(redis_client):
    for in_turn in (False, True):
        commands_of_a_ring(redis_client, in_turn=in_turn)  # Redis loads the scripts
        redis_client.delete(*redis_client.keys("*"))
    alone = commands_of_a_ring(redis_client, in_turn=False)
    assert commands_of_a_ring(redis_client, in_turn=True) - alone <= 2


@pytest.mark.parametrize("most", [1, 4])
def test_a_ring_does_not_wait_for_another_tenants_flood(redis_client, most):
    flooded = flood(redis_client, "a", 80)
    before = take(redis_client, most)
    rung = []
    for number in range(5):
        ring(redis_client, "b", f"b-{number}")
        rung.append(f"b-{number}")
        before += [job_id for _ in range(2) for job_id in take(redis_client, most)]
    taken = before + take_all(redis_client, most)
    assert Counter(taken) == Counter(flooded + rung), "each job is taken once"
    places = [taken.index(job_id) for job_id in rung]
    assert places[0] <= 2 * FEW, places
    assert places == sorted(places)


def test_tenants_with_many_rings_are_served_alike(redis_client):
    jobs = flood(redis_client, "a", 70) + flood(redis_client, "b", 30) + flood(redis_client, "c", 30)
    taken = take_all(redis_client)
    assert Counter(taken) == Counter(jobs)
    served = Counter(job_id[0] for job_id in taken[FEW * 2 : FEW * 2 + 45])
    assert max(served.values()) - min(served.values()) <= 3, served
    assert [job_id for job_id in taken if job_id[0] == "b"] == [f"b-{number}" for number in range(30)], "in order"
    assert sum(waiting(redis_client).values()) == 0


def test_a_tenant_with_its_share_waits_and_others_do_not(redis_client):
    """A worker that has enough jobs of a tenant puts others of it back; no job gets lost."""
    jobs = flood(redis_client, "a", 50)
    taken = take(redis_client) + take(redis_client)
    ring(redis_client, "b", "b-0")
    for _ in range(10):
        taken += take(redis_client, not_of=["a"])
    assert [job_id for job_id in taken if job_id[0] == "b"] == ["b-0"]
    assert len(taken) == 9
    assert redis_client.lrange(inflight_key(RINGS, "w-1"), 0, -1) == [job_id.encode() for job_id in taken]
    run_script(redis_client, queue_scripts.enqueue_scheduled([RINGS], limit=10, in_turn=True))
    taken += take(redis_client, worker="w-2") + take_all(redis_client)
    assert Counter(taken) == Counter([*jobs, "b-0"])


def test_a_worker_that_dies_between_two_commands_stops_no_turn(redis_client):
    """It has moved the last job of the queue to its list, and has not looked at the tenants' lists."""
    flood(redis_client, "a", FEW + 1)
    while redis_client.lmove(rq_queue_key(RINGS), inflight_key(RINGS, "dead"), "LEFT", "RIGHT"):
        pass
    assert waiting(redis_client) == {"": 0, "a": 1}
    run_script(redis_client, queue_scripts.enqueue_scheduled([RINGS], limit=10, in_turn=True))
    assert redis_client.lrange(rq_queue_key(RINGS), 0, -1) == [f"a-{FEW}".encode()]


def test_over_the_bound_a_ring_is_put_off_and_comes_again(redis_client):
    bound = 10
    assert [ring(redis_client, "a", f"a-{number}", most_waiting=bound) for number in range(FEW + bound + 1)] == [
        *["taken"] * (FEW + bound),
        "put_off",
    ]
    last = f"a-{FEW + bound}"
    assert not redis_client.exists(rq_job_key(last)), "nothing of it was taken"
    assert redis_client.lrange(f"bellhop:trail:a:default:{last}", 0, -1) == [b"put off"]
    assert ring(redis_client, "b", "b-0", most_waiting=bound) == "taken", "the bound is each tenant's own"
    take(redis_client)
    assert ring(redis_client, "a", last, most_waiting=bound) == "taken"
    assert ring(redis_client, "a", last, most_waiting=bound) == "already"
    assert redis_client.lrange(f"bellhop:trail:a:default:{last}", 0, -1) == [b"put off", b"received", b"waits"]
    assert last in take_all(redis_client)


def test_late_rings_of_a_tenant_are_put_off(redis_client):
    """After an outage, a tenant's rings that are too late do not hold up its fresh one, nor those of others."""
    flood(redis_client, "a", 90, deadline=Micros(1))
    ring(redis_client, "a", "fresh")
    ring(redis_client, "b", "b-0")
    taken = []
    for _ in range(8):
        taken += take(redis_client)
    assert {"fresh", "b-0"} <= set(taken)
    assert redis_client.zcard(rq_registry_key("scheduled", RINGS)) + len(taken) == 92, "none gets lost"


def test_scheduled_jobs_of_a_tenant_wait_for_its_turn(redis_client):
    for number in range(60):
        fields = {"status": "scheduled", "tenant": "a", "data": "[]", "origin": RINGS}
        redis_client.hset(rq_job_key(f"a-{number}"), mapping=fields)
        redis_client.zadd(rq_registry_key("scheduled", RINGS), {f"a-{number}": number})
    while run_script(redis_client, queue_scripts.enqueue_scheduled([RINGS], limit=100, in_turn=True)):
        pass
    assert waiting(redis_client) == {"": FEW, "a": 60 - FEW}
    ring(redis_client, "b", "b-0")
    taken = take_all(redis_client)
    assert taken.index("b-0") <= FEW * 2 + 2
    assert len(taken) == 61


def test_a_scheduled_job_stays_if_its_list_cannot_be_written(redis_client):
    flood(redis_client, "a", FEW)
    redis_client.set(tenant_queue_key(RINGS, "a"), "not a list")
    redis_client.hset(rq_job_key("a-x"), mapping={"status": "scheduled", "tenant": "a", "data": "[]", "origin": RINGS})
    redis_client.zadd(rq_registry_key("scheduled", RINGS), {"a-x": 1})
    command = queue_scripts.enqueue_scheduled([RINGS], limit=10, in_turn=True)
    with pytest.raises(redis.ResponseError):
        run_script(redis_client, command)
    redis_client.delete(tenant_queue_key(RINGS, "a"))
    run_script(redis_client, command)
    assert "a-x" in take_all(redis_client)


def test_rq_shows_the_jobs_that_wait_for_their_turn(redis_client):
    flood(redis_client, "a", FEW + 3)
    state = read_installation_state(redis_client)
    assert state.jobs[RINGS, "queued"] == FEW + 3
    assert state.waiting == {(RINGS, "a"): 3}
    own = Queue(f"{RINGS}:of:a", connection=redis_client, serializer=JSONSerializer)
    assert own in Queue.all(redis_client, serializer=JSONSerializer)
    assert own.count == 3
    Job.fetch(own.job_ids[0], connection=redis_client, serializer=JSONSerializer).cancel()
    assert len(take_all(redis_client)) == FEW + 2, "a cancelled job does not run"


def sleep_in(queue_key: str, queue_client: QueueClient, job_id: str, tenant: str, seconds: float) -> None:
    fields = {"status": "queued", "origin": "rings", "tenant": tenant, "timeout": 600}
    data = msgspec.json.encode(["jobs.sleep", None, [{"label": job_id, "seconds": seconds}], {}])
    queue_client.redis.hset(rq_job_key(job_id), mapping={**fields, "data": data})
    queue_client.redis.rpush(queue_key, job_id)


def test_a_worker_runs_all_jobs_of_all_tenants(queue_client: QueueClient, start_worker: StartWorker) -> None:
    """One tenant's jobs hang and fill its share of the places: another tenant's run all the same."""
    for number in range(40):
        sleep_in(rq_queue_key("rings"), queue_client, f"a-{number}", "a", seconds=600)
    worker = start_worker(queue_client.url, {"rings": 20}, in_turn=True)
    eventually(lambda: len(queue_client.marks("began")) >= 12, "the first tenant has its share")
    queue_client.sleep_plain("b-0", tenant="b")
    eventually(lambda: queue_client.marks("ended") == ["b-0"], "the other tenant's job runs at once")
    assert len(queue_client.marks("began")) < 20
    assert worker.process.poll() is None


@pytest.mark.parametrize("busy", [False, True])
def test_jobs_in_lists_of_tenants_run_without_turns_too(
    queue_client: QueueClient, start_worker: StartWorker, busy: bool
) -> None:
    """A worker that knows one tenant does not know that others have jobs, or had."""
    jobs = [(tenant, f"{tenant}-{number}") for tenant in ("a", "b") for number in range(30)]
    for tenant, job_id in jobs:
        sleep_in(tenant_queue_key("rings", tenant), queue_client, job_id, tenant, seconds=0)
        queue_client.redis.zadd(turns_key("rings"), {tenant: 1})
    if busy:
        for number in range(FEW):
            sleep_in(rq_queue_key("rings"), queue_client, f"c-{number}", "c", seconds=600)
    start_worker(queue_client.url, {"rings": 4})
    if not busy:
        eventually(lambda: len(queue_client.marks("ended")) == len(jobs), "all jobs have run")
    lists = [tenant_queue_key("rings", tenant) for tenant in ("a", "b")]
    eventually(lambda: not queue_client.redis.exists(turns_key("rings"), *lists), "no job waits in a list")
