"""Makes a channel for each endpoint of the settings."""

from functools import partial

from bellhop.dead_letters import DeadLetter, keep_dead_letter
from bellhop.public_address import parse_networks
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.trail import DAY_S
from worker.events_out.endpoint_session import EndpointSession, RequestPolicy
from worker.events_out.event_channel import EventChannel
from worker.events_out.event_signer import EventSigner


def event_channels(
    settings: Settings, store: Store, clock: RedisClock, policy: RequestPolicy | None = None
) -> dict[str, EventChannel]:
    """Return the channels by the names of their endpoints. Nothing is connected yet. It needs a running event loop."""
    allowed = parse_networks(settings.event_allowed_networks)
    keep_s = settings.trail_days * DAY_S
    return {
        endpoint.name: EventChannel(
            endpoint.name,
            EndpointSession(endpoint.url, allowed, policy or RequestPolicy(), settings.event_ca_file),
            EventSigner([secret.get_secret_value() for secret in settings.event_secrets[endpoint.name]]),
            partial(_keep, store, keep_s),
            clock.now,
        )
        for endpoint in settings.event_endpoints
    }


async def _keep(store: Store, keep_s: int, letter: DeadLetter) -> None:
    await until_redis_answers(lambda: store.together(*keep_dead_letter(letter, keep_s)))
