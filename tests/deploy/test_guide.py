"""docs/deploy.md, followed to the letter, ends in a green `bellhop check`."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from worker.sandbox.installation import Installation

GUIDE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
BUNDLES = ["com.example.calls", "com.example.calls.staging", "com.example.care"]
STANDS_IN = ("REDIS_URL", "APNS_URL", "APNS_SANDBOX_URL", "APNS_CA_FILE", "FCM_URL", "FCM_CA_FILE")
"""What only a test sets: where the stand-ins are."""


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return found


async def test_two_apps_three_bundles_and_staging(tmp_path):
    async with Installation(tmp_path) as here:
        theirs = here.environment()
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
        command = [sys.executable, "-m", "bellhop", "check"]
        check = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False
        )
    assert check.returncode == 0, check.stdout + check.stderr
    for subject in ("Stream live", "Stream staging", "Firebase", *(f"Apple {bundle}" for bundle in BUNDLES)):
        assert re.search(rf"^ok +{re.escape(subject)}", check.stdout, re.MULTILINE), check.stdout
    assert "warning" not in check.stdout
