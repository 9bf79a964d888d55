"""The settings of e-mails: what is missing or unsafe is said at the start, and no mail server means no e-mails."""

import pytest
from pydantic import ValidationError

from bellhop.i18n.texts import BUILT_IN
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from worker.email.configured_digest import email_digest

COMPLETE = {
    "smtp_host": "smtp.example.com",
    "mail_from": "calls@example.com",
    "mail_secret": ["a-secret-of-no-real-app"],
    "public_url": "https://calls.example.com",
}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mail_from": ""}, "BELLHOP_MAIL_FROM missing"),
        ({"mail_secret": [], "public_url": ""}, "BELLHOP_MAIL_SECRET and BELLHOP_PUBLIC_URL missing"),
        ({"mail_from": "Calls <calls@example.com>"}, "must be an e-mail address"),
        ({"mail_from": "calls"}, "must be an e-mail address"),
        ({"mail_secret": ["short"]}, "too short"),
        ({"mail_secret": ["a-secret-of-no-real-app", ""]}, "too short"),
        ({"smtp_host": "", "mail_secret": ["short"]}, "too short"),
        ({"public_url": "http://calls.example.com"}, "https://"),
        ({"public_url": "http://localhost.example.com"}, "https://"),
        ({"smtp_user": "bellhop", "smtp_security": "none"}, "sent unencrypted"),
        ({"smtp_security": "maybe"}, "starttls"),
        ({"mail_policy": "sometimes"}, "always"),
        ({"mail_call_url": "https://app.example.com/{cid}"}, "unknown field {cid}"),
        ({"mail_call_url": "app.example.com/{call_id}"}, "must begin with"),
        ({"mail_call_url": "javascript:alert(1)"}, "must begin with"),
        ({"templates_folder": "/nowhere"}, "is not a folder"),
        ({"default_language": "Klingon!"}, "must be a language tag"),
    ],
)
def test_a_setting_that_would_not_work_is_reported_in_a_sentence(settings, says):
    with pytest.raises(ValidationError) as refused:
        Settings(**COMPLETE | settings)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"public_url": "http://127.0.0.1:8080"},
        {"public_url": "http://localhost"},
        {"smtp_user": "bellhop", "smtp_security": "none", "smtp_host": "127.0.0.1"},
        {"mail_call_url": "myapp://call/{call_type}/{call_id}?s={session_id}&u={user_id}"},
    ],
)
async def test_with_a_mail_server_and_a_sender_there_are_mails(settings):
    store = Store.from_url("redis://127.0.0.1:1")
    assert email_digest(Settings(**COMPLETE | settings), store, "w-1", BUILT_IN) is not None
    await store.close()


@pytest.mark.parametrize("settings", [{"smtp_host": ""}, {"mail_policy": "never"}])
async def test_without_a_server_or_by_policy_there_are_no_mails(settings):
    store = Store.from_url("redis://127.0.0.1:1")
    assert email_digest(Settings(**COMPLETE | settings), store, "w-1", BUILT_IN) is None
    await store.close()


def test_a_mistake_in_texts_or_templates_is_reported_at_start(tmp_path):
    (tmp_path / "nl.toml").write_text('ring_titel = "x"')
    with pytest.raises(ValidationError, match="did you mean ring_title"):
        Settings(templates_folder=tmp_path)
    (tmp_path / "nl.toml").unlink()
    (tmp_path / "missed.html").write_text("{% if %}")
    with pytest.raises(ValidationError, match="TemplateSyntaxError"):
        Settings(templates_folder=tmp_path)
