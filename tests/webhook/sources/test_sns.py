"""POST /webhooks/sns: only what Amazon signed, of topics that are configured, and no way to lead us elsewhere."""

import datetime as dt
import json
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bellhop.queue.names import RINGS
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.factories import web_settings
from webhook.app import create_app
from webhook.sources.amazon import sns_message
from webhook.sources.amazon.certificates import BURST, FAILED_S, REQUEST_EVERY_S
from webhook.sources.amazon.sns import Topics
from webhook.sources.amazon.sns_message import SIGNED, is_sns_url

TOPIC = "arn:aws:sns:eu-west-1:123456789012:calls"
AMAZON = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"{AMAZON}/SimpleNotificationService-abc123.pem"
CONFIRM_URL = f"{AMAZON}/?Action=ConfirmSubscription&Token=t"


@cache
def key_and_certificate():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(Encoding.PEM)


def signed(text, kind="Notification", version="2", **changes):
    message = {
        "Type": kind,
        "MessageId": "1",
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": "2026-11-21T12:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **changes,
    }
    if kind != "Notification":
        message = {"Token": "t", "SubscribeURL": CONFIRM_URL, **message}
    words = "".join(f"{name}\n{message[name]}\n" for name in SIGNED[kind] if name in message).encode()
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    message["Signature"] = b64encode(key_and_certificate()[0].sign(words, padding.PKCS1v15(), digest)).decode()
    return message


class Web:
    """The web process, and where it was led to."""

    def __init__(self, redis_url):
        settings = web_settings(redis_url, sns_topics=[TOPIC])
        self.app = create_app(settings)
        self.fetched, self.down = [], False
        self.go_on, self.asked = threading.Event(), threading.Event()
        self.go_on.set()
        self.clock = 0.0
        self.app.extensions["sns"] = Topics(settings, self.fetch, lambda: self.clock)
        self.redis = redis.Redis.from_url(redis_url)

    def fetch(self, url):
        self.fetched.append(url)
        self.asked.set()
        self.go_on.wait(30)
        if self.down:
            raise TimeoutError
        return key_and_certificate()[1]

    def post(self, message):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        reply = self.app.test_client().post("/webhooks/sns", data=body, content_type="text/plain")
        return reply.status_code, reply.json.get("status")

    def queued(self):
        return self.redis.llen(f"rq:queue:{RINGS}")


@pytest.fixture
def web(redis_url):
    web = Web(redis_url)
    yield web
    web.redis.close()


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_event_is_taken_once_and_the_certificate_fetched_once(web, version):
    event = json.dumps(SampleCall().ring())
    assert web.post(signed(event, version=version)) == (200, "taken")
    assert web.post(signed(event, version=version, MessageId="2", Subject="again")) == (200, "already")
    assert web.queued() == 1
    assert web.fetched == [CERTIFICATE_URL]


