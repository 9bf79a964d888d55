"""Texts: every language is complete, a team's texts go first, and a user's name is never read as a placeholder."""

import tracemalloc

import pytest

from bellhop.domain.device import Kind
from bellhop.domain.payloads import words
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.user import Contact, User
from bellhop.i18n.texts import BUILT_IN, PLACEHOLDER, Texts, fill
from tests.factories import a_round, an_iphone

ENGLISH = BUILT_IN.wording("en")


def round_of(caller="Sara Lind", language="", caller_id="sara"):
    recipients = (Recipient(id="ben", language=language),)
    return a_round(started_at=1, deadline=2**50, caller_id=caller_id, caller_name=caller, recipients=recipients)


def alert(round_, people=None, texts=BUILT_IN, kind=PushKind.RING):
    device = an_iphone(kind=Kind.VOIP if kind is PushKind.RING else Kind.ALERT)
    (push,) = plan(kind, round_, {"ben": [device]}, 1_000_000, people or {}, texts).pushes
    return push.payload["aps"]["alert"]


@pytest.mark.parametrize("language", BUILT_IN.languages)
def test_each_shipped_language_has_all_texts_and_their_values(language):
    wording = BUILT_IN._catalogues[language]
    assert set(wording) == set(ENGLISH)
    for name, text in wording.items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(ENGLISH[name])), name
    assert wording["direction"] == ("rtl" if language == "ar" else "ltr")


def test_english_and_at_least_four_more_are_shipped():
    assert {"en", "de", "fr", "es", "pt", "ar"} <= set(BUILT_IN.languages)


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("", "Sara Lind is calling you"),
        ("en", "Sara Lind is calling you"),
        ("de", "Sara Lind ruft dich an"),
        ("DE_at", "Sara Lind ruft dich an"),
        ("pt-BR", "Sara Lind está ligando para você"),
        ("zh-Hans-CN", "Sara Lind is calling you"),
        ("../../etc/passwd", "Sara Lind is calling you"),
        ("{caller}", "Sara Lind is calling you"),
    ],
)
def test_a_ring_speaks_the_users_language_or_a_broader_one(language, title):
    assert alert(round_of(language=language))["title"] == title


def test_a_tag_of_any_length_takes_no_memory():
    """A browser's Accept-Language may say anything."""
    tag = "-".join(["de", *"a" * 8_000])
    tracemalloc.start()
    assert BUILT_IN.wording(tag)["language"] == "de"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_the_language_the_app_told_us_goes_before_the_events():
    people = {"ben": User(Contact(language="fr"))}
    assert alert(round_of(language="de"), people)["title"] == "Sara Lind vous appelle"


@pytest.mark.parametrize("kind", PushKind)
@pytest.mark.parametrize("language", BUILT_IN.languages)
def test_every_kind_of_push_names_the_caller_in_every_language(kind, language):
    title, body = words(kind, round_of(), BUILT_IN.wording(language))
    assert "Sara Lind" in title + body
    assert "{" not in title + body


def test_a_nameless_caller_is_unknown_in_the_users_language():
    assert alert(round_of("Unknown caller", "de", caller_id=""))["title"] == "Unbekannt ruft dich an"
    assert alert(round_of("Unknown caller", "en", caller_id=""))["title"] == "Unknown caller is calling you"


@pytest.mark.parametrize(
    "name", ["{{7*7}}", "{caller}", "{app}", "%s", "{0.__class__}", "\\g<0>", "${x}", "سارة", "👩🏽‍🚀"]
)
def test_a_name_is_only_ever_a_name(name):
    assert alert(round_of(name))["title"] == f"{name} is calling you"
    assert fill("{caller}|{app}", caller="{app}", app="A") == "{app}|A"


def test_a_team_replaces_single_texts_and_adds_languages(tmp_path):
    (tmp_path / "en.toml").write_text('ring_title = "{caller} rings!"')
    (tmp_path / "pt_BR.toml").write_text('ring_title = "Ligação de {caller}"')
    (tmp_path / "nl.toml").write_text('ring_title = "{caller} belt je"\nfield_room = "Kamer"')
    texts = Texts(tmp_path, "nl")
    titles = {language: alert(round_of(language=language), texts=texts)["title"] for language in ("en", "pt-br", "nl")}
    assert titles == {"en": "Sara Lind rings!", "pt-br": "Ligação de Sara Lind", "nl": "Sara Lind belt je"}
    assert texts.wording("pt-BR")["missed_title"] == "Chamada perdida"
    assert texts.wording("nl")["missed_title"] == "Missed call", "a text that is missing is English"
    assert texts.wording("xx")["ring_title"] == "{caller} belt je", "a language that is missing is the default's"
    assert texts.wording("nl")["field_room"] == "Kamer"
    assert texts.wording("nl")["language"] == "nl"


@pytest.mark.parametrize(
    ("catalogue", "says"),
    [
        ('ring_titel = "x"', "did you mean ring_title"),
        ("ring_title = 7", "must be a text in quotes"),
        ('ring_title = "{name} calls"', "{name}"),
        ("ring_title = ", "cannot be read"),
    ],
)
def test_a_mistake_in_a_catalogue_is_reported(tmp_path, catalogue, says):
    (tmp_path / "en.toml").write_text(catalogue)
    with pytest.raises(ValueError, match=r"en\.toml") as refused:
        Texts(tmp_path)
    assert says in str(refused.value)
