"""Who asks: Stream user tokens and server tokens, and everything that is neither."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.api_errors import ApiError, ApiErrorKind
from webhook.auth import LEEWAY_S, MAX_TOKEN, Requester, authenticate
from webhook.intake.signature import KeyRing, SigningApp

NOW = 1_800_000_000.0
LIVE_OLD, LIVE, STAGING = (
    b"live-secret-before-it-was-rotated...",
    b"live-secret-of-today................",
    b"staging-secret......................",
)
RING = KeyRing(
    [SigningApp("live", ("live-key",), (LIVE, LIVE_OLD)), SigningApp("staging", ("staging-key",), (STAGING,))]
)
ONE = KeyRing([SigningApp("live", ("live-key",), (LIVE,))])


def token(claims, secret=LIVE, **header):
    return jwt.encode(claims, secret, header.pop("alg", "HS256"), headers=header)


def ask(text, api_key="live-key", ring=RING, now_s=NOW):
    return authenticate(ring, authorization=text, api_key=api_key, now_s=now_s)


def problem_of(*args, **options):
    with pytest.raises(ApiError) as caught:
        ask(*args, **options)
    return caught.value.kind


def by_hand(header, payload, secret=LIVE):
    """A token of any bytes, signed as HS256 says whatever its header claims."""
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).rstrip(b"=")
    return (signed + b"." + signature).decode()


HS256 = b'{"alg":"HS256","typ":"JWT"}'


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer  {} "])
def test_a_user_token_is_its_user_with_and_without_bearer(form):
    assert ask(form.format(token({"user_id": "jane"}))) == Requester("live", "jane")


def test_a_server_token_is_a_backend():
    assert ask(token({"server": True, "iat": NOW})) == Requester("live", None)


def test_the_server_token_of_the_python_sdk_is_a_backend():
    """getstream makes it of the time and nothing else."""
    assert ask(token({"iat": int(NOW)})) == Requester("live", None)


@pytest.mark.parametrize("more", [{"exp": NOW + 60}, {"nbf": NOW}, {"sub": "jane"}, {"role": "user"}, {"server": 0}])
def test_a_token_without_user_and_with_more_than_iat_is_invalid(more):
    assert problem_of(token({"iat": int(NOW), **more})) is ApiErrorKind.INVALID_TOKEN


@pytest.mark.parametrize("whose", [{"user_id": "jane"}, {"server": True}, {}])
@pytest.mark.parametrize("claim", ["call_cids", "channel_cids"])
def test_a_token_for_some_calls_does_not_act_for_a_whole_user(whose, claim):
    assert problem_of(token({"iat": int(NOW), claim: ["default:a"], **whose})) is ApiErrorKind.LIMITED_TOKEN


def test_a_server_token_that_names_a_user_is_that_user_only():
    assert ask(token({"server": True, "user_id": "jane"})) == Requester("live", "jane")


@pytest.mark.parametrize("secret", [LIVE, LIVE_OLD])
def test_every_secret_of_an_app_is_valid_during_a_rotation(secret):
    assert ask(token({"user_id": "jane"}, secret)) == Requester("live", "jane")


def test_the_api_key_chooses_the_app_and_the_secret_proves_it():
    staging = token({"user_id": "jane"}, STAGING)
    assert ask(staging, "staging-key") == Requester("staging", "jane")
    assert problem_of(staging, "live-key") is ApiErrorKind.INVALID_TOKEN, "a token of another tenant opens nothing"


def test_without_an_api_key_the_only_app_is_meant():
    assert ask(token({"user_id": "jane"}), None, ONE) == Requester("live", "jane")
    assert problem_of(token({"user_id": "jane"}), None) is ApiErrorKind.UNKNOWN_APP
    assert problem_of(token({"user_id": "jane"}), "nobodys-key") is ApiErrorKind.UNKNOWN_APP


@pytest.mark.parametrize("text", [None, "", " ", "Bearer", "Bearer "])
def test_no_token_is_said_to_be_missing(text):
    assert problem_of(text) is ApiErrorKind.MISSING_TOKEN


SIGNED_OTHERWISE = {
    "alg none": jwt.encode({"user_id": "jane"}, None, "none"),
    "alg none with our signature": by_hand(b'{"alg":"none"}', b'{"user_id":"jane"}'),
    "HS384": token({"user_id": "jane"}, alg="HS384"),
    "HS512": token({"user_id": "jane"}, alg="HS512"),
    "an algorithm that is a list": by_hand(b'{"alg":["HS256"]}', b'{"user_id":"jane"}'),
    "hs256 in small letters": by_hand(b'{"alg":"hs256"}', b'{"user_id":"jane"}'),
    "no algorithm": by_hand(b"{}", b'{"user_id":"jane"}'),
    "an extension we must know": by_hand(b'{"alg":"HS256","crit":["exp2"],"exp2":1}', b'{"user_id":"jane"}'),
    "a wrong secret": token({"user_id": "jane"}, b"somebody-elses-secret..............."),
    "an empty secret": by_hand(HS256, b'{"user_id":"jane"}', b""),
    "its last letter cut": token({"user_id": "jane"})[:-1],
    "two parts": token({"user_id": "jane"}).rpartition(".")[0],
    "four parts": token({"user_id": "jane"}) + ".e30",
}


@pytest.mark.parametrize("name", SIGNED_OTHERWISE)
def test_a_token_that_is_signed_otherwise_is_refused(name):
    assert problem_of(SIGNED_OTHERWISE[name]) is ApiErrorKind.INVALID_TOKEN


@pytest.mark.parametrize(
    "claims",
    [
        b"{}",
        b"[]",
        b"null",
        b'"jane"',
        b"not json",
        b"\xff",
        b"[" * 2000,
        b'{"user_id": ""}',
        b'{"user_id": 7}',
        b'{"user_id": null}',
        b'{"user_id": ["jane"]}',
        b'{"user_id": "a\\u0000b"}',
        b'{"user_id": "line\\nbreak"}',
        b'{"user_id": "' + b"x" * 256 + b'"}',
        b'{"server": 1}',
        b'{"server": "true"}',
        b'{"server": false}',
        b'{"user_id": null, "server": true}',
        b'{"user_id": "jane", "exp": "soon"}',
        b'{"user_id": "jane", "exp": true}',
        b'{"user_id": "jane", "exp": NaN}',
        b'{"user_id": "jane", "exp": Infinity}',
        b'{"user_id": "jane", "iat": Infinity}',
        b'{"user_id": "jane", "iat": -Infinity}',
        b'{"user_id": "jane", "iat": -1e999}',
        b'{"user_id": "jane", "nbf": [1]}',
    ],
)
def test_signed_claims_that_name_nobody_are_refused(claims):
    assert problem_of(by_hand(HS256, claims)) is ApiErrorKind.INVALID_TOKEN


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"exp": NOW - LEEWAY_S}, ApiErrorKind.EXPIRED_TOKEN),
        ({"exp": -1}, ApiErrorKind.EXPIRED_TOKEN),
        ({"exp": 0}, ApiErrorKind.EXPIRED_TOKEN),
        ({"nbf": NOW + LEEWAY_S + 1}, ApiErrorKind.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + LEEWAY_S + 1}, ApiErrorKind.TOKEN_NOT_YET_VALID),
        ({"nbf": 10**400}, ApiErrorKind.TOKEN_NOT_YET_VALID),
    ],
)
def test_a_token_counts_only_in_its_time(claims, problem):
    assert problem_of(token({"user_id": "jane"} | claims)) is problem


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [
        *(("bellhop", True), (["other", "bellhop"], True)),
        *(
            ("other", False),
            ("Bellhop", False),
            ([], False),
            ("", False),
            (None, False),
            (7, False),
            ([["bellhop"]], False),
        ),
        *(({"bellhop": 1}, False), (["other"], False)),
    ],
)
def test_a_token_for_another_service_is_refused(audience, accepted):
    text = by_hand(HS256, json.dumps({"user_id": "jane", "aud": audience}).encode())
    options = {"authorization": text, "api_key": "live-key", "now_s": NOW}
    if accepted:
        assert authenticate(RING, **options, audiences=["bellhop"]) == Requester("live", "jane")
    with pytest.raises(ApiError) as caught:
        authenticate(RING, **options, audiences=() if accepted else ["bellhop"])
    assert caught.value.kind is ApiErrorKind.WRONG_AUDIENCE


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - LEEWAY_S + 1},
        {"exp": NOW + 0.5},
        {"exp": None},
        {"exp": 10**400},
        {"nbf": NOW + LEEWAY_S},
        {"iat": NOW + LEEWAY_S, "nbf": NOW - 1e6, "exp": NOW + 1},
    ],
)
def test_clocks_may_be_a_little_apart(claims):
    expected = Requester("live", "jane", claims.get("iat"), claims.get("exp"))
    assert ask(token({"user_id": "jane"} | claims)) == expected


def test_a_token_over_the_limit_is_refused_though_it_is_signed():
    claims = {"user_id": "jane", "more": "x" * MAX_TOKEN}
    assert problem_of(token(claims)) is ApiErrorKind.INVALID_TOKEN


def test_an_expired_token_of_an_unknown_app_reveals_nothing_more():
    assert problem_of(token({"user_id": "jane", "exp": 1}), "nobodys-key") is ApiErrorKind.UNKNOWN_APP


anything = st.one_of(
    st.text(),
    st.binary().map(lambda some: some.decode("latin-1")),
    st.lists(st.binary().map(lambda some: base64.urlsafe_b64encode(some).decode()), min_size=3, max_size=3).map(
        ".".join
    ),
)


@given(anything, st.none() | st.text() | st.just("live-key"))
def test_anything_unsigned_is_answered_with_a_401(text, api_key):
    assert problem_of(text, api_key).status == 401


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
claims = st.dictionaries(st.sampled_from(["user_id", "server", "exp", "nbf", "iat", "x"]), json_values)


@given(claims)
def test_any_signed_claims_are_a_user_a_backend_or_a_401(signed):
    try:
        caller = ask(by_hand(HS256, json.dumps(signed).encode()))
    except ApiError as refused:
        assert refused.kind.status == 401
    else:
        assert caller.user_id == signed.get("user_id") or (caller.user_id is None and signed["server"] is True)


@given(st.binary(max_size=200))
def test_any_signed_header_without_hs256_is_a_401(header):
    try:
        alg = json.loads(header).get("alg")
    except (ValueError, AttributeError):
        alg = None
    if alg != "HS256":
        assert problem_of(by_hand(header, b'{"user_id":"jane"}')) is ApiErrorKind.INVALID_TOKEN


def test_brackets_without_end_cost_no_stack_and_little_time():
    began = time.process_time()
    assert problem_of(by_hand(b"[" * 2500, b"{}")) is ApiErrorKind.INVALID_TOKEN
    assert problem_of("." * MAX_TOKEN) is ApiErrorKind.INVALID_TOKEN
    assert problem_of("A" * 10_000_000) is ApiErrorKind.INVALID_TOKEN
    assert time.process_time() - began < 5
