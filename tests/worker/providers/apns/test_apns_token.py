import asyncio
import time

import jwt
import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.store.async_client import Store
from tests.waiting import come_true
from tests.worker.providers.apns.apns_pushes import TOKEN, MakeSender, ring
from worker.providers.apns.provider_token import MIN_AGE_S, ProviderToken
from worker.providers.apns.token_store import RENEW_AFTER_S, MemoryTokenStore, RedisTokenStore, SignedToken

KEY_ID, TEAM_ID = "KEY1234567", "TEAM123456"


def provider(signing_key: tuple[str, str], store: Store | None = None) -> ProviderToken:
    tokens = RedisTokenStore(store, TEAM_ID, KEY_ID) if store else MemoryTokenStore()
    return ProviderToken(signing_key[0], KEY_ID, TEAM_ID, tokens)


def aged(token: SignedToken, age_s: float) -> SignedToken:
    return token._replace(issued_at_s=int(time.time() - age_s))


async def test_the_token_is_what_apple_asks_for(signing_key: tuple[str, str]) -> None:
    token = await provider(signing_key).get()
    scheme, _, encoded = token.header.partition(" ")
    assert scheme == "bearer"
    assert jwt.get_unverified_header(encoded)["kid"] == KEY_ID
    claims = jwt.decode(encoded, signing_key[1], algorithms=["ES256"])
    assert claims == {"iss": TEAM_ID, "iat": token.issued_at_s}
    assert token.age_s() < 5


