"""The e-mail as it goes over the wire, whatever the people and calls in it are called."""

import html
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from email import message_from_bytes, policy
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bellhop.domain.email_address import deliverable_address
from bellhop.domain.round import Recipient
from bellhop.domain.unsubscribe_link import Subscriber, UnsubscribeLinks
from bellhop.domain.user import Contact
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import BUILT_IN, Texts
from tests.factories import a_round
from worker.email.message import MessageBuilder, MissedCalls
from worker.email.safe_text import safe_name

LINKS = UnsubscribeLinks("https://calls.example.com/", [SecretStr("a-secret-of-no-real-app")])
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
AT_US = 1_795_257_000_000_000
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "Content-Type",
    "MIME-Version",
}

TEMPLATES = Templates()
URL = "https://app.example.com/join/{call_id}?type={call_type}&me={user_id}"
NASTY = [
    "Sara\r\nBcc: eve@example.com",
    "Sara\nBcc: eve@example.com\n\nbody",
    "Sara\x00\x0b\x0c\x1c\x85\u2028\u2029Bcc: eve@example.com",
    "=?utf-8?q?Sara=0D=0ABcc:_eve@example.com?=",
    "=?utf-8?b?U2FyYQ0KQmNjOiBldmVAZXhhbXBsZS5jb20=?=",
    'Lind, Sara "Boss" <eve@example.com>; (comment) \\',
    "{{7*7}}{% for x in y %}{{ config }}",
    "{caller}{count}{app}",
    "<script>alert(1)</script>&amp;\"'><img src=x>",
    "سارة ليند",
    "\u202eSara\u2066 evil\u202c",
    "👩🏽‍🚀👨‍👩‍👧‍👦🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "x" * 5000,
    "🚀" * 5000,
    "e\u0301" * 300,
    ".",
    "",
]


def call(caller="Sara Lind", name="Design review", number=0, recipient="Ben Osei", user="ben", **facts):
    return a_round(
        cid=f"default:call/{number}",
        started_at=AT_US + number * 60_000_000,
        caller_name=caller,
        call_name=name,
        recipients=(Recipient(id=user, name=recipient),),
        **facts,
    )


def wire(*calls, language="en", zone=None, count=None, templates=TEMPLATES, texts=BUILT_IN, email="ben@example.com"):
    contact = Contact(email=email, language=language, time_zone=zone)
    builder = MessageBuilder("calls@example.com", "Example Calls", texts, templates, LINKS, URL)
    return builder.build(MissedCalls("ab12", contact, calls, count or len(calls)), NOW).as_bytes()


def read(raw):
    message = message_from_bytes(raw, policy=policy.default)
    text = message.get_body(("plain",)).get_content()
    return message, text, message.get_body(("html",)).get_content()


def test_a_mail_says_who_called_when_and_how_to_get_back():
    message, text, page = read(wire(call(custom={"chat_id": "room-42"}), zone="Europe/Amsterdam"))
    assert message["Subject"] == "Missed call from Sara Lind"
    assert message["From"] == "Example Calls <calls@example.com>"
    assert message["To"] == "Ben Osei <ben@example.com>"
    for part in (text, html.unescape(page)):
        assert "You missed a call from" in part
        assert "2026-11-21, 11:30 CET" in part
        assert "Design review" in part
        assert "room-42" in part
        assert "https://app.example.com/join/call%2F0?type=default&me=ben" in part


def test_its_headers_say_what_it_is_and_how_to_stop_it():
    message, text, page = read(wire(call()))
    assert set(message.keys()) == HEADERS
    assert message["Message-ID"] == "<ab12@example.com>"
    assert message["List-Id"] == "<missed-calls.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW
    link = message["List-Unsubscribe"].strip("<>")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in text and html.escape(link) in page
    token, _, query = link.removeprefix("https://calls.example.com/unsubscribe/").partition("?")
    hashed = LINKS.address(token, dict(parse_qsl(query)))
    assert LINKS.mailboxes.of("default", "ben@example.com") == [hashed]
    assert LINKS.read(token) == Subscriber("default", "ben", "en")
    assert "ben@example.com" not in link


