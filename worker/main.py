"""`bellhop worker`: build every part of the worker process, and run them until the process is stopped."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import aiohttp
import structlog
from redis.exceptions import RedisError

from bellhop import stop_signals
from bellhop.audience import audience
from bellhop.clock import Micros, micros
from bellhop.event_loop import collect_garbage_rarely, loop_factory
from bellhop.i18n.texts import Texts
from bellhop.privacy.unused_data import KeptDays
from bellhop.queue.names import OLD_NAMES, QUEUE_OF, QUEUES, SEND_EVENTS_JOB, STREAM, TELL_CALLER_JOB
from bellhop.ring_question import stream_questions
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from bellhop.store.redis_url import shown
from bellhop.store.refusals import needs_other_settings, probes
from bellhop.store.retry import is_away, until_redis_answers
from bellhop.stream_api import DeviceApps, StreamApi, stream_apis
from bellhop.telemetry import metrics, tracing
from bellhop.telemetry.outage import RedisOutage, redis_outage
from bellhop.trail import DAY_S
from worker import status
from worker.alarms import Alarms
from worker.announcements.announcer import Announcer
from worker.announcements.caller_teller import CallerTellers
from worker.announcements.outbox import OutboxJobs
from worker.delivery.attempt import ProviderChannels
from worker.delivery.callee_limit import CalleeLimit
from worker.delivery.device_lookup import LookupPolicy, StreamDeviceLookup
from worker.delivery.fan_out import DeliveryTools
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.sent_pushes import SentPushes
from worker.delivery.service_channels import ServiceChannels
from worker.delivery.token_pruning import TokenPruner
from worker.email.configured_digest import email_digest
from worker.erasures import Erasures
from worker.events_out.configured_channels import event_channels
from worker.events_out.event_channel import EventChannel, sender_of
from worker.jobs import Jobs
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.configured import Senders, configured_senders
from worker.providers.fcm.fcm_sender import FcmSender
from worker.providers.web_push.web_push_sender import WebPushSender
from worker.queue.queue_worker import QueueWorker
from worker.queue.rq_adapter import unique_worker_name
from worker.queue_limits import queue_limits
from worker.rejection_carrier import RejectionCarrier
from worker.settle import queue_due_calls
from worker.stream_state import StreamState
from worker.stream_subscriptions import StreamSubscriptions
from worker.unused_data_remover import UnusedDataRemover

log = structlog.get_logger()

WARM_APPS = 50
"""The first apps of the settings, up to this number, are connected before their first push. With more apps, most of
them ring rarely."""


def run(settings: Settings) -> int:
    """Run a worker until it is stopped by a signal or a command; returns the exit status."""
    tracing.configure(settings.otlp_endpoint, "bellhop-worker")
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_run(settings))
    finally:
        tracing.stop()


async def _run(settings: Settings) -> int:
    store = Store.from_url(settings.redis_url)
    is_known = await _refuse_wrong_redis(store)
    clock = RedisClock()
    try:
        senders, endpoints = configured_senders(settings, store), event_channels(settings, store, clock)
    except (ValueError, OSError) as error:
        log.error("credentials_do_not_load", reason=str(error))
        # The reason may name files, and /readyz is public: it is not published.
        return await _cannot_start(store, "credentials do not load")
    if not queue_limits(settings):
        reason = "the settings name no app of Apple or Google, and no mail server: there is nothing that it can do"
        log.error("worker_has_no_work", reason=reason)
        return await _cannot_start(store, reason)
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LookupPolicy().request_s))
    # Other processes may have other settings: a worker that serves a queue must be able to run all jobs in it.
    tellers = CallerTellers(settings, store, clock) if STREAM in queue_limits(settings) else None
    worker = _queue_worker(settings, store, senders, endpoints, tellers, session, clock)
    collect_garbage_rarely()
    watch = None if is_known else asyncio.create_task(_stop_at_a_wrong_redis(store, worker))
    try:
        await worker.run()
    finally:
        stop_signals.ignore()
        has_ended = watch is not None and not watch.cancel()
        closing = [sender.close() for sender in (*senders.values(), *endpoints.values())]
        await asyncio.gather(*closing, return_exceptions=True)
        await metrics.flush(store)
        await session.close()
        if tellers:
            await tellers.close()
        await store.close()
    if watch is not None and has_ended:
        await watch
    return 0


async def _cannot_start(store: Store, reason: str) -> int:
    """Publish why this worker cannot start; returns the exit status."""
    await status.publish_failure(store, reason)
    await store.close()
    return 1


async def _refuse_wrong_redis(store: Store) -> bool:
    """Raise RedisError if the settings do not fit this Redis: the worker could never take a job.

    Returns whether they fit; False if that is not known yet. Then the worker waits, and its lease logs what is wrong.
    """
    try:
        await store.together(*probes(store.partitions), in_order=False)
    except RedisError as error:
        if needs_other_settings(error):
            raise
        return not is_away(error)
    return True


async def _stop_at_a_wrong_redis(store: Store, worker: QueueWorker) -> None:
    """Wait until Redis answers. If the settings do not fit it, stop the worker, and raise RedisError."""
    try:
        await until_redis_answers(lambda: store.together(*probes(store.partitions), in_order=False))
    except RedisError as error:
        if needs_other_settings(error):
            worker.stop()
            raise


def _queue_worker(
    settings: Settings,
    store: Store,
    senders: Senders,
    endpoints: Mapping[str, EventChannel],
    tellers: CallerTellers | None,
    session: aiohttp.ClientSession,
    clock: RedisClock,
) -> QueueWorker:
    name, hears = unique_worker_name(), audience(settings)
    channels, announcer = _channels(settings, senders), Announcer(store, hears, clock)
    pruner = TokenPruner(store, announcer=announcer)
    texts = Texts(settings.templates_folder, settings.default_language)
    apis = stream_apis(settings, session)
    questions = stream_questions(settings, store, apis)
    subscriptions = StreamSubscriptions(apis, settings.stream_apps)
    sent = SentPushes(name)
    tools = DeliveryTools(
        store=store,
        worker=name,
        channels=channels,
        token_pruner=pruner,
        device_lookup=_device_lookup(settings, store, apis),
        stream_apis=apis,
        texts=texts,
        templates=read_pushes(settings).templates,
        ticket_secret=settings.receipt_secret.get_secret_value().encode(),
        stream_state=StreamState(questions, subscriptions, clock) if questions else None,
        sent=sent,
        second_way_after_us=second_way_after_us(settings),
        alert_ring_every_us=micros(settings.alert_ring_every),
        missed_kept_s=settings.trail_days * DAY_S if settings.user_calls else 0,
        badges=settings.badge,
        callee_limit=CalleeLimit(store, settings.rings_per_callee),
        clock=clock,
        audience=hears,
        in_turn=settings.has_several_tenants,
    )
    outboxes = _outbox_jobs(store, name, tellers, endpoints, clock)
    digest = email_digest(settings, store, name, texts, clock, hears)
    rejections = RejectionCarrier(store, apis, name, clock) if tellers else None
    jobs = Jobs(tools, settings.missed_grace_s, digest, outboxes, rejections)
    background: list[Callable[[], Awaitable[None]]] = [
        pruner.keep_counting,
        partial(sent.keep_restoring, store),
        partial(metrics.keep_flushing, store),
        Erasures(store, name).keep_erasing,
        partial(status.keep_publishing, store, name, channels, settings.apns_apps, endpoints.values()),
    ]
    kept = KeptDays(settings.unused_device_days, settings.unused_contact_days)
    if any(kept):
        background.append(UnusedDataRemover(store, name, kept, hears).keep_removing)
    if endpoints:
        background.append(Alarms(announcer, channels, endpoints).keep_watching)
    if questions:
        background.append(subscriptions.keep_reading)
    return QueueWorker(
        settings.redis_url,
        queue_limits(settings),
        jobs.handlers,
        name=name,
        grace_s=settings.shutdown_grace_s,
        all_queues=QUEUES,
        old_names=OLD_NAMES,
        job_names=tuple(QUEUE_OF),
        prepare=partial(warm_up, store, senders),
        background=background,
        in_turn=settings.has_several_tenants,
        work_off_agenda=queue_due_calls,
        note_redis=partial(_note, redis_outage(shown(settings.redis_url))),
        clock=clock,
    )


def second_way_after_us(settings: Settings) -> Micros:
    """Return how long the worker waits for a phone's receipt before it rings the phone again; 0: it never does."""
    wanted = settings.second_way and settings.receipt_secret.get_secret_value()
    return micros(settings.second_way_after) if wanted else Micros(0)


