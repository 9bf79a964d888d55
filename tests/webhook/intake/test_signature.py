import base64
import gzip
import hashlib
import hmac
import json
import secrets
import tracemalloc

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhook.intake.strategies import EVENTS, SAMPLES, SIGNATURES, headers
from webhook.intake.signature import (
    GZIP_MAGIC,
    SMALL,
    BodyLimits,
    KeyRing,
    Refusal,
    RefusedWebhook,
    RunningSignature,
    SigningApp,
    Verified,
    verify,
)

SECRET = SIGNATURES["secret"].encode()
ONE_APP = KeyRing([SigningApp("acme", ("key-1", "key-2"), (SECRET,))])
TWO_APPS = KeyRing([SigningApp("acme", ("key-1",), (b"old", b"new")), SigningApp("globex", ("key-9",), (SECRET,))])
BODY = b'{"type":"call.ring"}'
MAX_BYTES = 16 << 20
LIMITS = BodyLimits(MAX_BYTES, 2_000)


def sign(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def taken(body, signature=None, api_key="key-1", content_encoding=None, ring=ONE_APP, **options):
    headers = {"signature": signature, "api_key": api_key, "content_encoding": content_encoding}
    return verify(ring, body, **headers, **{"limits": LIMITS} | options)


def refusal(body, **headers) -> Refusal:
    with pytest.raises(RefusedWebhook) as refused:
        taken(body, **headers)
    assert str(refused.value) == refused.value.refusal.sentence
    return refused.value.refusal


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_streams_signatures_verify(name):
    as_file = (SAMPLES / f"{name}.json").read_bytes()
    minified = json.dumps(EVENTS[name], separators=(",", ":"), ensure_ascii=False).encode()
    signatures = SIGNATURES["signatures"][name]
    for body, signature in ((as_file, signatures["file_hmac"]), (minified, signatures["minified_sha_hmac"])):
        assert taken(body, signature) == Verified("acme", body)
        assert taken(gzip.compress(body), signature, content_encoding="gzip") == Verified("acme", body)
        assert refusal(body + b" ", signature=signature) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("spelling", [str.upper, "  {}\t".format, "\xa0{}\x85".format])
def test_spelling_of_the_signature_does_not_matter(spelling):
    assert taken(BODY, spelling(sign(BODY))).body == BODY


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        (None, Refusal.MISSING_SIGNATURE),
        ("", Refusal.BAD_SIGNATURE),
        ("é" * 64, Refusal.BAD_SIGNATURE),
        (sign(BODY)[:-1], Refusal.BAD_SIGNATURE),
        (sign(BODY) + "00", Refusal.BAD_SIGNATURE),
        (f"{sign(BODY)[:32]} {sign(BODY)[32:]}", Refusal.BAD_SIGNATURE),
        (sign(BODY, b"another secret"), Refusal.BAD_SIGNATURE),
        (sign(BODY, b""), Refusal.BAD_SIGNATURE),
    ],
)
def test_a_signature_that_is_not_streams_is_refused(signature, expected):
    assert refusal(BODY, signature=signature) is expected
    assert expected.status == 401


def test_each_secret_verifies_while_one_is_being_rotated():
    for secret in (b"old", b"new"):
        assert taken(BODY, sign(BODY, secret), ring=TWO_APPS).tenant == "acme"


def test_a_secret_is_good_for_its_own_app_only():
    assert taken(BODY, sign(BODY), "key-9", ring=TWO_APPS).tenant == "globex"
    assert refusal(BODY, signature=sign(BODY), api_key="key-1", ring=TWO_APPS) is Refusal.BAD_SIGNATURE


def test_each_api_key_of_an_app_names_it():
    for key in ("key-1", " key-2 "):
        assert taken(BODY, sign(BODY), key).tenant == "acme"


def test_without_an_api_key_the_only_app_is_meant():
    assert taken(BODY, sign(BODY), None).tenant == "acme"
    assert refusal(BODY, signature=sign(BODY), api_key=None, ring=TWO_APPS) is Refusal.UNKNOWN_APP


@pytest.mark.parametrize("api_key", ["", "key-3", "é"])
def test_an_api_key_that_is_not_configured_is_refused(api_key):
    assert refusal(BODY, signature=sign(BODY), api_key=api_key) is Refusal.UNKNOWN_APP


def test_an_empty_ring_lets_nobody_in():
    assert refusal(BODY, signature=sign(BODY, b""), ring=KeyRing([])) is Refusal.UNKNOWN_APP


@pytest.mark.parametrize("secrets", [(), (b"",), (b"good", b""), (b"  ",)])
def test_an_empty_secret_is_refused_at_start(secrets):
    with pytest.raises(ValueError, match="anybody could sign"):
        KeyRing([SigningApp("acme", ("key-1",), secrets)])


def test_an_api_key_names_one_app():
    with pytest.raises(ValueError, match="listed twice"):
        KeyRing([SigningApp("acme", ("key-1",), (b"a",)), SigningApp("globex", ("key-1 ",), (b"b",))])


def test_secrets_do_not_show_when_an_app_is_printed():
    assert "hush" not in repr(SigningApp("acme", ("key-1",), (b"hush",)))


