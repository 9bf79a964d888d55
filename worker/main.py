"""`bellhop worker`: the process that rings. Puts the parts together and runs them."""

import asyncio
import contextlib
import gc
from collections.abc import Callable

import aiohttp
import structlog
from redis.exceptions import RedisError

from bellhop.domain.unsubscribe_link import UnsubscribeLinks
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.queue.names import MAIL, NOTICES, RINGS
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.redis_url import shown
from bellhop.stream_api import DeviceApps, StreamApi
from bellhop.telemetry import metrics, tracing
from bellhop.telemetry.outage import redis_outage
from worker import status
from worker.delivery.device_lookup import FETCH_S, StreamDeviceLookup
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.email.digest import EmailDigest
from worker.email.email_store import EmailStore
from worker.email.message import MessageBuilder
from worker.jobs import Jobs
from worker.providers.configured import configured_senders
from worker.providers.smtp import smtp_sender
from worker.queue.queue_worker import QueueWorker
from worker.queue.rq_adapter import unique_worker_name
from worker.settle import queue_due_calls

log = structlog.get_logger()

WATCHDOG_S = 0.25
"""How often each worker looks whether a call's time has come."""
JOBS_PER_CONCURRENCY = 10
"""Jobs in memory for each of BELLHOP_WORKER_CONCURRENCY. Nearly all only wait for a provider: a provider that hangs
must not keep other rings in the queue."""
MAILS_AT_ONCE = 16
"""Each has a connection to the mail server of its own. They may be more when answers of Redis were lost."""


def run(settings: Settings) -> int:
    """Run a worker until it is told to stop; returns the exit status."""
    tracing.configure(settings.otlp_endpoint, "bellhop-worker")
    try:
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            return runner.run(_main(settings))
    finally:
        tracing.stop()


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists: under load it takes rings up sooner. None for asyncio's own."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:
        return None
    return new_event_loop


async def _main(settings: Settings) -> int:
    store = Store.from_url(settings.redis_url)
    try:
        senders = configured_senders(settings, store)
    except (ValueError, OSError) as error:
        log.error("credentials_do_not_load", reason=str(error))
        # Without the reason, which may name files: /readyz tells anybody.
        await status.publish_failure(store, "credentials do not load")
        await store.close()
        return 1
    name = unique_worker_name()
    hygiene = TokenPruner(store)
    texts = Texts(settings.templates_folder, settings.default_language)
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_S))
    receipt_secret = settings.receipt_secret.get_secret_value().encode()
    lanes = {
        way: ProviderChannel(sender, f"{way[0]} {way[1]}", min(settings.max_pushes_in_flight, sender.max_in_flight))
        for way, sender in senders.items()
    }

    outage = redis_outage(shown(settings.redis_url))

    async def watchdog() -> None:
        while True:
            try:
                await queue_due_calls(store)
                outage.is_over()
            except RedisError as error:
                outage.goes_on(type(error).__name__)
            await asyncio.sleep(WATCHDOG_S)

    async def warm() -> None:
        # A sender says itself why it could not connect. No ring waits for this: it connects by itself.
        connecting = asyncio.gather(*(sender.warm() for sender in senders.values()), return_exceptions=True)
        with contextlib.suppress(RedisError):  # a script that Redis does not know is sent when it is run
            await store.load_scripts()
        await connecting
        await asyncio.Event().wait()

    async def tell_metrics() -> None:
        await metrics.keep_flushing(store)

    async def tell_status() -> None:
        await status.keep_publishing(store, name, lanes, settings.apns_apps)

    tools = DeliveryTools(store, name, lanes, hygiene, _device_lookup(settings, store, session), texts, receipt_secret)
    digest = email_digest(settings, store, name, texts)
    worker = QueueWorker(
        settings.redis_url,
        {
            RINGS: JOBS_PER_CONCURRENCY * settings.worker_concurrency,
            NOTICES: JOBS_PER_CONCURRENCY * max(1, settings.worker_concurrency // 4),
            MAIL: MAILS_AT_ONCE,
        },
        Jobs(tools, settings.missed_grace_s, digest).handlers,
        name=name,
        grace_s=settings.shutdown_grace_s,
        background=[watchdog, warm, hygiene.count, tell_metrics, tell_status],
    )
    gc.freeze()  # what is here now stays: each look through it for garbage would hold up every ring by some 70 ms
    try:
        await worker.run()
    finally:
        await asyncio.gather(*(sender.close() for sender in senders.values()), return_exceptions=True)
        await metrics.flush(store)
        await session.close()
        await store.close()
    return 0


def email_digest(settings: Settings, store: Store, worker: str, texts: Texts) -> EmailDigest | None:
    """Make what collects and sends missed-call e-mails; None if the settings want none."""
    if not settings.smtp_host or settings.mail_policy == "never":
        return None
    builder = MessageBuilder(
        sender=settings.mail_from,
        app=settings.mail_from_name or settings.mail_from.rpartition("@")[2],
        texts=texts,
        templates=Templates(settings.templates_folder),
        links=UnsubscribeLinks(settings.public_url, settings.mail_secret),
        call_url=settings.mail_call_url,
    )
    emails = EmailStore(store, worker, settings.mail_window_s)
    return EmailDigest(store, emails, smtp_sender(settings), builder, settings.mail_policy)


def _device_lookup(settings: Settings, store: Store, session: aiohttp.ClientSession) -> StreamDeviceLookup | None:
    """What fetches unknown users' devices from Stream, if that is switched on."""
    if not settings.stream_fetches_per_s:
        return None
    lists = {
        app.tenant: StreamApi(session, settings.stream_api_url, app.api_keys[0], app.api_secrets[0].get_secret_value())
        for app in settings.stream_apps
    }
    return StreamDeviceLookup(store, lists, DeviceApps.of(settings), settings.stream_fetches_per_s)
