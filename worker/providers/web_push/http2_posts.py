"""Posts one message by HTTP/2: on a connection that many messages share."""

import time

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.answer_timeout import AnswerTimeout
from worker.providers.http2.http2_connection import Http2Connection
from worker.providers.http2.http2_pool import AVOID, SUSPICIOUS_S, Http2Pool
from worker.providers.http2.http2_stream import (
    DelayedError,
    Http2Stream,
    NotHttp2Error,
    UnknownError,
    UnsentError,
)
from worker.providers.posted_body import CONNECTION_LOST, TIMEOUT, unsent_reason
from worker.providers.web_push.encrypted_push import EncryptedPush, header_block_of
from worker.providers.web_push.web_push_answers import read_answer


async def post_by_http2(
    pool: Http2Pool, request: EncryptedPush, timeout_s: Seconds, not_after_s: Seconds
) -> AttemptResult:
    """Post, and return the result within `timeout_s`. After the loop time `not_after_s` nothing is sent.

    Raises NotHttp2Error if the host speaks no HTTP/2. Nothing was sent then.
    """
    connection: Http2Connection | None = None
    stream: Http2Stream | None = None
    try:
        async with AnswerTimeout(timeout_s):
            connection = await pool.pick()
            stream = connection.request(header_block_of(request), request.body, not_after_s)
            response = await stream.future
            result = read_answer(response.status, response.body, response.retry_after, Seconds(time.time()))
    except (TimeoutError, UnsentError, UnknownError) as error:
        if isinstance(error.__cause__, NotHttp2Error):
            raise error.__cause__ from None
        is_slow = isinstance(error, TimeoutError) and timeout_s >= SUSPICIOUS_S
        if connection is not None and (connection.lost or is_slow):
            pool.suspect(connection, timeout_s)
        result = _result_without_answer(error, is_sent=stream is not None and stream.sent)
    finally:
        if connection is not None and stream is not None:
            connection.release(stream)
    if connection is not None and result.outcome in AVOID:
        pool.avoid(connection)
    return result


def _result_without_answer(error: TimeoutError | UnsentError | UnknownError, *, is_sent: bool) -> AttemptResult:
    if isinstance(error, DelayedError):
        return AttemptResult(Outcome.DELAYED)
    if isinstance(error, TimeoutError):
        outcome, reason = (Outcome.UNKNOWN, TIMEOUT) if is_sent else (Outcome.UNSENT, unsent_reason(error))
        return AttemptResult(outcome, reason=reason)
    if isinstance(error, UnknownError):
        return AttemptResult(Outcome.UNKNOWN, reason=CONNECTION_LOST, fault=error.fault)
    reason = unsent_reason(error.__cause__) if error.__cause__ else CONNECTION_LOST
    return AttemptResult(Outcome.UNSENT, reason=reason, fault=error.fault)
