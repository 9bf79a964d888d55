"""The documents that Bellhop makes have the form that their JSON schemas promise."""

import json

import jsonschema
import pytest

from bellhop.clock import Micros
from bellhop.domain.announcement import REMOVED, AnnouncementType, about_ring, alarm, device_removed
from bellhop.domain.event_documents import FORMS, schema
from bellhop.domain.outcomes import Outcome
from tests.factories import a_device, a_round

ROUND, DEVICE = a_round("ben"), a_device()
AT = Micros(1_795_000_000_123_456)
MORE = {
    AnnouncementType.UNREACHABLE: {"reason": Outcome.NO_DEVICES},
    AnnouncementType.ENDED: {"standing": "answered"},
    AnnouncementType.MISSED_NOTICE: {"by": "push"},
}


def made(type_):
    if type_ is AnnouncementType.DEVICE_REMOVED:
        return device_removed("default", DEVICE, AT, REMOVED)
    if type_ is AnnouncementType.ALARM:
        return alarm("credentials_refused", "apns com.example", "Apple refuses the credentials.", AT)
    return about_ring(type_, ROUND, "ben", AT, **MORE.get(type_, {}))


def test_every_type_has_one_form():
    assert [form.name for form in FORMS] == [*AnnouncementType]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_document_has_the_form_of_its_type(form):
    described, document = schema(form), json.loads(made(form.name).document())
    jsonschema.Draft202012Validator(described, format_checker=jsonschema.FormatChecker()).validate(document)
    assert set(document) == set(described["properties"])
    assert set(document["data"]) == set(described["properties"]["data"]["properties"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_repeat_has_the_same_id_and_a_stable_subject(form):
    first, second = made(form.name), made(form.name)
    assert first.id == second.id and first.subject == second.subject
    assert len({made(other.name).id for other in FORMS}) == len(FORMS)
