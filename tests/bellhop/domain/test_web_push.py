"""What a browser gives as its subscription: which endpoints and keys are accepted, and how a device stores them."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from bellhop.domain.device import Device, Provider
from bellhop.domain.payloads import payload
from bellhop.domain.plan import plan
from bellhop.domain.push import QUIET, PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.web_push import KNOWN_SERVICES, from_base64url, read_public_key, service_of, to_base64url, topic
from bellhop.store.registry import decode
from tests.factories import a_browser, a_device, a_round

MOZILLA = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB_x-1"


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:APA91b-_", "fcm.googleapis.com"),
        ("https://fcm.googleapis.com:443/wp/abc", "fcm.googleapis.com"),
        (MOZILLA, "updates.push.services.mozilla.com"),
        ("https://web.push.apple.com/QGuQyavXutnMH9", "*.push.apple.com"),
        ("https://wns2-by3p.notify.windows.com/w/?token=BQYAAAB%2bX", "*.notify.windows.com"),
        ("https://push.example.org:8443/UP?x=1", "push.example.org:8443"),
        ("https://fcm.googleapis.com:8443/x", None),
        ("https://push.apple.com/x", None),
        ("https://.push.apple.com/x", "not a URL"),
        ("https://a..push.apple.com/x", "not a URL"),
        (f"https://{'a' * 63}.push.apple.com/x", "*.push.apple.com"),
        (f"https://{'a' * 64}.push.apple.com/x", "not a URL"),
        ("https://evil.example/fcm.googleapis.com/x", None),
        ("https://fcm.googleapis.com.evil.example/x", None),
        ("https://127.0.0.1/x", None),
        ("http://fcm.googleapis.com/x", "not a URL"),
        ("https://fcm.googleapis.com@evil.example/x", "not a URL"),
        ("https://fcm.googleapis.com:443@evil.example/x", "not a URL"),
        ("https://evil.example\\@fcm.googleapis.com/x", "not a URL"),
        ("https://fcm.googleapis.com\\@evil.example/x", "not a URL"),
        ("https://fcm.googleapis.com/x#y", "not a URL"),
        ("https://fcm.googleapis.com/x\r\nHost: evil", "not a URL"),
        ("https://fcm.googleapis.com/\u00e4", "not a URL"),
        ("https://FCM.googleapis.com/x", "not a URL"),
        ("https://[::1]/x", "not a URL"),
        ("https://fcm.googleapis.com", "not a URL"),
        ("file:///etc/passwd", "not a URL"),
    ],
)
def test_an_endpoint_is_of_a_known_push_service_or_refused(endpoint, service):
    services = (*KNOWN_SERVICES, "push.example.org:8443")
    if service == "not a URL":
        with pytest.raises(ValueError, match="https URL"):
            service_of(endpoint, services)
        with pytest.raises(ValidationError):
            a_browser(token=endpoint)
    else:
        assert service_of(endpoint, services) == service
        assert a_browser(token=endpoint).token == endpoint


def test_a_public_key_must_be_a_point_of_the_curve():
    point = (
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    text = to_base64url(point)
    assert read_public_key(text) == read_public_key(text + "=") == text
    for wrong in (
        b"",
        point[:-1],
        point + b"\0",
        b"\2" + point[1:],
        b"\4" + bytes(64),
        point[:-1] + bytes([point[-1] ^ 1]),
        b"\4" + b"\xff" * 64,
    ):
        with pytest.raises(ValueError, match="P-256"):
            read_public_key(to_base64url(wrong))
    for no_text in ("", "A", text.replace("A", "+") + "+", f"{text} ", "ä"):
        with pytest.raises(ValueError, match="P-256"):
            read_public_key(no_text)


def test_base64url_without_padding_is_read_back():
    for length in range(70):
        assert from_base64url(to_base64url(bytes(range(length)))) == bytes(range(length))


@pytest.mark.parametrize("missing", ["p256dh", "auth"])
def test_a_subscription_needs_both_keys_and_others_have_none(missing):
    with pytest.raises(ValidationError, match="p256dh and auth"):
        Device(**{key: value for key, value in a_browser().model_dump().items() if key != missing})
    phone = a_device(p256dh="whatever", auth="whatever")
    assert (phone.p256dh, phone.auth) == ("", "")
    assert phone.model_dump_json() == a_device().model_dump_json(), "older versions read it as before"


def test_a_browser_is_stored_with_its_keys_and_read_back():
    browser = a_browser(expires_at=1_900_000_000_000_000)
    assert decode([browser.model_dump_json().encode()]) == [browser]
    assert browser.label == f"webpush alert {browser.key[:6]}"


def test_every_push_goes_to_a_browser_with_one_topic_a_call():
    browser, round_ = a_browser(), a_round()
    pushes = {
        kind: plan(kind, round_, {"ben": [browser]}, round_.started_at, ticket_secret=b"s" * 16).pushes[0]
        for kind in PushKind
        if kind is not PushKind.ALERT_RING
    }
    assert {push.collapse_id for push in pushes.values()} == {topic("default", round_.cid)}
    assert len(topic("default", round_.cid)) == 32
    assert topic("default", "default:2") != topic("default", "default:1") != topic("other", "default:1")
    assert {kind for kind, push in pushes.items() if push.options.urgent} == pushes.keys() - QUIET
    assert "receipt" in pushes[PushKind.RING].payload


def test_a_ring_in_a_browser_has_the_texts_that_it_may_need():
    ring = payload(Provider.WEB_PUSH, PushKind.RING, a_round(), Recipient(id="ben"), 1, 2)
    missed = payload(Provider.WEB_PUSH, PushKind.MISSED, a_round(), Recipient(id="ben"), 1, 2)
    assert ring["title"] == "Sara is calling you"
    assert (ring["missed_title"], ring["missed_body"]) == (missed["title"], missed["body"])
    android = payload(Provider.FCM, PushKind.RING, a_round(), Recipient(id="ben"), 1, 2)
    assert android.items() <= ring.items(), "a service worker gets all that an Android phone gets"
    assert all(isinstance(value, str) for value in ring.values())
