"""The rules that keep the code clear: who may import whom, and what is pure."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = {
    "webhook.addresses",
    "webhook.envelope",
    "webhook.signature",
    "webhook.events",
    "webhook.reading",
    "webhook.wire",
    "webhook.effects",
    "webhook.problems",
    "webhook.openapi",
    "worker.contract",
    "worker.calls",
    "worker.plan",
    "worker.payloads",
    "worker.people",
    "worker.outcome",
    "worker.push",
    "worker.receipts",
    "worker.device",
    "worker.texts",
    "worker.trail",
    "worker.recent",
    "worker.glance",
    "worker.story",
    "worker.sentences",
    "worker.timeline",
    "worker.verdict",
    "worker.explain",
}
DOOR_MAY_IMPORT = {
    "worker",
    "worker.calls",
    "worker.contract",
    "worker.correlation",
    "worker.device",
    "worker.explain",
    "worker.logs",
    "worker.metrics",
    "worker.outcome",
    "worker.people",
    "worker.glance",
    "worker.recent",
    "worker.receipts",
    "worker.redis_clients",
    "worker.registry",
    "worker.replay",
    "worker.rendering",
    "worker.scripts",
    "worker.sentences",
    "worker.settings",
    "worker.timeline",
    "worker.tracing",
    "worker.texts",
    "worker.trail",
    "worker.unsubscribe",
    "worker.verdict",
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("bellhop", "webhook", "worker")
    for path in (ROOT / package).rglob("*.py")
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in MODULES)


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("worker")))
def test_the_worker_never_imports_the_door_or_the_command_line(module):
    assert not [name for name in imports(MODULES[module]) if name.split(".")[0] in {"webhook", "bellhop"}]


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("webhook")))
def test_the_door_imports_of_the_worker_only_what_hands_work_over(module):
    of_worker = {name for name in imports(MODULES[module]) if name in MODULES and name.startswith("worker")}
    assert of_worker <= DOOR_MAY_IMPORT


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_imports_only_the_standard_library_pydantic_and_pure_modules(module):
    impure = {"asyncio", "socket", "time", "threading", "subprocess", "os"}
    for name in imports(MODULES[module]):
        top = name.split(".")[0]
        allowed = name in PURE or top == "pydantic" or (top in sys.stdlib_module_names and top not in impure)
        assert allowed or any(name.startswith(pure + ".") for pure in PURE) or name in {"worker", "webhook"}, name


def test_every_dependency_has_its_reason_in_the_docs():
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        name = requirement.split(">")[0].split("[")[0]
        assert f"| {name} |" in reasons, f"{name} has no line in docs/dependencies.md"
