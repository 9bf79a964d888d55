"""The rules that keep the code clear: who may import whom, what is pure, and that a name stands once."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.syntax_tree import parse

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("bellhop", "webhook", "worker")
    for path in (ROOT / package).rglob("*.py")
}
LAYERS = (
    {
        "bellhop.backoff",
        "bellhop.clock",
        "bellhop.event_loop",
        "bellhop.field_docs",
        "bellhop.i18n",
        "bellhop.public_address",
        "bellhop.spoken_time",
        "bellhop.stop_signals",
    }
    | {"bellhop.validation_messages"},
    {"bellhop.domain"},
    {"bellhop.store.keys"},
    {"bellhop.trail"},
    {"bellhop.store"},
    {"bellhop.queue"},
    {"bellhop.pem_key", "bellhop.vapid_keys"},
    {"bellhop.settings"},
    {"bellhop.telemetry"},
    {"bellhop.explain", "bellhop.stream_api"},
    {
        "bellhop.audience",
        "bellhop.app_health",
        "bellhop.console_audit",
        "bellhop.dead_letters",
        "bellhop.call_index",
        "bellhop.latest_calls",
        "bellhop.migration",
        "bellhop.privacy",
        "bellhop.question_on_demand",
        "bellhop.reachability",
        "bellhop.reachability_facts",
        "bellhop.ring_question",
        "bellhop.stream_hooks",
        "bellhop.stream_templates",
    },
    {"bellhop.sandbox"},
    {"bellhop.cli"},
)
"""The rooms of bellhop/, from the innermost outwards: each may import its own and those before it."""
PURE = {
    "bellhop.backoff",
    "bellhop.clock",
    "bellhop.domain",
    "bellhop.explain",
    "bellhop.field_docs",  # reads the source of modules, as importing them does
    "bellhop.i18n.texts",
    "bellhop.migration.copied_kinds",
    "bellhop.migration.merging",
    "bellhop.privacy.entries",
    "bellhop.privacy.people",
    "bellhop.privacy.key_kinds",
    "bellhop.queue.names",
    "bellhop.queue.job_payloads",
    "bellhop.queue.rq_job",
    "bellhop.spoken_time",
    "bellhop.store.homes",
    "bellhop.store.keys",
    "bellhop.store.sentinel",
    "bellhop.trail",
    "bellhop.validation_messages",
    "webhook.api_errors",
    "webhook.client_address",
    "webhook.console.picture",
    "webhook.console.picture_rows",
    "webhook.console.time_axis",
    "webhook.console.time_format",
    "webhook.intake.call_parts",
    "webhook.intake.caller_fields",
    "webhook.intake.effects",
    "webhook.intake.events",
    "webhook.intake.parsing",
    "webhook.intake.signature",
    "webhook.live_reader",
    "webhook.openapi",
    "webhook.server.live_bounds",
    "webhook.server.live_events",
    "webhook.sources.amazon.envelope",
}
"""Modules, and packages of them, that do no I/O and ask no clock."""
USERS_AND_CALLS = ("call_scripts", "email_scripts", "registry")
"""The modules of bellhop/store/ about users, calls and their e-mails."""


def imports(path, *, inside_functions=True):
    tree = parse(path)
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def layer(module):
    return max((number for number, rooms in enumerate(LAYERS) if within(module, rooms)), key=lambda n: n == 2)


def modules_of(*packages):
    return sorted(module for module in MODULES if within(module, packages))


@pytest.mark.parametrize("module", modules_of("webhook"))
def test_web_never_imports_worker(module):
    assert not [name for name in imports(MODULES[module]) if within(name, {"worker", "bellhop.cli"})]


@pytest.mark.parametrize("module", modules_of("worker"))
def test_worker_never_imports_web(module):
    assert not [name for name in imports(MODULES[module]) if within(name, {"webhook", "bellhop.cli"})]


@pytest.mark.parametrize("module", modules_of("worker.queue"))
def test_the_queue_worker_is_independent_of_users_and_calls(module):
    allowed = {"worker.queue", "bellhop.clock", "bellhop.queue.names", "bellhop.queue.rq_job", "bellhop.store"}
    ours = [name for name in imports(MODULES[module]) if within(name, {"bellhop", "worker"})]
    assert not [name for name in ours if not within(name, allowed)]
    assert not [name for name in ours if within(name, {f"bellhop.store.{part}" for part in USERS_AND_CALLS})]


@pytest.mark.parametrize("module", modules_of("bellhop"))
def test_core_imports_neither_but_for_cli_inside_functions(module):
    cli = within(module, {"bellhop.cli"})
    found = imports(MODULES[module], inside_functions=not cli)
    assert not [name for name in found if within(name, {"webhook", "worker"})]


@pytest.mark.parametrize("module", [m for m in modules_of("bellhop") if m not in {"bellhop", "bellhop.__main__"}])
def test_a_room_of_the_core_imports_only_inner_rooms(module):
    for name in imports(MODULES[module]):
        if name.startswith("bellhop."):
            assert layer(name) <= layer(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", modules_of(*PURE))
def test_a_pure_module_imports_only_pure_modules(module):
    impure = {"asyncio", "socket", "time", "threading", "subprocess", "os"}
    for name in imports(MODULES[module]):
        top = name.split(".")[0]
        pure = {"msgspec", "pydantic", "pydantic_core", "email_validator", "itsdangerous", "jinja2"}
        allowed = top in pure or (top in sys.stdlib_module_names and top not in impure)
        assert allowed or within(name, PURE), name


def test_a_module_name_stands_once():
    free = {"__init__", "__main__"}
    places = defaultdict(list)
    for path in MODULES.values():
        named_by_room = path.is_relative_to(ROOT / "bellhop" / "cli") or path.is_relative_to(ROOT / "bellhop/settings")
        if path.stem not in free and not named_by_room:
            places[path.stem].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_a_script_name_stands_once():
    names = [path.stem for path in (ROOT / "bellhop" / "store" / "lua").rglob("*.lua")]
    assert sorted(set(names)) == sorted(names)


def test_a_class_name_stands_once():
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert not {name: modules for name, modules in places.items() if len(modules) > 1}


def test_only_the_store_uses_pipelines_and_scans():
    """A cluster has no pipeline over several servers: `together` routes each command, and `scan` reaches all keys."""
    store = {MODULES[f"bellhop.store.{name}"] for name in ("blocking_client", "blocking_cluster", "replication")}
    texts = {path: path.read_text() for path in MODULES.values() if path not in store}
    assert not [str(path) for path, text in texts.items() if ".pipeline(" in text or ".scan_iter(" in text]


def test_every_dependency_has_its_reason_in_the_docs():
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        name = requirement.split(">")[0].split("[")[0]
        assert f"| {name} |" in reasons, f"{name} has no line in docs/dependencies.md"
