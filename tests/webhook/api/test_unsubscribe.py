"""The unsubscribe link: one click of a mail program, a button for people, and nothing for whoever only looks."""

import json
import re

import pytest
import redis
from pydantic import SecretStr

from bellhop.domain.mailbox import MailboxHashes
from bellhop.domain.outcomes import Outcome
from bellhop.domain.unsubscribe_link import Subscriber, UnsubscribeLinks
from bellhop.domain.user import Preferences
from bellhop.settings import Settings
from bellhop.store.keys import unsubscribed_key, user_key
from tests.factories import a_queued_round, web_settings
from webhook.app import create_app
from worker.email.email_limits import EmailLimits

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
SECRETS = ["the-first-secret-of-none", "the-second-secret-of-none"]
FORGED = [
    "",
    "x",
    "a.b.c",
    "....",
    "WyJkZWZhdWx0IiwiYmVuIiwiZW4iXQ.",
    "WyJkZWZhdWx0IiwiYmVuIiwiZW4iXQ.qVuumUKuRfjWwFVlL5bvxi1j-cjb8NNrLW67DlBLHEA",
    ".eJwDAAAAAAE",
    "é",
    "%00",
    "x" * 5000,
    "{{7*7}}",
]


@pytest.fixture
def settings(redis_url):
    return web_settings(redis_url, mail_secret=SECRETS, public_url="https://calls.example.com")


@pytest.fixture
def client(settings):
    return create_app(settings).test_client()


@pytest.fixture
def link(settings):
    def make(user="ben", language="en", secrets=settings.mail_secret, address=""):
        whole = UnsubscribeLinks(settings.public_url, secrets).link(Subscriber("default", user, language), address)
        path, mark, query = whole.removeprefix(settings.public_url).partition("?")
        return path + mark + query if address else path

    return make


@pytest.fixture
def preferences(redis_url):
    with redis.Redis.from_url(redis_url) as store:

        def read(user="ben"):
            stored = store.hget(user_key("default", user), "preferences")
            return json.loads(stored) if stored else None

        def write(**values):
            store.hset(user_key("default", "ben"), "preferences", json.dumps(values))

        read.write = write
        yield read


def test_one_click_of_a_mail_program_switches_mails_off(client, link, preferences):
    answer = client.post(link(), data=ONE_CLICK)
    assert answer.status_code == 200
    assert preferences() == {"email": False}
    assert client.post(link(), data=ONE_CLICK).status_code == 200
    assert preferences() == {"email": False}
    assert preferences("jane") is None


@pytest.mark.parametrize(
    ("token", "subscriber"),
    [
        (
            "WyJkZWZhdWx0IiwiYmVuIiwiZW4iXQ.zVn8AiuicnN0dSxYvR3asolwMcAzrCs9uX9EeVP1Mrk",
            Subscriber("default", "ben", "en"),
        ),
        # Long ones are compressed; this one is signed with the second secret.
        (
            ".eJyLVkpJTUsszSlR0lGqGNkAGAKpeUqxABdSfR0.sw4QKFBJPgii1x0S_gKc6SAYjkDJHIv6e3Xu-ZgP5co",
            Subscriber("default", "x" * 255, "en"),
        ),
    ],
)
def test_a_link_in_an_email_of_an_earlier_version_is_read(token, subscriber):
    secrets = [SecretStr(secret) for secret in SECRETS]
    assert UnsubscribeLinks("https://calls.example.com", secrets).read(token) == subscriber


def test_it_needs_no_cookie_and_sets_none(client, link):
    assert "Set-Cookie" not in client.get(link()).headers
    assert "Set-Cookie" not in client.post(link(), data=ONE_CLICK).headers


@pytest.mark.parametrize(
    "body",
    [
        {"data": b""},
        {"data": b"List-Unsubscribe=One-Click", "content_type": "text/plain"},
        {"data": {"List-Unsubscribe": "One-Click"}, "content_type": "multipart/form-data"},
        {"data": {"emails": "off"}},
        {"data": b"\xff\x00&&==", "content_type": "application/x-www-form-urlencoded"},
        {"json": {}},
    ],
)
def test_any_posted_body_switches_mails_off(client, link, preferences, body):
    assert client.post(link(), **body).status_code == 200
    assert preferences() == {"email": False}


BEN = "ben@example.com"