def test_a_long_link_stays_whole_in_its_header():
    raw = wire(call(user="a-user-with-a-very-long-id-" * 8))
    assert re.search(
        rb"^List-Unsubscribe: <https://calls\.example\.com/unsubscribe/[\w.-]+\?to=\w{32}&by=\w{32}>\r$",
        raw,
        re.MULTILINE,
    )


def test_nothing_is_loaded_from_anywhere():
    _, _, page = read(wire(call()))
    assert not re.findall(r"<(?:img|link|script|iframe|object)\b|url\(|@import", page)


@pytest.mark.parametrize("nasty", NASTY)
def test_a_name_cannot_add_a_header_a_recipient_or_a_part(nasty):
    raw = wire(call(nasty, nasty, recipient=nasty, custom={"topic": nasty}))
    message, _, page = read(raw)
    assert set(message.keys()) == HEADERS
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert [address.addr_spec for address in message["To"].addresses] == ["ben@example.com"]
    assert "<script" not in page and "<img" not in page
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert len(raw) < 30_000


@pytest.mark.parametrize("local", ["=?utf-8?b?eA0KQmNjOiBldmVAeC5leGFtcGxlDQoNClBheQ?=", "=?utf-8?q?x=0D=0ABcc:_eve?="])
def test_an_address_cannot_add_a_header_or_a_text(local):
    with suppress(ValueError):  # some versions of Python write it as it is
        assert set(read(wire(call(), email=f"{local}@example.com"))[0].keys()) == HEADERS


@pytest.mark.parametrize("nasty", NASTY)
def test_a_name_is_shown_without_what_is_harmful(nasty):
    message, text, page = read(wire(call(nasty)))
    shown = safe_name(nasty)
    assert shown in message["Subject"]
    assert shown in text
    assert shown in html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Sara https://evil.example/pay now", "Sara now"),
        ("You won! www.evil.example", "You won!"),
        ("evil.example", "evil example"),
        ("EVIL.COM/win", "EVIL COM/win"),
        ("evil。com", "evil com"),
        ("sara@evil.example calls", "calls"),
        ("mailto:x tel:+123 Sara", "Sara"),
        ("Dr. J.R. Smith", "Dr. J.R. Smith"),
        ("anna.lee", "anna lee"),
        ("AC/DC", "AC/DC"),
        ("x" * 300, "x" * 49 + "…"),
    ],
)
def test_a_name_is_short_and_no_link(name, shown):
    assert safe_name(name) == shown
    message, text, _ = read(wire(call(name, name, recipient=name)))
    assert shown in message["Subject"]
    assert shown in text
    assert message["To"].addresses[0].display_name == shown
    for part in (message["Subject"], text.partition("-- ")[0]):
        assert not re.search(r"evil[.。]|://evil|www\.", part)


def test_a_caller_whose_name_is_a_link_has_no_name():
    assert read(wire(call("https://evil.example")))[0]["Subject"] == read(wire(call("")))[0]["Subject"]


def test_a_name_cannot_change_the_direction_of_the_text():
    message, text, page = read(wire(call("\u202eSara\u2066 Lind\u202c\u061c\u200f\ufeff")))
    for part in (message["Subject"], text, page):
        assert "Sara Lind" in part
        assert not set(part) & set("\u202e\u2066\u202c\u061c\u200f\ufeff")


@given(st.text(max_size=400), st.text(max_size=400))
def test_no_text_makes_a_header_or_breaks_the_mail(caller, name):
    surrogates = re.compile(r"[\ud800-\udfff]")
    message, _, _ = read(wire(call(surrogates.sub("", caller), surrogates.sub("", name))))
    assert set(message.keys()) == HEADERS
    assert len(message["To"].addresses) == 1


@pytest.mark.parametrize(
    ("language", "caller", "isolated"),
    [("en", "Sara", False), ("en", "سارة", True), ("ar", "سارة", False), ("ar", "Sara", True), ("en", "👩‍🚀", False)],
)
def test_a_name_of_the_other_direction_is_isolated(language, caller, isolated):
    message, text, page = read(wire(call(caller), language=language))
    for part in (message["Subject"], text):
        assert (f"\u2068{caller}\u2069" in part) is isolated
        assert caller in part
    assert f"<bdi>{caller}</bdi>" in page
    assert f'dir="{"rtl" if language == "ar" else "ltr"}"' in page


