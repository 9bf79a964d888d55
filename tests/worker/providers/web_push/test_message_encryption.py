"""Messages for browsers: the example of RFC 8291, and what the stand-in's browser reads."""

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bellhop.domain.web_push import from_base64url, to_base64url
from bellhop.sandbox.push_service_rules import CURVE, decrypt
from worker.providers.web_push.message_encryption import encrypt

# RFC 8291, section 5 and appendix A.
TEXT = b"When I grow up, I want to be a watermelon"
BROWSER_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
BROWSER_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SENDER_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def private_key(text):
    return ec.derive_private_key(int.from_bytes(from_base64url(text), "big"), CURVE)


def test_the_example_of_the_rfc_comes_out_byte_for_byte():
    sent = encrypt(
        TEXT, from_base64url(BROWSER_PUBLIC), from_base64url(AUTH), private_key(SENDER_KEY), from_base64url(SALT)
    )
    assert to_base64url(sent) == BODY
    assert decrypt(sent, private_key(BROWSER_KEY), from_base64url(AUTH)) == TEXT


@pytest.mark.parametrize("length", [0, 1, 15, 16, 3_992, 3_993])
def test_a_browser_reads_what_is_encrypted_for_it_alone(length):
    key, auth, text = ec.generate_private_key(CURVE), os.urandom(16), os.urandom(length)
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    sent = encrypt(text, public, auth)
    assert len(sent) == length + 103 <= 4_096
    assert decrypt(sent, key, auth) == text
    for other_key, other_auth in ((ec.generate_private_key(CURVE), auth), (key, os.urandom(16))):
        with pytest.raises(ValueError, match="not for this browser"):
            decrypt(sent, other_key, other_auth)
    assert encrypt(text, public, auth)[:86] != sent[:86], "each message has a salt and a key of its own"


def test_text_in_any_language_survives():
    text = json.dumps({"title": "Sära 📞 يتصل"}, ensure_ascii=False).encode()
    sent = encrypt(text, from_base64url(BROWSER_PUBLIC), from_base64url(AUTH))
    assert decrypt(sent, private_key(BROWSER_KEY), from_base64url(AUTH)) == text
