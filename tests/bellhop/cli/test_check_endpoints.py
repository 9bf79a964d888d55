"""`bellhop check` about the endpoints of the team's backend."""

import pytest

from bellhop.cli.check import endpoints
from bellhop.clock import Micros
from bellhop.dead_letters import DeadLetter, keep_dead_letter
from bellhop.queue.worker_status import EndpointStatus, WorkerStatus
from bellhop.settings.events import EventEndpoint
from bellhop.store.keys import lease_key, rq_worker_key, rq_workers_key, status_key
from tests.factories import web_settings


@pytest.fixture
def check(redis_url):
    async def findings(url="https://localhost/x", networks=("127.0.0.0/8", "::1")):
        settings = web_settings(
            redis_url,
            event_endpoints=[EventEndpoint(name="backend", url=url)],
            event_allowed_networks=list(networks),
        )
        return [
            (str(finding.level), finding.sentence) async for finding in endpoints.findings(settings, redis_answers=True)
        ]

    return findings


async def test_an_endpoint_that_takes_events_is_ok(check):
    assert await check() == [("ok", "takes events, as far as is known")]


async def test_a_private_address_is_a_problem(check):
    (finding,) = await check(networks=())
    assert finding[0] == "problem" and "which is not public: BELLHOP_EVENT_ALLOWED_NETWORKS must have it" in finding[1]


async def test_a_name_without_an_address_is_a_problem(check):
    (finding,) = await check("https://no-such-name.invalid/")
    assert finding[0] == "problem" and finding[1].startswith("no-such-name.invalid has no address")


async def test_what_workers_report_and_dead_letters_are_warnings(check, redis_client):
    status = WorkerStatus(endpoints=(EndpointStatus("backend", 1, "HTTP 500"),))
    assert WorkerStatus.from_json(status.to_json()) == status
    redis_client.sadd(rq_workers_key("bellhop-rings"), rq_worker_key("w-1"))
    redis_client.mset({lease_key("w-1"): 1, status_key("w-1"): status.to_json()})
    for number in range(2):
        letter = DeadLetter("backend", "default", "default:1", f'{{"id": {number}}}', "HTTP 500", Micros(number))
        for _ in range(2):  # each command may run twice
            for command in keep_dead_letter(letter, 60):
                redis_client.execute_command(*command)
    assert await check() == [
        ("warning", "it takes no events, as 1 of 1 workers report (HTTP 500)"),
        ("warning", "2 events could not be sent for a day: `bellhop events dead` lists them"),
    ]