def _channels(settings: Settings, senders: Senders) -> ProviderChannels:
    return {app: _channel(settings.max_pushes_in_flight, " ".join(app), sender) for app, sender in senders.items()}


def _channel(
    limit: int, name: str, sender: ApnsSender | FcmSender | WebPushSender
) -> ProviderChannel | ServiceChannels:
    limit = min(limit, sender.max_in_flight)
    if isinstance(sender, WebPushSender):
        return ServiceChannels(sender, name, limit)
    return ProviderChannel(sender, name, limit)


def _device_lookup(settings: Settings, store: Store, apis: Mapping[str, StreamApi]) -> StreamDeviceLookup | None:
    """Return what looks up users without devices at Stream; None if the settings do not want it."""
    if not settings.stream_fetches_per_s:
        return None
    return StreamDeviceLookup(store, apis, DeviceApps.of(settings), settings.stream_fetches_per_s)


def _outbox_jobs(
    store: Store,
    worker: str,
    tellers: CallerTellers | None,
    endpoints: Mapping[str, EventChannel],
    clock: RedisClock,
) -> list[OutboxJobs]:
    """Return what sends announcements, for each kind of destination that the settings have."""
    jobs = []
    if tellers:
        jobs.append(OutboxJobs(store, worker, TELL_CALLER_JOB, tellers.find, clock))
    if endpoints:
        jobs.append(OutboxJobs(store, worker, SEND_EVENTS_JOB, partial(sender_of, endpoints), clock))
    return jobs


def _note(outage: RedisOutage, error: RedisError | None) -> None:
    """Log when Redis is away, and when it is back."""
    if error is None:
        outage.note_answer()
    else:
        outage.note_redis_error(error)


async def warm_up(store: Store, senders: Senders) -> None:
    """Connect the first `WARM_APPS` to their providers, and load the scripts now, so that the first ring is fast.

    Failures do not matter here: a sender logs why it could not connect, and connects again for the first push. A script
    that Redis does not know is sent when it runs.
    """
    first = itertools.islice(senders.values(), WARM_APPS)
    connecting = asyncio.gather(*(sender.warm() for sender in first), return_exceptions=True)
    with contextlib.suppress(RedisError):
        await store.load_scripts()
    await connecting
