"""Posts one message by HTTP/1.1: to push services that speak no HTTP/2."""

import time

import aiohttp
from yarl import URL

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult
from worker.providers.answer_timeout import AnswerTimeout
from worker.providers.posted_body import PostedBody
from worker.providers.web_push.encrypted_push import CONTENT_TYPE, EncryptedPush, headers_of
from worker.providers.web_push.web_push_answers import read_answer

LONGEST_ANSWER = 16_384
"""Bytes. The connection of a longer answer is closed."""


async def post_by_http1(
    session: aiohttp.ClientSession, request: EncryptedPush, timeout_s: Seconds, not_after_s: Seconds
) -> AttemptResult:
    """Post, and return the result within `timeout_s`. After the loop time `not_after_s` nothing is sent."""
    body, url = PostedBody(request.body, not_after_s, CONTENT_TYPE), URL(request.endpoint, encoded=True)
    try:
        async with (
            AnswerTimeout(timeout_s),
            session.post(url, data=body, headers=headers_of(request), allow_redirects=False) as response,
        ):
            content = await _start_of(response)
            retry_after = response.headers.get("Retry-After")
            return read_answer(response.status, content, retry_after, Seconds(time.time()))
    except (aiohttp.ClientError, OSError) as error:
        return body.result_without_answer(error)


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """Read the answer's body, or the start of a long one."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > LONGEST_ANSWER:
            response.close()
            break
    return bytes(content)
