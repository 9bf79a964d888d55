"""`make upgrade-check`: can an older version run beside this version, and after it?

    .venv/bin/python tests/upgrade/check.py [COMMIT]

It checks the older version out and lets this version write the states of `upgrade_scenario`. The older version must
read, run, explain and show them. Then both versions run at the same time on one Redis. It needs the whole git history.
"""

import asyncio
import json
import re
import sys
import tempfile

from make_fixtures import OLD, NoCommitError, checkout
from two_versions import NEW
from upgrade_reading import reads_everything, side_by_side
from upgrade_scenario import written_by


def with_old_queue_names(states):
    """Rename the queues: the version that reads the states knows only the old names (docs/deploy.md, going back)."""
    return json.loads(re.sub(r"\bbellhop-(rings|notices|mail)\b", r"\1", json.dumps(states)))


NEW_OUTCOMES = {"still_rings", "worker_died"}
"""The older version does not know these. It shows them as words, in the tone "quiet"."""


def as_the_older_explains(document):
    """Change an explanation to what the older version can make of it."""
    if isinstance(document, list):
        return [as_the_older_explains(entry) for entry in document]
    if not isinstance(document, dict):
        return document
    changed = {name: as_the_older_explains(value) for name, value in document.items()}
    return changed | {"tone": "quiet"} if changed.get("outcome") in NEW_OUTCOMES else changed


async def check(commit):
    with checkout(commit) as old:
        print(f"This version writes queued jobs, calls and devices; {commit} must continue from them …")
        with tempfile.TemporaryDirectory() as folder:
            async with written_by(NEW, folder) as writer:
                states = as_the_older_explains(with_old_queue_names(writer.states))
        with tempfile.TemporaryDirectory() as folder:
            await reads_everything(old, states, folder)
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
