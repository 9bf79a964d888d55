"""What the documentation says of commands and settings is what the code does."""

import ast
import json
import re
from pathlib import Path

import click
import pytest

from bellhop.cli import main
from webhook.api.people import ApnsRegistration, FcmRegistration
from webhook.signature import Refusal
from worker.contract import Recipient, Round
from worker.domain.device import Provider
from worker.domain.payloads import payload
from worker.domain.push import PushKind
from worker.settings import CONFIG, PREFIX, SECRETS_DIR, Settings, reference
from worker.settings.reference import allowed
from worker.story import vocabulary

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_settings_page_is_the_models_own_list():
    assert reference() in (ROOT / "docs" / "settings.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("table", [vocabulary.outcomes, vocabulary.standings])
def test_the_page_of_outcomes_is_the_codes_own(table):
    assert "\n".join(table()) in (ROOT / "docs" / "outcomes.md").read_text(), "run `make docs`"


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("log_format", "`json` or `console`"),
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_a_page_names_exists(page):
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG, SECRETS_DIR}
    assert set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page):
    for words in re.findall(r"(?:^|`)bellhop ((?:[a-z-]+ ?)+)", page.read_text(), re.MULTILINE):
        command = main
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, f"bellhop {words}"
            command = command.commands[word]


def slug(heading):
    """What a heading's address is on GitHub."""
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
    for path in re.findall(r"`((?:bellhop|deploy|docs|tests|webhook|worker)/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path


def printed():
    """Every text in the code but its docstrings, in one: what a page says is printed must be in there."""
    texts = [refusal.name.lower() for refusal in Refusal]
    for package in ("bellhop", "webhook", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text())))
            docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
            texts += [
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
            ]
    return "\n".join(texts)


def test_troubleshooting_goes_by_the_words_that_are_printed():
    everything = printed()
    for row in re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE):
        for words in re.findall(r"`([^`]+)`", row):
            if words.startswith(("bellhop ", "bellhop: ", "GET ", "/")):
                continue  # a command, the shell's words, an address
            for part in words.split("…"):
                assert part.strip() in everything, f"nothing prints {words!r}"


CONTRACT = (ROOT / "docs" / "client-contract.md").read_text()
SARA_CALLS = Round(
    tenant="default",
    cid="default:8f3a",
    session_id="s",
    started_at=0,
    deadline=0,
    caller_id="sara",
    caller_name="Sara",
    call_name="",
    video=True,
)


def pushes():
    for provider in Provider:
        for kind in PushKind:
            receipt = "…" if kind is PushKind.RING else ""
            yield (
                provider,
                kind,
                payload(provider, kind, SARA_CALLS, Recipient(id="jane"), 1, 2, receipt=receipt),
            )


def flat(push):
    yield from push.get("stream", push) | push.get("bellhop", {})


def without_what_differs(push):
    """The same push without what is another for each: its times, and the UUID of the call."""
    others = {"call_uuid", "sent_at", "expires_at"}
    return {
        key: {k: type(v) if k in others else v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in push.items()
        if key not in others
    }


def test_the_contracts_pushes_are_the_ones_that_are_sent():
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)]
    sent = {(provider, kind): push for provider, kind, push in pushes()}
    ring, missed, data = sent["apns", "ring"], sent["apns", "missed"], sent["fcm", "ring"]
    assert [*map(without_what_differs, shown)] == [*map(without_what_differs, (ring, missed, data))]


def test_the_contracts_table_has_every_key_of_a_push_and_no_other():
    arrives = CONTRACT.partition("## Five rules")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (.+?) \|", arrives, re.MULTILINE)
    named = {key: where for keys, where in rows for key in re.findall(r"`(\w+)`", keys)}
    kinds = {}
    for provider, kind, push in pushes():
        for key in flat(push):
            kinds.setdefault(key, set()).add((provider, kind))
    everywhere = {(provider, kind) for provider in Provider for kind in PushKind}
    means = {
        "all": everywhere,
        "rings": {one for one in everywhere if one[1] is PushKind.RING},
        "APNs, but no rings": {("apns", "notification"), ("apns", "missed")},
    }
    assert {key: means[where] for key, where in named.items()} == kinds


def test_the_contracts_code_names_keys_that_exist():
    code = "".join(re.findall(r"```(?:swift|kotlin|dart|ts)\n(.*?)```", CONTRACT, re.DOTALL))
    keys = {key for _, _, push in pushes() for key in (*push, *flat(push))}
    fields = {*ApnsRegistration.model_fields, *FcmRegistration.model_fields}
    read = re.findall(r"""(?<!/)\b(?:data|stream|bellhop)\??(?:\.|\[["'])([a-z_]+)""", code)
    assert {"type", "expires_at", "receiver_id", "call_uuid"} <= set(read) <= keys
    posted = set(re.findall(r"""["'](\w+)["'](?::| to) """, code)) - {"Authorization"}
    assert {"provider", "token", "app", "kind", "environment"} <= posted <= fields


@pytest.mark.parametrize("package", ["webhook", "worker", "bellhop"])
def test_architecture_names_modules_that_are_there(package):
    page = (ROOT / "docs" / "architecture.md").read_text()
    (table,) = re.findall(rf"^\| in `{package}/` .*\n((?:\|.*\n)+)", page, re.MULTILINE)
    files = {path.name for path in (ROOT / package).rglob("*") if path.suffix in {".py", ".lua"}}
    folders = {path.name for path in (ROOT / package).iterdir() if path.is_dir()}
    assert set(re.findall(r"`(\w+\.py)`", table)) <= files
    assert set(re.findall(r"`(\w+)/`", table)) <= folders
    shown = set(re.findall(r"`(\w+)/`", table)) | {"static", "templates", "__pycache__"}
    assert folders <= shown, "a folder that the page does not name"


def walk(command, path):
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(walk(main, "bellhop")), ids=str)
def test_every_command_says_what_it_does(path, command):
    assert command.help
    assert len(command.help.splitlines()[0]) > 20
