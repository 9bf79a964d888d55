"""docs/deploy.md, followed to the letter, ends in a green `bellhop check`; docs/getting-started.md rings a phone."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bellhop.sandbox.installation import PROJECT, Installation
from bellhop.sandbox.stream_rest import PUSHES, hook
from bellhop.settings import SECRETS_DIR, Settings
from bellhop.store.keys import LAST_WEBHOOK
from bellhop.stream_templates import KINDS

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "deploy.md").read_text()
BEGINNING = (DOCS / "getting-started.md").read_text()
BUNDLES = ["com.example.calls", "com.example.calls.staging", "com.example.care"]
STANDS_IN = ("REDIS_URL", "APNS_URL", "APNS_SANDBOX_URL", "APNS_CA_FILE", "FCM_URL", "FCM_CA_FILE", "STREAM_API_URL")
"""What only a test sets: where the stand-ins are."""


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.parametrize(("folder", "readers"), [("/etc/bellhop", 0o040), ("deploy/secrets", 0o400)])
def test_after_the_guide_only_bellhop_can_read_its_files(tmp_path, folder, readers):
    (tmp_path / "secrets").mkdir(mode=0o700)
    files = [tmp_path / "firebase.json", tmp_path / "secrets" / "stream_apps"]
    files[0].touch(mode=0o600)
    files[1].touch(mode=0o644)
    (command,) = re.findall(rf"chmod -R \S+ {folder}", GUIDE)
    subprocess.run(command.replace(folder, str(tmp_path)).split(), check=True)
    for path in (*files, tmp_path, tmp_path / "secrets"):
        assert path.stat().st_mode & readers, path
        assert not path.stat().st_mode & 0o007, path
    assert (tmp_path / "secrets").stat().st_mode & readers >> 2, "a folder is to be entered"


def test_systemds_credentials_are_settings():
    credentials = re.findall(r"^LoadCredential=(\w+):/etc/bellhop/secrets/(\w+)$", block("ini"), re.MULTILINE)
    assert credentials
    assert all(name == file and name in Settings.model_fields for name, file in credentials)
    assert f"Environment={SECRETS_DIR}=%d" in block("ini")


async def test_two_apps_three_bundles_and_staging(tmp_path):
    async with Installation(tmp_path) as installation:
        theirs = installation.environment()
        for app in json.loads(block("json")):
            installation.stream_api.secrets[app["api_keys"][0]] = app["api_secrets"][0]
        installation.stream_api.app["event_hooks"] = [hook("https://bellhop.example.com/webhooks/stream")]
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        (secrets / "stream_apps").write_text(block("json"))
        (secrets / "metrics_token").write_text("a random text of some length")
        (tmp_path / "apns.p8").write_bytes(Path(theirs["BELLHOP_APNS_KEY_FILE"]).read_bytes())
        (tmp_path / "firebase.json").write_bytes(Path(theirs["BELLHOP_FCM_SERVICE_ACCOUNT_FILE"]).read_bytes())
        config = tmp_path / "bellhop.toml"
        config.write_text(block("toml").replace("/etc/bellhop", str(tmp_path)))

        environment = {name: value for name, value in os.environ.items() if not name.startswith("BELLHOP_")}
        environment |= {f"BELLHOP_{name}": theirs[f"BELLHOP_{name}"] for name in STANDS_IN}
        environment |= {"BELLHOP_CONFIG": str(config), "BELLHOP_SECRETS_DIR": str(secrets)}
        last_webhook = json.dumps([time.time_ns() // 1000, "call.ring"])
        await installation.store.call("HSET", LAST_WEBHOOK, "live", last_webhook, "staging", last_webhook)
        command = [sys.executable, "-m", "bellhop", "check"]
        check = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False
        )
    assert check.returncode == 0, check.stdout + check.stderr
    for subject in ("Stream live", "Stream staging", "Firebase", *(f"Apple {bundle}" for bundle in BUNDLES)):
        assert re.search(rf"^ok +{re.escape(subject)}", check.stdout, re.MULTILINE), check.stdout
    assert check.stdout.count("sends its events to bellhop.example.com") == 2, check.stdout
    warnings = [line for line in check.stdout.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2, warnings
    unreachable = "no answer from https://bellhop.example.com/webhooks/stream to a test webhook"
    assert all(unreachable in warning for warning in warnings), "the host of the guide does not exist"


def commands(page):
    """Every `bellhop` command in the page's shell blocks, in order; not the ones that run on."""
    for shell in re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        yield from (shlex.split(line) for line in shell.splitlines() if re.match(r"bellhop .*[^&]$", line))


async def test_the_first_steps_ring_a_phone(tmp_path):
    async with Installation(tmp_path) as installation:
        installation.stream_api.devices["jane"] = [
            {"id": "c1" * 32, "push_provider": "apn", "push_provider_name": "ios-voip", "created_at": 1, "voip": True}
        ]
        outputs = {}
        for command in commands(BEGINNING):
            line = " ".join(command)
            if "explain" in command:
                continue  # it is for a call in your app
            tokens = {"8a1f…": "d2" * 32, "dGhlIHBob25l…": "jane:pixel"}
            arguments = [tokens.get(word, word).replace("your-firebase-project", PROJECT) for word in command[1:]]
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "bellhop", *arguments],
                env=installation.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            outputs[line] = done.stdout
        assert [(arrival.token, arrival.type) for arrival in installation.arrivals] == [("c1" * 32, "call.ring")]
    said = next(words for words in re.findall(r"then says `(.*?)`", BEGINNING))
    assert said in outputs["bellhop check"]
    assert len([line for line in outputs if line.startswith("bellhop devices")]) == 4


def test_what_to_switch_off_at_stream_is_what_bellhop_sends():
    rows = re.findall(r"^\| (`call_.*?) \| (\*\*off\*\*.*?) (?:\||otherwise)", BEGINNING, re.MULTILINE)
    switched = {switch: re.findall(r"`(\w+)`", names) for names, switch in rows}
    sometimes = Settings().started_pushes
    always = {name for name, kind in KINDS.items() if kind not in sometimes}
    assert set(switched["**off**"]) == always
    assert set(switched["**off**, if Bellhop sends them;"]) == set(KINDS) - always
    assert set(KINDS) == set(PUSHES)
    (code,) = re.findall(r"^```python\n(.*?)^```", BEGINNING, re.DOTALL | re.MULTILINE)
    compile(code, "getting-started.md", "exec")
    assert set(re.findall(r"wanted\.(\w+)", code)) == always


def test_the_service_may_read_what_nobody_else_may(tmp_path):
    """Whatever mode the keys were copied with."""
    (chmod,) = re.findall(r"(chmod -R \S+) /etc/bellhop", GUIDE)
    (tmp_path / "secrets").mkdir(mode=0o700)
    key = tmp_path / "secrets" / "apns.p8"
    key.touch(mode=0o600)
    subprocess.run([*chmod.split(), str(tmp_path)], check=True)
    assert (key.parent.stat().st_mode & 0o777, key.stat().st_mode & 0o777) == (0o750, 0o640)


def test_the_compose_file_mounts_what_the_page_says():
    compose = (DOCS.parent / "deploy" / "compose.yaml").read_text()
    rows = re.findall(r"^\| `([\w.]+)`:.*\| `(/[\w./]+)` \|$", GUIDE, re.MULTILINE)
    assert len(rows) == 2
    for ours, theirs in rows:
        assert f"./{ours}:{theirs}:ro" in compose
