"""`bellhop worker`: the process that rings. Puts the parts together and runs them."""

import asyncio

import structlog
from redis.exceptions import RedisError

from worker.contract import NOTICES, RINGS
from worker.device import Provider
from worker.jobs import Jobs
from worker.lanes import Lane
from worker.runtime import Worker
from worker.senders.apns import ApnsSender
from worker.senders.apns_token import ProviderToken, RedisTokenStore
from worker.senders.fcm import FcmSender
from worker.settings import ApnsApp, FcmApp, Settings
from worker.settlement import queue_due_calls
from worker.store import Store

log = structlog.get_logger()

WATCHDOG_S = 0.25
"""How often each worker looks whether a call's time has come."""
WARM_S = 5.0
"""How long the start waits for connections to the providers. A ring does not wait for it: it connects by itself."""


def run(settings: Settings) -> int:
    """Run a worker until it is told to stop; returns the exit status."""
    return asyncio.run(_main(settings))


async def _main(settings: Settings) -> int:
    store = Store.from_url(settings.redis_url)
    senders = _senders(settings, store)
    lanes = {way: Lane(sender, f"{way[0]} {way[1]}", settings.max_pushes_in_flight) for way, sender in senders.items()}

    async def watchdog() -> None:
        while True:
            try:
                await queue_due_calls(store)
            except RedisError as error:
                log.warning("watchdog waits for redis", error=type(error).__name__)
            await asyncio.sleep(WATCHDOG_S)

    async def warm() -> None:
        await asyncio.wait([asyncio.ensure_future(sender.warm()) for sender in senders.values()], timeout=WARM_S)
        await asyncio.Event().wait()

    worker = Worker(
        settings.redis_url,
        {RINGS: settings.worker_concurrency, NOTICES: max(1, settings.worker_concurrency // 4)},
        {},
        grace_s=settings.shutdown_grace_s,
        background=[watchdog, warm],
    )
    worker.handlers = Jobs(store, worker.name, lanes, settings.missed_grace_s).handlers
    try:
        await worker.main()
    finally:
        await asyncio.gather(*(sender.close() for sender in senders.values()), return_exceptions=True)
        await store.close()
    return 0


def _senders(settings: Settings, store: Store) -> dict[tuple[Provider, str], ApnsSender | FcmSender]:
    """Make one sender for each app that has credentials."""
    return {
        **{(Provider.APNS, app.topic): _apns(app, settings, store) for app in settings.apns_apps},
        **{(Provider.FCM, app.project_id): _fcm(app, settings) for app in settings.fcm_apps},
    }


def _apns(app: ApnsApp, settings: Settings, store: Store) -> ApnsSender:
    token = None
    if app.key_file is not None:
        key = app.key_file.read_text(encoding="ascii")
        token = ProviderToken(key, app.key_id, app.team_id, RedisTokenStore(store, app.team_id, app.key_id))
    return ApnsSender(
        app.topic,
        token=token,
        certificate_file=app.certificate_file,
        url=settings.apns_url,
        sandbox_url=settings.apns_sandbox_url,
        ca_file=settings.apns_ca_file,
        proxy=settings.apns_proxy,
    )


def _fcm(app: FcmApp, settings: Settings) -> FcmSender:
    return FcmSender(app.service_account_file, settings.fcm_url, settings.fcm_ca_file)
