"""Ask Stream about a call because a person wants to know: `bellhop explain --ask` and a button of the console."""

import asyncio

import aiohttp

from bellhop.clock import Seconds
from bellhop.explain.explanation import explain
from bellhop.queue.job_payloads import QueuedRound
from bellhop.ring_question import AskedRing, AskedStream, stream_questions
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.stored_call import StoredCall, read_call
from bellhop.stream_api import stream_apis

MAX_WAIT_S = Seconds(5.0)
"""How long a person waits for the answer to a question, the commands to Redis included."""
SWITCHED_OFF = (
    "Stream was not asked: BELLHOP_STREAM_QUESTIONS_PER_S is 0, or the settings do not contain the API key and secret "
    "of the Stream app."
)


def may_ask(settings: Settings, tenant: str) -> bool:
    """Tell whether the settings allow questions about calls of this Stream app."""
    return bool(settings.stream_questions_per_s) and tenant in {app.tenant for app in settings.stream_apps}


async def ask_on_demand(settings: Settings, tenant: str, cid: str) -> AskedStream | None:
    """Ask about the latest ring of a call. None if the settings do not allow questions.

    Raises redis.exceptions.RedisError, and TimeoutError if Redis is away for long.
    """
    if not may_ask(settings, tenant):
        return None
    async with asyncio.timeout(MAX_WAIT_S), aiohttp.ClientSession() as session:
        store = Store.from_url(settings.redis_url)
        try:
            questions = stream_questions(settings, store, stream_apis(settings, session))
            stored = await read_call(store, tenant, cid)
            return await questions.ask(_latest_ring(tenant, cid, stored)) if questions else None
        finally:
            await store.close()


def in_a_sentence(cid: str, asked: AskedStream | None) -> str:
    """Say how a question ended; empty if there is nothing to say."""
    if asked is None:
        return SWITCHED_OFF
    if asked.milestone is None:
        return ""
    return explain(cid, [asked.milestone]).rounds[0].timeline[0].sentence


def _latest_ring(tenant: str, cid: str, stored: StoredCall) -> AskedRing:
    for started_at in sorted(stored.rounds, reverse=True):
        if facts := stored.rounds[started_at].get("facts"):
            return AskedRing.of(QueuedRound.model_validate_json(facts))
    return AskedRing(tenant, cid)