@pytest.mark.parametrize("language", BUILT_IN.languages)
def test_every_language_makes_a_whole_mail(language):
    message, text, page = read(wire(call(), call(number=1), language=language, count=14))
    assert message["Content-Language"] == language
    assert f'<html lang="{language}"' in page
    assert "14" in message["Subject"] and "12" in text and "12" in page
    assert "{" not in text + message["Subject"]


def test_the_latest_call_comes_first():
    _, text, _ = read(wire(call(name="first"), call(name="second", number=1)))
    assert text.index("second") < text.index("first")


def test_a_team_brings_its_own_template_and_words(tmp_path):
    (tmp_path / "missed.txt").write_text("{{ caller }} wants you: {{ calls[0].link }}")
    (tmp_path / "en.toml").write_text('field_chat_id = "Room"')
    call_ = call(custom={"chat_id": "42"})
    _, text, page = read(wire(call_, templates=Templates(tmp_path), texts=Texts(tmp_path)))
    assert text.startswith("Sara Lind wants you: https://app.example.com/join/call%2F0")
    assert "Room" in page and "chat id" not in page


@pytest.mark.parametrize("template", ["{{ ().__class__.__mro__ }}", "{{ words.update({'a': 'b'}) }}", "{{ nonsense }}"])
def test_a_template_reaches_nothing_but_what_it_is_given(tmp_path, template):
    (tmp_path / "missed.txt").write_text(template)
    with pytest.raises(Exception, match=r"unsafe|undefined|not safely"):
        wire(call(), templates=Templates(tmp_path))


def test_an_invalid_template_is_refused_when_it_is_loaded(tmp_path):
    (tmp_path / "missed.html").write_text("{% if %}")
    with pytest.raises(ValueError, match="TemplateSyntaxError"):
        Templates(tmp_path)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("ben@example.com", "ben@example.com"),
        (" Ben.Osei+calls@Mail.Example.com ", "Ben.Osei+calls@Mail.Example.com"),
        ("ben@münchen.example", "ben@xn--mnchen-3ya.example"),
        ("ben@straße.example", "ben@xn--strae-oqa.example"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("", None),
        ("ben", None),
        ("@example.com", None),
        ("ben@", None),
        ("ben@localhost", None),
        ("ben@@example.com", None),
        ("ben@example.com\r\nBcc: eve@example.com", None),
        ("ben@example.com, eve@example.com", None),
        ("Ben <ben@example.com>", None),
        ('"ben osei"@example.com', None),
        ("ben@[127.0.0.1]", None),
        (".ben@example.com", None),
        ("be..n@example.com", None),
        ("zoë@example.com", None),
        ("ben@exa mple.com", None),
        ("ben@-example.com", None),
        ("ben@\u200b.com", None),
        ("ben@" + "ü" * 70 + ".com", None),
        ("b" * 65 + "@example.com", None),
        ("ben@" + "a." * 130 + "com", None),
        ("{{7*7}}@example.com", "{{7*7}}@example.com"),
    ],
)
def test_which_addresses_can_be_written_to(given_, expected):
    assert deliverable_address(given_) == expected


@pytest.mark.parametrize("domain", ["corp.local", "x.test", "x.invalid", "x.localhost", "x.onion"])
def test_reserved_domains_can_be_written_to(domain):
    assert deliverable_address(f"ben@{domain}") == f"ben@{domain}"


@pytest.mark.parametrize(
    "address", ["ben@10.0.0.5", "ben@ab--c.example.com", "ben@xn--1.com", "ben@m\u00fc\u200bnchen.de"]
)
def test_a_domain_that_cannot_exist_is_refused(address):
    assert deliverable_address(address) is None


def test_checking_an_address_loads_no_dns_library():
    code = "import sys; from bellhop.domain.email_address import deliverable_address as d; d('ben@example.com')"
    code += "; print('email_validator' in sys.modules, 'dns' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "True False\n"


@given(st.text())
def test_any_text_is_an_address_or_none(text):
    address = deliverable_address(text)
    assert address is None or (address.isascii() and address.isprintable() and len(address) <= 254)
