"""`bellhop sqs`: receives the events that Stream puts into queues of Amazon's SQS.

A message is deleted only after its event was received. Otherwise SQS delivers it again after VISIBLE_AGAIN_S. The
queue's redrive policy limits how often.
"""

import hashlib
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from redis.exceptions import RedisError, ResponseError

from bellhop import stop_signals
from bellhop.clock import Seconds
from bellhop.settings import Settings, StreamApp
from bellhop.telemetry import metrics
from bellhop.telemetry.outage import Outage
from webhook import metrics_flush
from webhook.context import WebContext
from webhook.intake.receive import PutOffError, receive, receive_unreadable
from webhook.sources.amazon.envelope import UnreadableMessage, unwrap

log = structlog.get_logger()

THREADS_PER_QUEUE = 4
"""Each thread takes ten messages at a time, and needs about a millisecond for one."""
BATCH = 10
"""The largest batch that SQS delivers."""
POLL_S = 5
"""How long SQS waits for messages before it answers with none. Stopping takes as long."""
VISIBLE_AGAIN_S = 30
"""When SQS delivers a message again, unless it was deleted."""
REDIS_WAIT_S = 20.0
"""How long a message waits for Redis to come back; well below VISIBLE_AGAIN_S."""
PAUSE_S = 1.0
NO_CREDENTIALS = (
    "boto3 finds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
)
ADVICE = {
    "NonExistentQueue": "the queue does not exist: check BELLHOP_SQS_QUEUE_URL, its region and account",
    "AccessDenied": "allow sqs:ReceiveMessage and sqs:DeleteMessage on the queue",
    "InvalidClientTokenId": "Amazon does not know the access key",
    "SignatureDoesNotMatch": "the secret access key belongs to another access key, or this machine's clock is wrong",
    "ExpiredToken": "the credentials have expired",
    "NoCredentials": NO_CREDENTIALS,
}
"""The usual cause of an error, or what to do, by a word in the error's code."""
WEBHOOK_ID = "x-webhook-id"


def run(settings: Settings) -> int:
    """Receive from all queues until SIGTERM or SIGINT; returns the exit status."""
    context, stop = context_of(settings), threading.Event()
    metrics_flush.start(context)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        queues = [SqsQueue(context, app.tenant, app.sqs_queue_url, stop) for app in _apps(settings)]
        credentials = boto3.session.Session().get_credentials()
    except BotoCoreError as error:  # a region or a profile does not exist
        log.error("sqs_cannot_start", error=_code(error), advice=str(error))
        return 2
    if credentials is None:
        log.error("sqs_cannot_start", error="NoCredentials", advice=NO_CREDENTIALS)
        return 2
    _receive_from(queues)
    stop_signals.ignore()
    return 0


def context_of(settings: Settings) -> WebContext:
    """Make the context that the threads of all queues share."""
    return WebContext(settings, threads=THREADS_PER_QUEUE * len(_apps(settings)))


def _apps(settings: Settings) -> list[StreamApp]:
    """Return the Stream apps that have a queue."""
    return [app for app in settings.stream_apps if app.sqs_queue_url]


def _receive_from(queues: "Sequence[SqsQueue]") -> None:
    threads = [threading.Thread(target=queue.keep_receiving) for queue in queues for _ in range(THREADS_PER_QUEUE)]
    for thread in threads:
        thread.start()
    log.info("sqs_started", queues=len(queues))
    for thread in threads:
        thread.join()
    log.info("sqs_stopped")


class SqsQueue:
    """One queue with the events of `tenant`. Several threads may receive from it."""

    def __init__(self, context: WebContext, tenant: str, url: str, stop: threading.Event) -> None:
        self._context, self._tenant, self._url, self._stop = context, tenant, url, stop
        self._outage = Outage("sqs_away", "sqs_back", tenant=tenant)
        region = re.match(r"https://sqs\.([a-z0-9-]+)\.", url)
        # Not boto3's default session, which is not thread-safe.
        self._sqs = boto3.session.Session().client(
            "sqs",
            region_name=region[1] if region else None,
            config=Config(connect_timeout=5, read_timeout=POLL_S + 5, retries={"max_attempts": 1}),
        )

    def keep_receiving(self) -> None:
        """Receive until the process stops."""
        while not self._stop.is_set():
            try:
                self.receive()
                self._outage.note_answer()
            except (BotoCoreError, ClientError) as error:
                code = _code(error)
                advice = next((advice for word, advice in ADVICE.items() if word in code), "check the network")
                self._outage.note_error(code, advice=advice)
                self._stop.wait(PAUSE_S)

    def receive(self) -> None:
        """Wait for messages, receive their events and delete them. Raises BotoCoreError and ClientError."""
        response = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=POLL_S,
            VisibilityTimeout=VISIBLE_AGAIN_S,
            MessageAttributeNames=["All"],
            AttributeNames=["ApproximateReceiveCount"],
        )
        messages: Sequence[Mapping[str, Any]] = response.get("Messages", [])
        give_up_s = Seconds(time.monotonic() + REDIS_WAIT_S)
        received = self._receive_all(messages, give_up_s)
        if received:
            self._delete(received)

    def _delete(self, messages: Sequence[Mapping[str, Any]]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        failed = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", [])
        if failed:  # SQS delivers them again, and the script that applies events drops repetitions
            log.warning("sqs_kept_messages", tenant=self._tenant, messages=len(failed))

    def _receive_all(self, messages: Sequence[Mapping[str, Any]], give_up_s: Seconds) -> list[Mapping[str, Any]]:
        """Receive messages, waiting for Redis until `give_up_s` (monotonic). Returns those that were received.

        While one message is refused, the others do not wait for it.
        """
        received: list[Mapping[str, Any]] = []
        waiting = list(messages)
        while waiting:
            waiting = self._receive_once(waiting, received)
            if waiting and (time.monotonic() + PAUSE_S > give_up_s or self._stop.is_set()):
                for _ in waiting:
                    metrics.WEBHOOKS.add("unknown", "redis_away")
                break
            if waiting:
                self._stop.wait(PAUSE_S)
        return received

    def _receive_once(
        self, messages: Sequence[Mapping[str, Any]], received: list[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Receive each message once; adds what was received to `received`, and returns what was not taken."""
        refused = []
        for number, message in enumerate(messages):
            try:
                self._receive(message)
                received.append(message)
            except ResponseError as error:
                self._context.outage.note_redis_error(error)
                refused.append(message)
            except PutOffError:
                refused.append(message)
            except RedisError as error:  # Redis is away: it would not take the rest either
                self._context.outage.note_redis_error(error)
                return [*refused, *messages[number:]]
            except Exception as error:
                log.exception("unexpected_error", error=_code(error))
        return refused

    def _receive(self, message: Mapping[str, Any]) -> None:
        started_s, now = time.perf_counter(), self._context.now()
        try:
            body = unwrap(message["Body"])
        except UnreadableMessage as error:
            raw = message["Body"].encode("utf-8", "surrogatepass")
            receive_unreadable(self._context.intake, self._tenant, raw, str(error), now)
            return
        webhook_id = _webhook_id(message) or hashlib.sha256(body).hexdigest()
        attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        receive(self._context.intake, self._tenant, body, webhook_id, now, attempt, may_be_late=True)
        metrics.INTAKE.observe(Seconds(time.perf_counter() - started_s))


def _webhook_id(message: Mapping[str, Any]) -> str:
    attributes = message.get("MessageAttributes", {})
    return next((value.get("StringValue", "") for name, value in attributes.items() if name.lower() == WEBHOOK_ID), "")


def _code(error: Exception) -> str:
    code: str = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return code
