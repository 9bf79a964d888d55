"""A team's own pushes: which template counts, what it writes, and that the push stays within its limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.device import Kind, Provider
from bellhop.domain.own_pushes import NO_TEMPLATES, PushScope, PushTemplate, PushTemplates, known_values
from bellhop.domain.payloads import (
    ENGLISH,
    RESERVED_KEYS,
    OwnFields,
    PushFacts,
    build_payload,
    most_bytes,
    payload,
    size_of,
)
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.text_template import TextTemplate
from bellhop.i18n.texts import BUILT_IN
from tests.factories import a_device, a_round, an_iphone

KNOWN = known_values(["topic"], ["image", "tier"])
BEN = Recipient(id="ben", name="Ben", language="de-AT")
ROUND = a_round(
    cid="support:7",
    caller_name="Sara Lind",
    call_name="Review",
    call_fields={"topic": "Loan"},
    caller_fields={"image": "https://cdn.example/s.png"},
)
RING, MISSED = PushKind.RING, PushKind.MISSED
APNS, FCM = Provider.APNS, Provider.FCM


def compiled(source):
    by_language = source if isinstance(source, dict) else {"": source}
    return {language: TextTemplate(text, KNOWN) for language, text in by_language.items()}


def template(data=None, badge=None, **texts):
    sources = {key: TextTemplate(source, KNOWN) for key, source in (data or {}).items()}
    return PushTemplate({name: compiled(source) for name, source in texts.items()}, sources, badge)


def filled(own, kind=RING, round_=ROUND, recipient=BEN):
    return own.fill(kind, round_, recipient, recipient.language, BUILT_IN.wording(recipient.language))


def test_the_call_the_caller_and_the_receiver_can_be_written():
    own = filled(
        template(
            title="{{ caller.name }}: {{ call.name }}",
            body="{{ receiver.name }} {{ receiver.language }} {{ call.custom.topic }}{{ caller.custom.tier }}",
            ringtone="{{ 'help.caf' if call.type == 'support' else 'ring.caf' }}",
            data={"picture": "{{ caller.image }}", "tier": "{{ caller.custom.tier }}"},
        )
    )
    assert (own.title, own.body, own.ringtone) == ("Sara Lind: Review", "Ben de-AT Loan", "help.caf")
    assert own.data == {"picture": "https://cdn.example/s.png"}  # this call's caller has no tier
    assert own.left_out == ()


@pytest.mark.parametrize(
    ("language", "written"), [("de-AT", "Servus"), ("de", "Hallo"), ("pt_BR", "Oi"), ("nl", "Hello"), ("", "Hello")]
)
def test_a_text_is_in_the_receivers_language(language, written):
    own = template(title={"de-at": "Servus", "de": "Hallo", "pt-br": "Oi", "en": "Hello"})
    assert filled(own, recipient=Recipient(id="ben", language=language)).title == written


def test_bellhops_own_text_can_be_a_part():
    own = filled(template(body="{{ default.body }} · {{ call.name }}"), MISSED, recipient=Recipient(id="ben"))
    assert own.body == "You missed a call from Sara Lind · Review"


def test_what_cannot_be_filled_in_is_left_out_and_named():
    own = filled(template(title="{{ 'x' in 7 }}", data={"a": "{{ call.name|truncate(1) }}", "b": "B"}))
    assert (own.title, own.data, own.left_out) == (None, {"b": "B"}, ("title", "a"))


def test_the_narrower_template_counts_field_by_field():
    templates = PushTemplates(
        {
            PushScope(RING, APNS): template(title="all", body="all", data={"a": "all", "b": "all"}, badge=1),
            PushScope(RING, APNS, "com.a"): template(title="app", category="app"),
            PushScope(RING, APNS, "", "support"): template(title="type", data={"b": "type"}),
            PushScope(RING, APNS, "com.a", "support"): template(body="both"),
        }
    )
    own = filled(templates.of(RING, APNS, "com.a", "support:7"))
    assert (own.title, own.body, own.category, own.badge) == ("type", "both", "app", 1)
    assert own.data == {"a": "all", "b": "type"}
    assert filled(templates.of(RING, APNS, "com.b", "default:7")).title == "all"
    assert templates.of(MISSED, APNS, "com.a", "support:7") is None
    assert templates.of(RING, FCM, "com.a", "support:7") is None


def built(provider, kind, own, round_=ROUND):
    return build_payload(provider, PushFacts(kind, round_, BEN, 1, 2, ENGLISH, own=own))


def test_an_iphones_notice_has_every_field():
    own = OwnFields("T", "B", "s.caf", None, "CAT", "th", 3, "time-sensitive", {"k": "v"})
    message = built(APNS, MISSED, own).payload
    assert message["aps"] == {
        "alert": {"title": "T", "body": "B"},
        "category": "CAT",
        "mutable-content": 1,
        "sound": "s.caf",
        "thread-id": "th",
        "badge": 3,
        "interruption-level": "time-sensitive",
    }
    assert (message["stream"]["title"], message["stream"]["body"], message["k"]) == ("T", "B", "v")


def test_an_empty_text_takes_the_field_out_but_not_the_title():
    message = built(APNS, MISSED, OwnFields(title="", sound="", thread="")).payload
    assert message["aps"]["alert"]["title"] == "Missed call"
    assert not {"sound", "thread-id"} & message["aps"].keys()


def test_a_ring_carries_texts_and_a_ringtone():
    own = OwnFields(title="T", ringtone="r.caf", data={"k": "v"})
    iphone, android = built(APNS, RING, own).payload, built(FCM, RING, own).payload
    assert (iphone["aps"]["alert"]["title"], iphone["bellhop"]["ringtone"], iphone["k"]) == ("T", "r.caf", "v")
    assert (android["title"], android["ringtone"], android["k"]) == ("T", "r.caf", "v")


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("kind", PushKind)
def test_a_teams_data_cannot_replace_ours(provider, kind):
    own = OwnFields(*"abcdef", badge=1)
    assert built(provider, kind, own).payload.keys() <= RESERVED_KEYS
    assert payload(provider, kind, ROUND, BEN, 1, 2, receipt="r").keys() <= RESERVED_KEYS


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=1_000) | st.just("\U0001f4de" * 1_000)
keys = st.text("abcdefgh_", min_size=1, max_size=64).filter(lambda key: key not in RESERVED_KEYS)
short = st.none() | st.text(max_size=40)
owns = st.builds(
    OwnFields,
    *[st.none() | texts] * 2,
    *[short] * 4,
    interruption_level=st.just(""),
    data=st.dictionaries(keys, texts),
    left_out=st.just(()),
)


@given(provider=st.sampled_from(Provider), kind=st.sampled_from(PushKind), own=owns)
def test_a_push_with_the_teams_data_fits_its_limit(provider, kind, own):
    ids = {"cid": f"default:{'x' * 247}", "caller_id": "s" * 64}
    result = built(provider, kind, own, ROUND.model_copy(update=ids))
    assert size_of(provider, result.payload) <= most_bytes(provider, kind)
    stream = result.payload["stream"] if provider is APNS else result.payload
    assert (stream["call_cid"], stream["created_by_id"]) == (ids["cid"], ids["caller_id"])
    kept = {key: value for key, value in own.data.items() if key not in result.left_out}
    assert kept.items() <= result.payload.items()  # whole values or none
    assert [*own.data][: len(kept)] == [*kept]  # the last ones go first


def test_a_plan_uses_the_template_of_each_phones_app():
    templates = PushTemplates({PushScope(RING, FCM, "calls"): template(title="{{ receiver.id }}: {{ caller.name }}")})
    devices = {"ben": [a_device("ben"), a_device("ben", token="b", app="other"), an_iphone("ben")]}
    pushes = plan(RING, ROUND, devices, ROUND.started_at, templates=templates).pushes
    assert sorted(push.payload.get("title", "") for push in pushes) == ["", "", "ben: Sara Lind"]


def test_without_templates_nothing_is_rendered_or_copied(monkeypatch):
    monkeypatch.setattr(TextTemplate, "render", None)
    monkeypatch.setattr(PushTemplate, "fill", None)
    with_fields = plan(RING, ROUND, {"ben": [a_device("ben")]}, ROUND.started_at, templates=NO_TEMPLATES).pushes
    bare = ROUND.model_copy(update={"call_fields": {}, "caller_fields": {}})
    assert with_fields == plan(RING, bare, {"ben": [a_device("ben")]}, ROUND.started_at).pushes


def test_a_second_ring_has_the_tables_of_the_ring_and_its_own():
    """Its own tables count over those of the ring, field by field; without any, it has Bellhop's texts."""
    phone = an_iphone(kind=Kind.ALERT)
    ring_table = {PushScope(RING, APNS): template(title="From {{ caller.name }}", data={"picture": "p"})}
    own_table = {PushScope(PushKind.SECOND_RING, APNS): template(sound="ring.caf", data={"again": "1"})}

    def built(tables):
        (push,) = plan(
            PushKind.SECOND_RING, ROUND, {"ben": [phone]}, ROUND.started_at, templates=PushTemplates(tables)
        ).pushes
        return push.payload

    plain, as_ring, own = built({}), built(ring_table), built(ring_table | own_table)
    assert plain["aps"]["alert"]["title"] == "Sara Lind is calling you"
    assert (as_ring["aps"]["alert"]["title"], as_ring["aps"]["sound"], as_ring["picture"]) == (
        *("From Sara Lind", "default"),
        "p",
    )
    assert (own["aps"]["alert"]["title"], own["aps"]["sound"]) == ("From Sara Lind", "ring.caf")
    assert (own["picture"], own["again"]) == ("p", "1")
    assert {payload["aps"]["interruption-level"] for payload in (plain, as_ring, own)} == {"time-sensitive"}