MIB = 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * MIB, id="brackets"),
        pytest.param(b'{"a":[' + b"[]," * (MIB // 3 - 9) + b"1]}", id="lists"),
        pytest.param(b'{"a":[' + (b"[" * 100 + b"]" * 100 + b",") * (MIB // 201 - 1) + b"1]}", id="nested lists"),
        pytest.param(b"{" + b'"a":1,' * (MIB // 6 - 9) + b'"b":1}', id="fields"),
        pytest.param(b'{"a":' + b"1" * (MIB - 9) + b"}", id="a number"),
    ],
)
def test_json_that_takes_long_is_refused_unread(web, body, monkeypatch):
    """Anybody can post it, and reading it took up to 200 ms."""
    monkeypatch.setattr(sns_message, "json", None)
    assert web.post(body) == (403, None)


def test_a_string_without_an_end_is_refused(web):
    assert web.post(b'"' + b'\\"' * (MIB // 2 - 9)) == (403, None)


def test_a_message_with_attributes_is_taken(web):
    attributes = {f"name-{number}": {"Type": "String", "Value": "x" * 100} for number in range(10)}
    message = signed(json.dumps(SampleCall().ring()))
    assert web.post(message | {"MessageAttributes": attributes}) == (200, "taken")


def test_a_body_of_more_than_a_mebibyte_is_not_read(web):
    assert web.post(b" " * (MIB + 2)) == (413, None)


@pytest.mark.parametrize(
    "change",
    [
        {"Message": "{}"},
        {"Timestamp": "2026-11-22T12:00:00.000Z"},
        {"Signature": "AAAA"},
        {"Signature": "é"},
        {"Signature": None},
        {"SignatureVersion": "3"},
    ],
)
def test_what_amazon_did_not_sign_is_refused(web, change):
    assert web.post(signed(json.dumps(SampleCall().ring())) | change) == (403, None)
    assert web.queued() == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-abc.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-abc.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-abc.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-abc.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-abc.pem",
        "https://sns-eu-west-1.amazonaws.com/SimpleNotificationService-abc.pem",
        "https://sns.eu-west-1.amazonaws.com/?Action=Publish",
        "https://s3.amazonaws.com/SimpleNotificationService-abc.pem",
        f"{CERTIFICATE_URL}?again",
        f"{CERTIFICATE_URL}?é",
        f"{CERTIFICATE_URL}\n",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(web, url):
    assert web.post(signed("{}", SigningCertURL=url)) == (403, None)
    assert web.fetched == []


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"type": "call.ring"}', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_not_an_sns_message_is_refused(web, body):
    assert web.post(body) == (403, None)


def test_an_unconfigured_topic_is_neither_received_nor_confirmed(web):
    other = TOPIC + "-of-others"
    for kind in SIGNED:
        assert web.post(signed("{}", kind, TopicArn=other)) == (403, None)
    assert web.fetched == []


def test_the_subscription_of_a_configured_topic_is_confirmed(web):
    assert web.post(signed("please confirm", "SubscriptionConfirmation")) == (200, "confirmed")
    assert web.fetched == [CERTIFICATE_URL, CONFIRM_URL]


def test_a_confirmation_leads_nowhere_but_to_amazon(web):
    for evil in ("https://evil.example/?Action=ConfirmSubscription", f"{CONFIRM_URL}é"):
        assert web.post(signed("x", "SubscriptionConfirmation", SubscribeURL=evil)) == (403, None)
    assert web.fetched == [CERTIFICATE_URL]


def test_amazon_out_of_reach_makes_sns_post_again(web):
    web.down = True
    message = signed(json.dumps(SampleCall().ring()))
    assert web.post(message) == (503, None)
    assert web.post(message) == (503, None)
    assert web.fetched == [CERTIFICATE_URL], "what has just failed is not tried again at once"
    web.down = False
    web.clock += FAILED_S + 1
    assert web.post(message) == (200, "taken")


def unproven(number):
    """What anybody may post who knows the topic: nothing of it is verified when its certificate is asked for."""
    return signed("{}", SigningCertURL=f"{AMAZON}/SimpleNotificationService-{number}.pem") | {"Signature": "AAAA"}


def test_strangers_make_us_ask_amazon_a_few_times_only(web):
    web.down = True
    assert {web.post(unproven(number)) for number in range(50)} == {(503, None)}
    assert len(web.fetched) == BURST
    web.clock += 3 * REQUEST_EVERY_S
    for number in range(50, 100):
        web.post(unproven(number))
    assert len(web.fetched) == BURST + 3


def test_strangers_cannot_drop_a_fetched_certificate(web):
    assert web.post(signed(json.dumps(SampleCall().ring()))) == (200, "taken")
    for number in range(50):
        web.post(unproven(number))
    assert web.post(signed(json.dumps(SampleCall().ring()), MessageId="2")) == (200, "taken")


def test_one_certificate_is_fetched_at_a_time(web):
    web.go_on.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(web.post, signed(json.dumps(SampleCall().ring())))
        assert web.asked.wait(30)
        others = [pool.submit(web.post, unproven(number)) for number in range(3)]
        assert [other.result() for other in others] == [(503, None)] * 3
        web.go_on.set()
        assert first.result() == (200, "taken")
    assert web.fetched == [CERTIFICATE_URL]


def test_what_holds_no_event_is_kept(web):
    assert web.post(signed("no base64!")) == (200, "kept")
    assert [web.redis.llen(key) for key in web.redis.keys("bellhop:unreadable:default:*")] == [1]


def test_china_is_elsewhere():
    assert is_sns_url("https://sns.cn-north-1.amazonaws.com.cn/x", "arn:aws-cn:sns:cn-north-1:123456789012:calls")
    assert not is_sns_url("https://sns.cn-north-1.amazonaws.com.cn/x", TOPIC.replace("eu-west-1", "cn-north-1"))


def test_without_topics_there_is_no_sns_route(redis_url):
    app = create_app(web_settings(redis_url))
    assert app.test_client().post("/webhooks/sns", data=b"{}").status_code == 404