@pytest.mark.parametrize("key", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_key_that_cannot_sign_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the APNs key KEY1234567 is not an ES256 private key") as refusal:
        ProviderToken(key, KEY_ID, TEAM_ID)
    assert not key or key not in str(refusal.value)


async def test_one_token_serves_many_connections_and_senders(
    apple: AppleStandIn, make_sender: MakeSender, signing_key: tuple[str, str], store: Store
) -> None:
    apple.limit_token_updates = True
    senders = [make_sender(token=provider(signing_key, store), max_connections=2) for _ in range(2)]
    answers = await asyncio.gather(*(sender.send(ring(), 10) for sender in senders for _ in range(100)))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    await come_true(lambda: len(apple.connections) == 4)
    assert len({request.headers["authorization"] for request in apple.received}) == 1


async def test_processes_that_start_at_once_agree_on_one_token(signing_key: tuple[str, str], store: Store) -> None:
    assert len(set(await asyncio.gather(*(provider(signing_key, store).get() for _ in range(10))))) == 1


async def test_a_token_is_renewed_after_fifty_minutes_by_one_process(
    signing_key: tuple[str, str], store: Store
) -> None:
    old = aged(await provider(signing_key).get(), RENEW_AFTER_S + 1)
    await RedisTokenStore(store, TEAM_ID, KEY_ID).replace(None, old)
    renewed = set(await asyncio.gather(*(provider(signing_key, store).get() for _ in range(5))))
    assert len(renewed) == 1
    assert renewed.pop().age_s() < 60


async def test_a_token_that_others_use_is_taken_up_until_then(signing_key: tuple[str, str], store: Store) -> None:
    in_use = aged(await provider(signing_key).get(), RENEW_AFTER_S - 60)
    await RedisTokenStore(store, TEAM_ID, KEY_ID).replace(None, in_use)
    assert await provider(signing_key, store).get() == in_use


async def test_redis_forgets_a_token_that_nobody_may_use_any_more(
    redis_url: str, signing_key: tuple[str, str], store: Store
) -> None:
    await provider(signing_key, store).get()
    left_s = await store.call("TTL", f"bellhop:apns-token:{TEAM_ID}:{KEY_ID}")
    assert 0 < left_s <= RENEW_AFTER_S


@pytest.mark.parametrize("shared", [True, False], ids=["redis", "memory"])
async def test_a_refused_token_is_replaced_after_twenty_minutes(
    signing_key: tuple[str, str], store: Store, shared: bool
) -> None:
    tokens = RedisTokenStore(store, TEAM_ID, KEY_ID) if shared else MemoryTokenStore()
    refused = aged(await provider(signing_key).get(), MIN_AGE_S + 60)
    await tokens.replace(None, refused)
    token = ProviderToken(signing_key[0], KEY_ID, TEAM_ID, tokens)
    assert await token.get() == refused
    assert await token.refused(refused)
    assert await token.get() != refused
    assert await token.get() == await tokens.current()


async def test_a_young_token_is_never_replaced(signing_key: tuple[str, str], store: Store) -> None:
    token = provider(signing_key, store)
    young = await token.get()
    assert not await token.refused(young)
    assert await token.get() == young


async def test_a_token_is_replaced_by_one_process_only(signing_key: tuple[str, str], store: Store) -> None:
    refused = aged(await provider(signing_key).get(), MIN_AGE_S + 60)
    await RedisTokenStore(store, TEAM_ID, KEY_ID).replace(None, refused)
    mine, theirs = provider(signing_key, store), provider(signing_key, store)
    assert await mine.get() == await theirs.get() == refused
    assert await theirs.refused(refused)
    assert await mine.refused(refused)
    assert await mine.get() == await theirs.get()


async def test_a_token_that_another_key_signed_is_replaced(signing_key: tuple[str, str], store: Store) -> None:
    """An operator repairs a wrong key file: the pushes must not go on with the token of that file."""
    wrong, repaired = provider(new_signing_key(), store), provider(signing_key, store)
    of_wrong = await wrong.get()
    token = await repaired.get()
    assert jwt.decode(token.header.partition(" ")[2], signing_key[1], algorithms=["ES256"])
    assert await provider(signing_key, store).get() == token != of_wrong


async def test_a_token_from_the_future_is_replaced(
    signing_key: tuple[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker starts while its machine's clock is two hours ahead. Then the clock is set."""
    early, other = provider(signing_key, store), provider(signing_key, store)
    with monkeypatch.context() as ahead:
        now = time.time
        ahead.setattr(time, "time", lambda: now() + 7200)
        of_future = await early.get()
    token = await other.get()
    assert 0 <= token.age_s() < 60
    assert await early.refused(of_future)
    assert await early.get() == token


async def test_a_token_of_a_clock_slightly_ahead_is_kept(signing_key: tuple[str, str], store: Store) -> None:
    now_s = int(time.time()) + 10
    ahead = SignedToken(now_s, "bearer " + jwt.encode({"iss": TEAM_ID, "iat": now_s}, signing_key[0], "ES256"))
    await RedisTokenStore(store, TEAM_ID, KEY_ID).replace(None, ahead)
    assert await provider(signing_key, store).get() == ahead


@pytest.mark.parametrize("stored", [b"", b"nonsense", b"12 ", b"\xff"])
async def test_rubbish_in_redis_does_not_stop_the_pushes(
    signing_key: tuple[str, str], store: Store, stored: bytes
) -> None:
    await store.call("SET", f"bellhop:apns-token:{TEAM_ID}:{KEY_ID}", stored)
    assert (await provider(signing_key, store).get()).header.startswith("bearer ey")


async def test_without_redis_a_process_uses_one_token_of_its_own(signing_key: tuple[str, str]) -> None:
    store = Store.from_url("redis://127.0.0.1:1/0", timeout_s=0.5)
    token = provider(signing_key, store)
    first = await token.get()
    assert await token.get() == first
    assert not await token.refused(first)
    await store.close()


async def test_an_expired_token_is_replaced_and_the_push_is_unsent(
    apple: AppleStandIn, make_sender: MakeSender, signing_key: tuple[str, str]
) -> None:
    tokens = MemoryTokenStore()
    old = aged(await provider(signing_key).get(), MIN_AGE_S + 60)
    await tokens.replace(None, old)
    sender = make_sender(token=ProviderToken(signing_key[0], KEY_ID, TEAM_ID, tokens))
    apple.script(TOKEN, AppleReply(403, "ExpiredProviderToken"))
    answer = await sender.send(ring(), 5)
    assert (answer.outcome, answer.status, answer.reason) == (Outcome.UNSENT, 403, "ExpiredProviderToken")
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    first, second = (request.headers["authorization"] for request in apple.requests)
    assert first == old.header != second


async def test_an_expired_token_that_is_brand_new_means_a_wrong_clock(
    apple: AppleStandIn, make_sender: MakeSender
) -> None:
    apple.script(TOKEN, AppleReply(403, "ExpiredProviderToken"))
    answer = await make_sender().send(ring(), 5)
    assert (answer.outcome, answer.reason) == (Outcome.CREDENTIALS_REFUSED, "ExpiredProviderToken")


async def test_too_many_token_updates_replace_only_the_connection(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender()
    apple.script(TOKEN, AppleReply(429, "TooManyProviderTokenUpdates"))
    assert (await sender.send(ring(), 5)).outcome is Outcome.THROTTLED
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    first, second = apple.requests
    assert first.headers["authorization"] == second.headers["authorization"]
    assert first.connection != second.connection