def unsubscribed(redis_url, address, secrets):
    hashes = MailboxHashes([SecretStr(secret) for secret in secrets]).of("default", address)
    with redis.Redis.from_url(redis_url) as store:
        return store.exists(unsubscribed_key(hashes[0])) == 1


def test_the_address_is_unsubscribed_for_every_user(client, link, preferences, redis_url):
    assert client.post(link(address=BEN), data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert unsubscribed(redis_url, "Ben+shop@example.com", SECRETS)
    assert not unsubscribed(redis_url, "jane@example.com", SECRETS)
    assert "You will get no more e-mails" in client.get(link(user="another", address=BEN)).text
    assert preferences("another") is None


def hashes_in(redis_client):
    return [key.decode().rpartition(":")[2] for key in redis_client.scan_iter("bellhop:unsubscribed:*")]


@pytest.mark.parametrize("proof", ["", "&by=", "&by=x", "&by=é", f"&by={'a' * 32}"])
def test_a_link_holds_no_address_but_that_of_its_email(client, link, preferences, redis_client, proof):
    """Otherwise, anybody with one link could fill Redis."""
    for number in range(3):
        assert client.post(f"{link()}?to={number:032x}{proof}").status_code == 200
    assert preferences() == {"email": False}
    path, _, query = link(address=BEN).partition("?")
    assert client.post(f"{link(user='jane')}?{query}").status_code == 200, "another user's proof"
    assert hashes_in(redis_client) == []
    assert client.post(f"{path}?{query}").status_code == 200
    assert hashes_in(redis_client) == [query[3:35]]


def test_an_earlier_link_unsubscribes_the_address_of_its_user(client, link, redis_client):
    """Such a link has the hash of the address, and no proof."""
    unproven = link(address=BEN).partition("&")[0]
    client.post(unproven)
    assert hashes_in(redis_client) == []
    redis_client.hset(user_key("default", "ben"), "contact", json.dumps({"email": BEN}))
    client.post(unproven)
    assert len(hashes_in(redis_client)) == 1


def test_only_the_page_takes_an_unsubscribe_back(client, link, preferences, redis_url):
    client.post(link(address=BEN))
    preferences.write(email=True)  # the app sets it, or the user is deleted and comes again
    assert unsubscribed(redis_url, BEN, SECRETS)
    assert "You will get no more e-mails" in client.get(link(address=BEN)).text
    client.post(link(address=BEN), data={"emails": "on"})
    assert not unsubscribed(redis_url, BEN, SECRETS)
    assert "You will get no more e-mails" not in client.get(link(address=BEN)).text


@pytest.mark.parametrize("off_by", [0, 1])
@pytest.mark.parametrize("on_by", [0, 1])
async def test_emails_are_on_again_while_a_secret_is_rotated(client, link, settings, store, off_by, on_by):
    """Redis has the address under the hashes of both secrets, once an e-mail to it was due."""
    call, secrets = a_queued_round("ben"), settings.mail_secret
    limits = EmailLimits(store, MailboxHashes(secrets), 10, 10)
    one_click = {"path": link(address=BEN, secrets=secrets[off_by:]), "data": ONE_CLICK}
    client.post(**one_click)
    assert await limits.refusal("1", call, BEN, counts=True) is Outcome.UNSUBSCRIBED
    client.post(**one_click)
    page = link(address=BEN, secrets=secrets[on_by:])
    assert "You will get no more e-mails" in client.get(page).text
    client.post(page, data={"emails": "on"})
    assert await limits.refusal("2", call, BEN, counts=True) is None


@pytest.mark.parametrize("forged", ["", "x", "*", "a" * 31, "a" * 33, "A" * 32, "é" * 32, "a" * 31 + "%0a"])
def test_what_is_no_hash_of_an_address_is_no_key(client, link, redis_client, forged):
    assert client.post(f"{link()}?to={forged}").status_code == 200
    assert list(redis_client.scan_iter("bellhop:unsubscribed:*")) == []


def test_a_form_that_takes_long_is_not_read(client, link, preferences):
    fields = "&".join(f"a{number}=b" for number in range(60_000))
    answer = client.post(link(), data=fields, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete", "patch"])
def test_looking_at_the_link_changes_nothing(client, link, preferences, method):
    assert getattr(client, method)(link()).status_code in {200, 405}
    assert preferences() is None


def test_the_page_has_a_button_for_off_and_one_to_undo_it(client, link, preferences):
    page = client.get(link()).text
    assert re.search(r'<form method="post">\s*<button name="emails" value="off">Stop e-mails</button>', page)
    page = client.post(link(), data={"emails": "off"}).text
    assert "You will get no more e-mails" in page
    assert 'value="on"' in page
    page = client.post(link(), data={"emails": "on"}).text
    assert "are on again" in page
    assert preferences() == {"email": True}


def test_a_user_already_unsubscribed_sees_that(client, link, preferences):
    preferences.write(email=False)
    assert "You will get no more e-mails" in client.get(link()).text


def test_other_preferences_stay_as_they_are(client, link, preferences):
    others = {
        "mute_until": "2030-01-01T00:00:00Z",
        "quiet_hours": {"from": "22:00", "to": "07:00", "let_second_call_through": True},
        "of_a_newer_version": [1, None],
    }
    preferences.write(email=True, **others)
    client.post(link(), data=ONE_CLICK)
    assert preferences() == {"email": False, **others}


def test_an_empty_list_of_callers_hides_no_other_wish(client, link, preferences):
    """Forgetting a person may leave an empty list in the preferences of others."""
    preferences.write(email=True, mute_until="2030-01-01T00:00:00Z", always_from=[], never_from=["tom"])
    client.post(link(), data=ONE_CLICK)
    wishes = Preferences.model_validate(preferences(), strict=False)
    assert (wishes.email, wishes.always_from, wishes.never_from) == (False, (), ("tom",))
    assert wishes.mute_until is not None


@pytest.mark.parametrize("token", FORGED)
def test_a_link_that_was_not_signed_here_changes_nothing(client, token, preferences, redis_url):
    for answer in (client.get(f"/unsubscribe/{token}"), client.post(f"/unsubscribe/{token}", data=ONE_CLICK)):
        assert answer.status_code == 404
        assert not token or "This link is not complete" in answer.text
    with redis.Redis.from_url(redis_url) as store:
        assert store.keys("bellhop:person:*") == []


def test_another_users_link_cannot_be_made_from_ones_own(client, link, preferences):
    (mine, other), path = (link(user).rpartition("/")[2] for user in ("ben", "eve")), "/unsubscribe/"
    spliced = mine.partition(".")[0] + "." + other.partition(".")[2]
    assert client.post(path + spliced, data=ONE_CLICK).status_code == 404
    assert preferences() is None


def test_both_secrets_verify_during_a_rotation_and_no_other(client, link, settings, preferences):
    strange = Settings(mail_secret=["a-secret-of-somebody-else"]).mail_secret
    for secret in settings.mail_secret:
        assert client.get(link(secrets=[secret])).status_code == 200
    assert client.get(link(secrets=strange)).status_code == 404
    first = settings.mail_secret[:1]
    assert UnsubscribeLinks("", first).read(link().rpartition("/")[2]), "the first secret signs"


@pytest.mark.parametrize("user", ["ben@example.com", "a/b?c#d", "../x", "a:b", "سارة", "🚀" * 60, "x" * 255])
def test_user_ids_are_any_text(client, link, preferences, user):
    assert client.post(link(user), data=ONE_CLICK).status_code == 200
    assert preferences(user) == {"email": False}


@pytest.mark.parametrize(
    ("language", "title"), [("de", "E-Mails über verpasste Anrufe"), ("ar", "رسائل المكالمات الفائتة")]
)
def test_the_page_speaks_the_users_language(client, link, language, title):
    answer = client.get(link(language=language))
    assert f"<title>{title}</title>" in answer.text
    assert f'lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in answer.text
    assert answer.headers["Content-Language"] == language


def test_a_broken_link_is_explained_in_the_browsers_language(client):
    answer = client.get("/unsubscribe/x", headers={"Accept-Language": "fr-CH, en;q=0.5"})
    assert answer.status_code == 404
    assert "Ce lien est incomplet" in answer.text


def test_the_page_loads_nothing_and_tells_nobody_its_link(client, link):
    answer = client.get(link())
    nonce = re.search(r"'nonce-([\w-]+)'", answer.headers["Content-Security-Policy"])[1]
    assert f'<style nonce="{nonce}">' in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.findall(r"<(?:img|link|script|iframe)\b|https?://|url\(", answer.text)


def test_without_a_secret_there_is_no_such_page(redis_url):
    assert create_app(web_settings(redis_url)).test_client().get("/unsubscribe/x").json == {"error": "Not Found"}