def a_token(payload=None, headers=None, secret=SECRET):
    """What a user's token signs, and its signature as X-SIGNATURE would have it."""
    signed, _, signature = jwt.encode(payload or {"user_id": "ben"}, secret, "HS256", headers).rpartition(".")
    return signed.encode(), base64.urlsafe_b64decode(signature + "==").hex()


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("headers", [None, {"kid": "x" * 900}])
def test_a_users_own_token_is_no_webhook(headers):
    body, signature = a_token(headers=headers)
    assert signature == sign(body), "it verifies"
    for sent in (body, gzip.compress(body)):
        assert refusal(sent, signature=signature) is Refusal.USER_TOKEN
    assert refusal(body, signature=sign(body, b"another secret")) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "body", [b"{}", b"1.5", b"null", b"eyJ.x", b"eyJhIjoxfQ", b"[].[]", b'"a.b"', b"MTI.x", b"W10.x"]
)
def test_other_signed_bodies_are_no_tokens(body):
    assert taken(body, sign(body)).body == body


@pytest.mark.parametrize("encoding", [None, "", "identity", "gzip", "GZIP ", "x-gzip"])
def test_gzip_is_recognized_by_its_first_bytes_not_the_header(encoding):
    for body in (BODY, gzip.compress(BODY)):
        assert taken(body, sign(BODY), content_encoding=encoding).body == BODY


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "é"])
def test_other_encodings_are_refused(encoding):
    assert refusal(BODY, signature=sign(BODY), content_encoding=encoding) is Refusal.UNSUPPORTED_ENCODING


def test_a_gzip_body_may_come_in_several_members():
    halves = gzip.compress(BODY[:7]) + gzip.compress(BODY[7:])
    assert taken(halves, sign(BODY)).body == BODY


@pytest.mark.parametrize(
    "broken",
    [
        b"\x1f\x8b",
        gzip.compress(BODY)[:-1],
        gzip.compress(BODY)[:-8] + bytes(8),  # a wrong checksum
        gzip.compress(BODY) + b"trailing",
        gzip.compress(b"") * 5,
        (gzip.compress(b"") * 60_000)[: 1 << 20],
    ],
    ids=["nothing more", "cut short", "wrong checksum", "trailing bytes", "five members", "sixty thousand members"],
)
def test_a_gzip_body_that_does_not_inflate_is_refused(broken):
    assert refusal(broken, signature=sign(BODY)) is Refusal.BAD_ENCODING


def test_bodies_up_to_the_limits_are_taken():
    body = bytes(MAX_BYTES)
    assert taken(body, sign(body)).body == body
    assert taken(gzip.compress(body), sign(body)).body == body


@pytest.mark.parametrize("several", [1, 2])
def test_a_gzip_body_may_inflate_to_so_many_times_its_size(several):
    ratio = 50
    body = secrets.token_bytes(1_000) + bytes(199_000)
    sent = b"".join(gzip.compress(body[n::several]) for n in range(several))
    body = b"".join(body[n::several] for n in range(several))
    assert ratio * len(sent) < len(body)
    assert refusal(sent, signature=sign(body), limits=BodyLimits(MAX_BYTES, ratio)) is Refusal.INFLATES_TOO_MUCH
    enough = len(body) // len(sent) + 1
    assert taken(sent, sign(body), limits=BodyLimits(MAX_BYTES, enough)).body == body
    small = bytes(SMALL)
    assert taken(gzip.compress(small), sign(small), limits=BodyLimits(MAX_BYTES, 10)).body == small


def test_a_signature_that_was_made_while_reading_counts():
    body = secrets.token_bytes(200_000)
    for app in (ONE_APP.find("key-1"), TWO_APPS.find("key-1")):
        running = RunningSignature(app)
        for start in range(0, len(body), 16_384):
            running.update(body[start : start + 16_384])
        ring = KeyRing([app])
        assert taken(body, sign(body, app.secrets[-1]), ring=ring, running=running).body == body
        assert refusal(body, signature=sign(b"other"), ring=ring, running=running) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "body",
    [
        bytes(MAX_BYTES + 1),
        gzip.compress(bytes(MAX_BYTES + 1)),
        gzip.compress(bytes(MAX_BYTES)) + gzip.compress(b"x"),
    ],
)
def test_bodies_over_the_limits_are_refused(body):
    assert refusal(body, signature=sign(body)) is Refusal.TOO_LARGE


def test_a_gzip_bomb_stays_small():
    bomb = gzip.compress(bytes(200 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        assert refusal(bomb, signature=sign(b"")) is Refusal.TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert refusal(bomb, signature=sign(b""), limits=BodyLimits()) is Refusal.TOO_LARGE


@given(
    body=st.binary() | st.binary().map(gzip.compress) | st.binary().map(b"\x1f\x8b\x08\x00".__add__),
    signature=headers | st.from_regex(r"\s*[0-9a-fA-F]{64}\s*", fullmatch=True),
    api_key=headers | st.just("key-1"),
    content_encoding=headers | st.just("gzip"),
)
def test_any_bytes_come_to_a_typed_refusal(body, **received):
    for ring in (ONE_APP, TWO_APPS):
        assert refusal(body, ring=ring, **received).status in {400, 401, 413, 415}


@given(body=st.binary().filter(lambda body: not body.startswith(GZIP_MAGIC)), compress=st.booleans())
def test_any_signed_body_is_taken_unchanged(body, compress):
    assert taken(gzip.compress(body) if compress else body, sign(body)) == Verified("acme", body)


def test_the_labels_in_metrics_and_logs_stay():
    assert {refusal.label for refusal in Refusal} == {
        "missing_signature",
        "bad_signature",
        "unknown_app",
        "strange_address",
        "user_token",
        "wrong_path",
        "too_large",
        "inflates_too_much",
        "busy",
        "unsupported_encoding",
        "bad_encoding",
        "no_body",
    }
