"""The status that a worker publishes."""

import json

from bellhop.clock import Seconds
from bellhop.queue import failed_jobs
from bellhop.queue.names import RINGS
from bellhop.queue.worker_status import ChannelStatus, InstallationState, WorkerStatus, read_installation_state
from bellhop.store.homes import names_of
from bellhop.store.keys import lease_key, rq_registry_key, rq_worker_key, rq_workers_key, status_key
from tests.in_partitions import in_partitions

STATUS = WorkerStatus(
    (ChannelStatus("apns", "com.example", in_flight=3, blocked=True, refused="Forbidden", brake=False),),
    {"com.example": 2e9},
    Seconds(0.25),
)


def test_the_keys_of_a_status_are_public():
    assert json.loads(STATUS.to_json()) == {
        "lanes": [
            {
                "provider": "apns",
                "app": "com.example",
                "in_flight": 3,
                "open": True,
                "refused": "Forbidden",
                "brake": False,
            }
        ],
        "certificates": {"com.example": 2e9},
        "clock_ahead_s": 0.25,
    }


def test_the_keys_of_trouble_and_of_the_process_are_public_too():
    channel = ChannelStatus("fcm", "shop", failing="wrong_app", answer="403 SENDER_ID_MISMATCH")
    status = WorkerStatus((channel,), machine="host-1", pid=7, version="0.1.0")
    document = json.loads(status.to_json())
    assert document["lanes"][0] | {"failing": "wrong_app", "answer": "403 SENDER_ID_MISMATCH"} == document["lanes"][0]
    assert document | {"machine": "host-1", "pid": 7, "version": "0.1.0"} == document
    assert WorkerStatus.from_json(status.to_json()) == status


def test_a_status_is_read_as_it_was_written():
    assert WorkerStatus.from_json(STATUS.to_json()) == STATUS


def test_a_status_without_a_clock_can_be_read():
    assert WorkerStatus.from_json('{"lanes": [], "certificates": {}}') == WorkerStatus()


def test_channels_and_certificates_of_all_workers_are_collected():
    state = InstallationState({}, {}, {"one": STATUS, "two": STATUS, "new": WorkerStatus()})
    assert state.channels_by_app() == {("apns", "com.example"): [*STATUS.channels] * 2}
    assert state.certificates() == {"com.example": 2e9}


def test_the_queues_and_workers_of_all_partitions_are_counted(redis_client, monkeypatch):
    among = in_partitions(monkeypatch, 2)
    for number, partition in enumerate(among):
        redis_client.sadd(
            partition.key(rq_workers_key(RINGS)), *(partition.key(rq_worker_key(w)) for w in ("w-1", "dead"))
        )
        redis_client.zadd(partition.key(rq_registry_key("failed", RINGS)), {f"job-{number}": 1})
    redis_client.set(among[1].key(lease_key("w-1")), 1)
    redis_client.set(*names_of(status_key("w-1"), among), STATUS.to_json())
    state = read_installation_state(redis_client)
    assert (state.workers[RINGS], state.statuses) == (["w-1"], {"w-1": STATUS})
    assert state.jobs[RINGS, "failed"] == failed_jobs.count(redis_client) == 2
