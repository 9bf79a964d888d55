"""`bellhop check`: the endpoints of the team's backend: their addresses, what the workers report, dead letters."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from redis import Redis

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.dead_letters import count_dead_letters
from bellhop.public_address import Networks, is_public, parse_networks
from bellhop.queue.worker_status import EndpointStatus, read_installation_state
from bellhop.settings import Settings
from bellhop.settings.events import EventEndpoint


class _Reports(NamedTuple):
    """What Redis has about the endpoints, by name."""

    workers: dict[str, list[EndpointStatus]]
    dead: dict[str, int]


async def findings(settings: Settings, *, redis_answers: bool) -> AsyncIterator[Finding]:
    """Check each endpoint. No event is sent."""
    if not settings.event_endpoints:
        return
    names = [endpoint.name for endpoint in settings.event_endpoints]

    def read(redis: Redis) -> _Reports:
        return _Reports(read_installation_state(redis).endpoints(), count_dead_letters(redis, names))

    allowed = parse_networks(settings.event_allowed_networks)
    reports = await read_redis(settings, read) if redis_answers else None
    for endpoint in settings.event_endpoints:
        found = [await asyncio.to_thread(_address, endpoint, allowed)]
        if reports is not None:
            found += _reported(endpoint.name, reports)
        wrong = [finding for finding in found if finding is not None]
        for finding in wrong or [Finding(Level.OK, _subject(endpoint.name), "takes events, as far as is known")]:
            yield finding


def _subject(name: str) -> str:
    return f"endpoint {name}"


def _address(endpoint: EventEndpoint, allowed: Networks) -> Finding | None:
    """Look the endpoint's name up, and warn of an address to which nothing is sent."""
    host = str(urlsplit(endpoint.url).hostname)
    try:
        addresses = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, None)})
    except OSError as error:
        return Finding(Level.PROBLEM, _subject(endpoint.name), f"{host} has no address: {error.strerror}")
    private = [address for address in addresses if not is_public(address, allowed)]
    if not private:
        return None
    sentence = f"{host} has the address {private[0]}, which is not public: BELLHOP_EVENT_ALLOWED_NETWORKS must have it"
    return Finding(Level.PROBLEM, _subject(endpoint.name), sentence)


def _reported(name: str, reports: _Reports) -> Iterator[Finding]:
    workers = reports.workers.get(name, [])
    if away := [worker.away for worker in workers if worker.away]:
        sentence = f"it takes no events, as {len(away)} of {len(workers)} workers report ({away[0]})"
        yield Finding(Level.WARNING, _subject(name), sentence)
    if dead := reports.dead[name]:
        sentence = f"{dead} events could not be sent for a day: `bellhop events dead` lists them"
        yield Finding(Level.WARNING, _subject(name), sentence)
