"""deploy/ is what the schemas of systemd, Compose and Kubernetes allow, and agrees with the settings."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from bellhop.cli import COMMANDS
from bellhop.sandbox.child_process import free_port
from bellhop.settings import CONFIG, PREFIX, SECRETS_DIR, Settings
from tests.factories import web_settings
from webhook.app import create_app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = [
    pytest.param(manifest, id=f"{manifest['kind']}-{manifest['metadata']['name']}")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for manifest in yaml.safe_load_all(path.read_text())
]
DEPLOYMENTS = [param for param in MANIFESTS if param.values[0]["kind"] == "Deployment"]
GRACE_S = Settings.model_fields["shutdown_grace_s"].default
VARIABLES = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG, SECRETS_DIR}


def values(unit, key):
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_knows_every_line_of_a_unit(unit, tmp_path):
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(unit.read_text().replace("/opt/bellhop/bin/bellhop", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists_and_starts_it_again(unit):
    (start,) = values(unit, "ExecStart")
    assert start.split()[1] in COMMANDS
    assert values(unit, "Restart") == ["always"]


def test_a_stopped_worker_has_time_for_the_rings_in_flight():
    (worker,) = (unit for unit in UNITS if "worker" in unit.name)
    assert int(values(worker, "TimeoutStopSec")[0]) >= GRACE_S + 5
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")) >= GRACE_S + 5
    for param in DEPLOYMENTS:
        pod = param.values[0]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        # Kubernetes counts the seconds of preStop in.
        before_s = sum(int(hook["exec"]["command"][1]) for hook in container.get("lifecycle", {}).values())
        assert pod["terminationGracePeriodSeconds"] >= GRACE_S + before_s + 5


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_is_what_kubernetes_takes(manifest):
    kubernetes_validate.validate(manifest, "1.34", strict=True)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployment_selects_its_pods_and_probes_real_paths(deployment):
    spec = deployment["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"][0] in COMMANDS
    assert {entry["name"] for entry in container["env"]} <= VARIABLES
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_probes_pass_while_no_worker_is_alive():
    app = create_app(web_settings(f"redis://127.0.0.1:{free_port()}"))
    (web,) = (param.values[0] for param in DEPLOYMENTS if param.values[0]["metadata"]["name"] == "bellhop-web")
    (container,) = web["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Settings.model_fields["web_port"].default
    asked = [container[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
    assert {address["port"] for address in asked} == {port["name"]}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["web"]
    (command,) = re.findall(r"http://127.0.0.1:(\d+)(/\w+)", compose["healthcheck"]["test"][-1])
    assert int(command[0]) == port["containerPort"]
    for path in {address["path"] for address in asked} | {command[1]}:
        assert app.test_client().get(path).status_code == 200


def test_the_image_the_pods_and_their_files_are_of_one_user():
    (user,) = re.findall(r"^USER (\d+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    for param in DEPLOYMENTS:
        context = param.values[0]["spec"]["template"]["spec"]["securityContext"]
        assert (context["runAsUser"], context["fsGroup"], context["runAsNonRoot"]) == (int(user), int(user), True)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_pod_is_told_nothing_of_services(deployment):
    # For the Service bellhop-web that would be BELLHOP_WEB_PORT=tcp://…, which is no port.
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_examples_of_kubernetes_hold_settings_that_exist():
    kubernetes = DEPLOY / "kubernetes"
    known = set(Settings.model_fields)
    assert set(tomllib.loads((kubernetes / "bellhop.toml").read_text())) <= known
    secret, _ = yaml.safe_load_all((kubernetes / "secrets.example.yaml").read_text())
    assert set(secret["stringData"]) <= known


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_puts_the_manifests_together():
    built = subprocess.run(["kubectl", "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True, check=True)
    kinds = sorted(manifest["kind"] for manifest in yaml.safe_load_all(built.stdout))
    assert kinds == ["ConfigMap", *["Deployment"] * 2, *["PodDisruptionBudget"] * 2, "Service"]


def test_the_image_holds_what_the_ignore_file_lets_in():
    copied = {
        name
        for line in (DEPLOY / "Containerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    let_in = {line[1:] for line in (DEPLOY.parent / ".containerignore").read_text().splitlines() if line[0] == "!"}
    assert copied == let_in
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_compose_asks_no_registry_for_an_image_that_it_builds():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ours = [service for service in services.values() if service["image"] == services["web"]["image"]]
    assert len(ours) == 2
    assert all("build" in service or service["pull_policy"] == "never" for service in ours)


def test_compose_keeps_what_redis_has():
    redis = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["redis"]
    command = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert command["--appendonly"] == "yes"
    assert command["--maxmemory-policy"] == "noeviction"
