"""The rules that keep the code clear: who may import whom, and what is pure."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("bellhop", "webhook", "worker")
    for path in (ROOT / package).rglob("*.py")
}
MAY_IMPORT = {
    "worker.wording": set(),
    "worker.domain": {"worker.contract", "worker.wording"},
    "worker.story": {"worker.domain"},
    "worker.storage": {"worker.domain"},
    "worker.settings": {"worker.domain", "worker.storage", "worker.wording"},
    "worker.telemetry": {"worker.contract", "worker.domain", "worker.storage"},
    "worker.engine": {"worker.contract", "worker.domain", "worker.storage", "worker.telemetry"},
    "worker.senders": {"worker.domain", "worker.settings", "worker.storage"},
    "worker.delivery": {
        "worker.contract",
        "worker.domain",
        "worker.engine",
        "worker.settings",
        "worker.storage",
        "worker.story",
        "worker.telemetry",
    },
    "worker.mail": {
        "worker.contract",
        "worker.delivery",
        "worker.domain",
        "worker.engine",
        "worker.senders",
        "worker.storage",
        "worker.story",
        "worker.telemetry",
        "worker.wording",
    },
    "worker.sandbox": {"worker.domain", "worker.settings", "worker.storage"},
}
"""The packages of worker/, from the innermost outwards, and what each may know of the others."""
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
    "worker.wording.findings",
    "worker.wording.texts",
    *(module for module in MODULES if module.startswith(("worker.domain", "worker.story"))),
}
DOOR_MAY_IMPORT = {
    "worker.contract",
    "worker.domain",
    "worker.engine.replay",
    "worker.mail.unsubscribe",
    "worker.settings",
    "worker.storage.clock",
    "worker.storage.redis_clients",
    "worker.storage.registry",
    "worker.storage.scripts",
    "worker.story",
    "worker.telemetry",
    "worker.wording",
}
"""Packages of worker/, or single modules of them."""


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in MODULES)


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("worker")))
def test_the_worker_never_imports_the_door_or_the_command_line(module):
    assert not [name for name in imports(MODULES[module]) if name.split(".")[0] in {"webhook", "bellhop"}]


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("webhook")))
def test_the_door_imports_of_the_worker_only_what_hands_work_over(module):
    for name in imports(MODULES[module]):
        package_alone = any(allowed.startswith(f"{name}.") for allowed in DOOR_MAY_IMPORT) or name == "worker"
        assert not name.startswith("worker") or package_alone or within(name, DOOR_MAY_IMPORT), name


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_of_the_worker_knows_only_those_further_in(package):
    for module in (module for module in MODULES if within(module, {package})):
        for name in imports(MODULES[module]):
            allowed = {package, *MAY_IMPORT[package]}
            assert not name.startswith("worker.") or within(name, allowed), f"{module} imports {name}"


def test_the_packages_of_the_worker_are_all_named():
    assert {f"worker.{path.name}" for path in (ROOT / "worker").iterdir() if (path / "__init__.py").exists()} == set(
        MAY_IMPORT
    )


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_imports_only_what_is_pure(module):
    impure = {"asyncio", "socket", "time", "threading", "subprocess", "os"}
    for name in imports(MODULES[module]):
        top = name.split(".")[0]
        allowed = top in {"pydantic", "pydantic_core", "idna"} or (top in sys.stdlib_module_names and top not in impure)
        package_alone = any(pure.startswith(f"{name}.") for pure in PURE)
        assert allowed or package_alone or within(name, PURE), name


def test_every_dependency_has_its_reason_in_the_docs():
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        name = requirement.split(">")[0].split("[")[0]
        assert f"| {name} |" in reasons, f"{name} has no line in docs/dependencies.md"
