"""`bellhop sqs`: takes the events that Stream puts into queues of Amazon's SQS, as the web process takes webhooks.

A message is deleted only after its event was taken in. One that could not be taken appears again after VISIBLE_AGAIN_S,
and the queue's own redrive policy says when it has done so too often.
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
from redis.exceptions import RedisError

from bellhop.settings import Settings
from bellhop.telemetry import metrics
from bellhop.telemetry.outage import Outage
from webhook import metrics_flush
from webhook.context import WebContext
from webhook.intake.receive import keep, take
from webhook.sources.amazon.envelope import UnreadableMessage, unwrap

log = structlog.get_logger()

RECEIVERS = 4
"""Threads for each queue. Each takes ten messages at a time, and needs about a millisecond for one."""
AT_ONCE = 10
"""The most that SQS gives out."""
POLL_S = 5
"""How long SQS waits for messages before it answers that there are none; stopping takes as long."""
VISIBLE_AGAIN_S = 30
"""When SQS gives a message to somebody else, unless it was deleted."""
PATIENCE_S = 20.0
"""How long a message waits here for Redis to come back; well before somebody else gets it."""
PAUSE_S = 1.0
NO_CREDENTIALS = (
    "boto3 finds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
)
KNOWN = {
    "NonExistentQueue": "there is no such queue: check BELLHOP_SQS_QUEUE_URL, its region and account",
    "AccessDenied": "allow sqs:ReceiveMessage and sqs:DeleteMessage on the queue",
    "InvalidClientTokenId": "Amazon does not know the access key",
    "SignatureDoesNotMatch": "the secret access key is another key's, or this machine's clock is wrong",
    "ExpiredToken": "the credentials have expired",
    "NoCredentials": NO_CREDENTIALS,
}
"""What the word in an error most often means, and what to do."""
WEBHOOK_ID = "x-webhook-id"


def run(settings: Settings) -> int:
    """Take in from all queues until told to stop; returns the exit status."""
    context, stopping = WebContext(settings), threading.Event()
    metrics_flush.start(context)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    apps = [app for app in settings.stream_apps if app.sqs_queue_url]
    try:
        queues = [SqsQueue(context, app.tenant, app.sqs_queue_url, stopping) for app in apps]
        lacking = boto3.session.Session().get_credentials() is None
    except BotoCoreError as error:  # a region or a profile that is not there
        log.error("sqs_cannot_start", error=_name(error), advice=str(error))
        return 2
    if lacking:
        log.error("sqs_cannot_start", error="NoCredentials", advice=NO_CREDENTIALS)
        return 2
    threads = [threading.Thread(target=queue.keep_receiving) for queue in queues for _ in range(RECEIVERS)]
    for thread in threads:
        thread.start()
    log.info("sqs_started", queues=len(queues))
    for thread in threads:
        thread.join()
    log.info("sqs_stopped")
    return 0


class SqsQueue:
    """One queue, whose messages are events of `tenant`; several threads may receive from it."""

    def __init__(self, context: WebContext, tenant: str, url: str, stopping: threading.Event) -> None:
        self._context, self._tenant, self._url, self._stopping = context, tenant, url, stopping
        self._outage = Outage("sqs_away", "sqs_back", tenant=tenant)
        region = re.match(r"https://sqs\.([a-z0-9-]+)\.", url)
        # A session of its own: boto3's default one is not made for threads.
        self._sqs = boto3.session.Session().client(
            "sqs",
            region_name=region[1] if region else None,
            config=Config(connect_timeout=5, read_timeout=POLL_S + 5, retries={"max_attempts": 1}),
        )

    def keep_receiving(self) -> None:
        """Receive until told to stop."""
        while not self._stopping.is_set():
            try:
                self.receive()
                self._outage.is_over()
            except (BotoCoreError, ClientError) as error:
                name = _name(error)
                advice = next((advice for word, advice in KNOWN.items() if word in name), "check the network")
                self._outage.goes_on(name, advice=advice)
                self._stopping.wait(PAUSE_S)

    def receive(self) -> None:
        """Wait for messages, take them in and delete those. Raises as botocore does."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=AT_ONCE,
            WaitTimeSeconds=POLL_S,
            VisibilityTimeout=VISIBLE_AGAIN_S,
            MessageAttributeNames=["All"],
            AttributeNames=["ApproximateReceiveCount"],
        )
        messages: Sequence[Mapping[str, Any]] = answer.get("Messages", [])
        give_up = time.monotonic() + PATIENCE_S
        taken = [message for message in messages if self._taken(message, give_up)]
        if taken:
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(taken)]
            failed = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", [])
            if failed:  # they come again, and are known by then
                log.warning("sqs_kept_messages", tenant=self._tenant, messages=len(failed))

    def _taken(self, message: Mapping[str, Any], give_up: float) -> bool:
        while True:
            try:
                self._take(message)
            except RedisError as error:
                self._context.outage.goes_on(_name(error))
                if time.monotonic() + PAUSE_S > give_up or self._stopping.is_set():
                    metrics.WEBHOOKS.add("unknown", "redis_away")
                    return False
                self._stopping.wait(PAUSE_S)
            except Exception as error:
                log.exception("unexpected_error", error=_name(error))
                return False
            else:
                return True

    def _take(self, message: Mapping[str, Any]) -> None:
        began, now = time.perf_counter(), self._context.now()
        try:
            body = unwrap(message["Body"])
        except UnreadableMessage as error:
            keep(self._context, self._tenant, message["Body"].encode("utf-8", "surrogatepass"), str(error), now)
            return
        webhook_id = _webhook_id(message) or hashlib.sha256(body).hexdigest()
        attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        take(self._context, self._tenant, body, webhook_id, now, attempt)
        metrics.INTAKE.observe(time.perf_counter() - began)


def _webhook_id(message: Mapping[str, Any]) -> str:
    attributes = message.get("MessageAttributes", {})
    return next((value.get("StringValue", "") for name, value in attributes.items() if name.lower() == WEBHOOK_ID), "")


def _name(error: Exception) -> str:
    code: str = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return code
