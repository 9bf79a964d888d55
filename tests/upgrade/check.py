"""`make upgrade-check`: can an older version run beside this version, and after it?

    .venv/bin/python tests/upgrade/check.py [COMMIT]

It checks the older version out and lets this version write the states of `upgrade_scenario`. The older version must
read, run, explain and show them. Then both versions run at the same time on one Redis. It needs the whole git history.
By default, it is the version that wrote the frozen formats: no other was released since.
"""

import asyncio
import json
import re
import sys
import tempfile

from make_fixtures import OLD, NoCommitError, checkout
from two_versions import NEW, run_python
from upgrade_reading import reads_everything, side_by_side
from upgrade_scenario import written_by


def with_its_queue_names(states, old):
    """Rename the queues if the version that reads the states knows only the old names (docs/deploy.md, going back)."""
    if any("bellhop-rings" in path.read_text() for path in (old / "bellhop").rglob("*.py")):
        return states
    return json.loads(re.sub(r"\bbellhop-(rings|notices|mail)\b", r"\1", json.dumps(states)))


def outcomes_of(root):
    """The words for results that a version knows."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", run_python(root, "-m", "bellhop", "outcomes"), re.MULTILINE))


def as_explained_without(unknown, document):
    """Change an explanation to what a version makes of it that shows these outcomes as words, in the tone "quiet"."""
    if isinstance(document, list):
        return [as_explained_without(unknown, entry) for entry in document]
    if not isinstance(document, dict):
        return document
    changed = {name: as_explained_without(unknown, value) for name, value in document.items()}
    return changed | {"tone": "quiet"} if changed.get("outcome") in unknown else changed


async def check(commit):
    with checkout(commit) as old:
        print(f"This version writes queued jobs, calls and devices; {commit} must continue from them …")
        with tempfile.TemporaryDirectory() as folder:
            async with written_by(NEW, folder) as writer:
                states = with_its_queue_names(writer.states, old)
                api = writer.answers["GET /v1/openapi.json"][1]
        states = as_explained_without(outcomes_of(NEW) - outcomes_of(old), states)
        with tempfile.TemporaryDirectory() as folder:
            await reads_everything(old, states, folder, api)
        print("It did: every push, e-mail and explanation is right.")
        print("Web processes and workers of both versions share one Redis …")
        with tempfile.TemporaryDirectory() as folder:
            await side_by_side(old, NEW, folder)
        print("Every phone rang once, and showed its missed call once.")


if __name__ == "__main__":
    try:
        asyncio.run(check(*sys.argv[1:] or [OLD]))
    except NoCommitError as error:
        sys.exit(str(error))
