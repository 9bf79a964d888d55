"""The documentation describes the commands, settings and texts that the code has."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from bellhop.cli import main
from bellhop.explain import outcome_reference, phone_reference
from bellhop.explain.delivery import Delivery
from bellhop.explain.explanation import Explanation, RoundExplanation
from bellhop.explain.sentences import NO_TRAIL
from bellhop.explain.timeline import TimelineEntry
from bellhop.explain.verdict import UserVerdict
from bellhop.settings import CONFIG, PREFIX, SECRETS_DIR, ApnsApp, FcmApp, Settings, StreamApp, WebPushApp, reference
from bellhop.settings.console import ConsoleGroup, ConsoleLogin
from bellhop.settings.events import EventEndpoint
from bellhop.settings.reference import allowed
from bellhop.settings.removed import REMOVED
from bellhop.trail import MILESTONES
from tests.syntax_tree import parse
from webhook.intake.signature import Refusal

ROOT = Path(__file__).parent.parent
CONTEXT = click.Context(main)
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_settings_page_has_the_table_of_the_code():
    assert reference() in (ROOT / "docs" / "settings.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("table", [outcome_reference.outcomes, outcome_reference.standings])
def test_the_outcomes_page_has_the_tables_of_the_code(table):
    assert "\n".join(table()) in (ROOT / "docs" / "outcomes.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("table", [phone_reference.health_fields, phone_reference.phone_states])
def test_the_page_of_phones_has_the_tables_of_the_code(table):
    assert "\n".join(table()) in (ROOT / "docs" / "phones.md").read_text()


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("log_format", "`json`, `ecs` or `console`"),
        ("log_level", "`debug`, `info`, `warning` or `error`"),
        ("web_port", "0 to 65535"),
        ("smtp_timeout_s", "0.1 to 60"),
        ("api_writes_per_minute", "1 or more"),
        ("stream_api_key", "a list"),
        ("stream_device_apps", "pairs"),
        ("apns_key_file", "a path"),
        ("redis_ca_file", "a path"),
        ("smtp_host", ""),
    ],
)
def test_the_settings_page_says_what_a_setting_may_be(setting, values):
    assert allowed(Settings.model_fields[setting]) == values


TABLES = {
    "stream_apps": StreamApp,
    "apns_apps": ApnsApp,
    "fcm_apps": FcmApp,
    "event_endpoints": EventEndpoint,
    "web_push_apps": WebPushApp,
    "console_logins": ConsoleLogin,
    "console_groups": ConsoleGroup,
}


@pytest.mark.parametrize(("table", "app"), TABLES.items())
def test_the_page_of_several_apps_has_every_key(table, app):
    page = (ROOT / "docs" / "configuration.md").read_text()
    (rows,) = re.findall(rf"`\[\[{table}\]\]`\*\* \| \| \|\n((?:\| `.*\n)+)", page)
    told = {
        key: "must be set" in row for row in rows.splitlines() for key in re.findall(r"`(\w+)`", row.split(" | ")[0])
    }
    assert told == {name: field.is_required() for name, field in app.model_fields.items()}


@pytest.mark.parametrize(
    ("where", "model"),
    [
        ("", Explanation),
        ("rounds[]", RoundExplanation),
        ("rounds[].people[]", UserVerdict),
        ("rounds[].people[].deliveries[]", Delivery),
        ("rounds[].timeline[]", TimelineEntry),
    ],
)
def test_the_page_of_the_trail_has_every_field_of_its_json(where, model):
    table = (ROOT / "docs" / "trail.md").read_text().partition("## The JSON")[2].partition("`v` is")[0]
    inside = {"rounds", "people", "deliveries", "timeline", "v"}
    rows = re.findall(r"^\| `(.*)` \| (.*) \|$", table, re.MULTILINE)
    if where:
        told = [set(re.findall(r"`(\w+)`", text)) for place, text in rows if place == where]
    else:
        told = [set(re.findall(r"\w+", place)) for place, _ in rows if "[]" not in place]
    assert set().union(*told) | inside == {field.name for field in fields(model)} | inside


def test_the_page_of_the_trail_has_every_milestone():
    (rows,) = re.findall(
        r"^\| what \| when .*\n\| --- .*\n((?:\|.*\n?)+)", (ROOT / "docs" / "trail.md").read_text(), re.MULTILINE
    )
    told = set(re.findall(r"^\| `(\w+)`", rows, re.MULTILINE))
    assert told == {milestone.what for milestone in MILESTONES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_a_page_names_exists(page):
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, *REMOVED)} | {CONFIG, SECRETS_DIR}
    assert set(re.findall(rf"(?<!_){PREFIX}[A-Z_]*[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page):
    for words in re.findall(r"(?:^|`)bellhop ((?:[a-z-]+ ?)+)", page.read_text(), re.MULTILINE):
        command = main
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            command = command.get_command(CONTEXT, word)
            assert command, f"bellhop {words}"


SAID = [
    *PAGES,
    *(path for package in ("bellhop", "webhook", "worker") for path in sorted((ROOT / package).rglob("*.py"))),
]


@pytest.mark.parametrize("path", SAID, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_installs_the_other_bellhop_from_pypi(path):
    # The package bellhop on PyPI belongs to another project.
    assert not re.search(r"install .*\bbellhop(\[| |\"|$)", path.read_text(), re.MULTILINE)


def slug(heading):
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        leads_to = page.parent / target if target else page
        assert leads_to.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", leads_to.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{target}#{anchor}"


def test_the_index_leads_to_every_page():
    docs = ROOT / "docs"
    index = set(re.findall(r"\]\(([^)#]+)", (docs / "README.md").read_text()))
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"}
    assert pages <= index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    for path in re.findall(r"`((?:bellhop|clients|deploy|docs|tests|webhook|worker)/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def printed():
    """Return every text in the code except docstrings, joined: a text that a page quotes must be in it."""
    texts = [refusal.label for refusal in Refusal]
    for package in ("bellhop", "webhook", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            nodes = list(ast.walk(parse(path)))
            docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
            texts += [
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
            ]
    return "\n".join(texts)


def test_troubleshooting_quotes_texts_that_are_printed():
    everything = printed()
    for row in re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE):
        for words in re.findall(r"`([^`]+)`", row):
            if words.startswith(("bellhop ", "bellhop: ", "GET ", "/")):
                continue  # a command, the shell's words, an address
            for part in words.split("…"):
                assert part.strip() in everything, f"nothing prints {words!r}"


def logged():
    """Yield the event and the level of each log line in the code."""
    for package in ("bellhop", "webhook", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(parse(path)):
                if not isinstance(node, ast.Call):
                    continue
                called = ast.unparse(node.func).removeprefix("self._")
                if called in ("Outage", "RedisOutage"):
                    yield from zip((argument.value for argument in node.args), ("error", "info"), strict=True)
                elif called.startswith("log.") and node.args and isinstance(node.args[0], ast.Constant):
                    yield node.args[0].value, called.removeprefix("log.").replace("exception", "error")


def test_the_page_of_logs_has_every_line_with_its_level():
    rows = re.findall(r"^\| (`.*?`) \| (\w+(?:, \w+)?) \| ", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    told = {event: levels.split(", ") for events, levels in rows for event in re.findall(r"`([^`]+)`", events)}
    for event, level in logged():
        assert level in told[event]
        assert re.fullmatch("[a-z0-9_]+", event), "one word, so that alerts can search for it"
    assert {event for event, _ in logged()} == told.keys()


def test_advice_names_only_log_lines_that_exist():
    texts = [*outcome_reference.outcomes(), *outcome_reference.standings(), *NO_TRAIL]
    named = {name for text in texts for name in re.findall(r'\blog\b[^.]*?"(.+?)"|"(.+?)" in the log', text)}
    assert len(named) >= 2
    assert {first or second for first, second in named} <= {event for event, _ in logged()}


@pytest.mark.parametrize("package", ["webhook", "worker", "bellhop"])
def test_architecture_names_modules_that_are_there(package):
    page = (ROOT / "docs" / "architecture.md").read_text()
    (table,) = re.findall(rf"^\| in `{package}/` .*\n((?:\|.*\n)+)", page, re.MULTILINE)
    files = {path.name for path in (ROOT / package).rglob("*") if path.suffix in {".py", ".lua"}}
    folders = {path.name for path in (ROOT / package).iterdir() if path.is_dir()}
    inner = {path.name for path in (ROOT / package).rglob("*") if path.is_dir()}
    assert set(re.findall(r"`(\w+\.py)`", table)) <= files
    assert set(re.findall(r"`(\w+)/`", table)) <= inner
    shown = set(re.findall(r"`(\w+)/`", table)) | {"static", "templates", "__pycache__"}
    assert folders <= shown, "the page does not name every folder"


def walk(command, path):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(CONTEXT):
            yield from walk(command.get_command(CONTEXT, name), f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(walk(main, "bellhop")), ids=str)
def test_every_command_says_what_it_does(path, command):
    assert command.help
    first_line = command.help.splitlines()[0]
    assert len(first_line) > 20
    assert first_line == command.get_short_help_str(59), "the list of commands shows it whole"


def test_the_page_of_logs_has_every_reason_of_a_refused_login():
    [row] = re.findall(
        r"^\| .*`console_login_refused`.* \| (.*) \|$", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE
    )
    reasons = re.findall(r'reason="(\w+)"', (ROOT / "webhook" / "console" / "login.py").read_text())
    assert len(reasons) == 2
    assert {"address", "reason", *reasons} == set(re.findall(r"`(\w+)`", row))
