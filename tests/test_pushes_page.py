"""docs/pushes.md: its examples are read and filled in as a worker does, and its tables have all that the code has."""

import json
import re
from pathlib import Path

import pytest

from bellhop.domain.own_pushes import known_values
from bellhop.domain.payloads import PushFacts, build_payload
from bellhop.domain.push import PushKind
from bellhop.domain.text_template import FILTERS
from bellhop.i18n.texts import BUILT_IN
from bellhop.settings import Settings
from bellhop.settings.push_entry import PushEntry
from bellhop.settings.pushes_file import read_pushes
from bellhop.stream_templates import VALUES, StreamApns, StreamFcm, StreamPushes
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse

PAGE = (Path(__file__).parent.parent / "docs" / "pushes.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
ALLOWED = {name.lower(): values.split(",") for name, values in re.findall(r"BELLHOP_(PUSH_\w+_FIELDS)=([\w,]+)", PAGE)}


@pytest.mark.parametrize(("table", "shown"), EXAMPLES)
def test_an_example_gives_what_the_page_shows(tmp_path, samples, table, shown):
    path = tmp_path / "pushes.toml"
    path.write_text(table)
    own = read_pushes(Settings(pushes_file=path, **ALLOWED))
    assert own.problems == []
    kind, provider = re.search(r'kind = "(\w+)"\nprovider = "(\w+)"', table).groups()
    entry = PushEntry(kind=kind, provider=provider)
    round_ = round_of(samples, kind)
    template = own.templates.of(entry.kind, entry.provider, "any", round_.cid)
    fields = template.fill(entry.kind, round_, round_.recipients[0], "en", BUILT_IN.wording("en"))
    facts = PushFacts(entry.kind, round_, round_.recipients[0], 0, 0, own=fields)
    assert_contains(build_payload(entry.provider, facts).payload, json.loads(shown))


def round_of(samples, kind):
    event = json.loads((samples / f"call.{kind}.json").read_bytes())
    event["call"]["custom"]["topic"] = "Loan"
    rules = EffectRules("default", 30, 5, call_fields=tuple(ALLOWED["push_call_fields"]))
    value = parse(json.dumps(event).encode(), ALLOWED["push_caller_fields"])
    derived = effects(value, value.at, rules)
    return derived.missed or derived.work.payload


def assert_contains(whole, part):
    for key, value in part.items():
        if isinstance(value, dict):
            assert_contains(whole[key], value)
        else:
            assert whole[key] == value


def test_the_page_has_examples_of_each_provider():
    assert {re.search(r'provider = "(\w+)"', table)[1] for table, _ in EXAMPLES} == {"apns", "fcm"}


def rows_after(heading, page=PAGE):
    (rows,) = re.findall(rf"^\| {heading} \|.*\n\| --- .*\n((?:\|.*\n)+)", page, re.MULTILINE)
    return [row.split(" | ") for row in rows.splitlines()]


def test_the_page_has_every_field_of_a_table():
    named = [name for cells in rows_after("field") for name in re.findall(r"`(\w+)`", cells[0])]
    assert named == [*PushEntry.model_fields]


def test_the_page_has_every_value_and_filter():
    named = {name for cells in rows_after("value") for name in re.findall(r"`([\w.<>]+)`", cells[0])}
    assert named == known_values(["<name>"], ["image", "<name>"])
    (filters,) = re.findall(r"^Filters: (.*)\.$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", filters)) == FILTERS


def test_getting_started_lists_all_that_a_team_had_at_stream():
    page = (Path(__file__).parent.parent / "docs" / "getting-started.md").read_text()
    rows = rows_after("at Stream", page)
    theirs = {name for cell, _ in rows for name in re.findall(r"`([\w.-]+)`", cell)}
    fields = {f"apns.{field.alias or name}" for name, field in StreamApns.model_fields.items()}
    fields |= {f"fcm.{name}" for name in StreamFcm.model_fields} | {"apns.mutable-content"}  # Bellhop always sets it
    assert theirs == {*StreamPushes.model_fields, *fields, *VALUES, "user.custom", "call.custom"}
    known = {*PushEntry.model_fields, *PushKind, *known_values([], []), "caller.custom", "call.custom"}
    assert {name for _, cell in rows for name in re.findall(r"`([a-z.]+)`", cell)} <= known
