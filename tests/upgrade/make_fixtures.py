"""Makes the fixtures of the upgrade tests: the states that an older version writes, and their formats.

    .venv/bin/python tests/upgrade/make_fixtures.py [COMMIT]

It checks the commit out into a temporary folder and runs `upgrade_scenario` with the web process and the workers of
that checkout, a real Redis, and the stand-ins of this checkout. When upgrades from `OLD` need no longer be possible,
change it to a newer commit and run this again.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from old_environment import python_for
from two_versions import NEW, PYTHONS
from upgrade_scenario import written_by
from written_formats import formats_of

OLD = "af1ae3e"
"""The version that wrote the states and the frozen formats."""
HERE = Path(__file__).parent
STATES, FROZEN = HERE / "states", HERE / "frozen"
NOT_KEPT = "bellhop:apns-token:"
"""Apple's provider token is a signed JWT and is refused after an hour: a worker makes a new one."""


class NoCommitError(RuntimeError):
    """The commit is not in this clone."""


@contextmanager
def checkout(commit=OLD):
    """A worktree of `commit` in a temporary folder, with a Python that can run it. Raises NoCommitError."""

    def git(*args):
        return subprocess.run(["git", "-C", str(NEW), *args], capture_output=True, text=True, check=False)

    if git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise NoCommitError(
            f"The commit {commit} is not in this clone. A shallow clone has too little of the history: "
            "run `git fetch --unshallow` first."
        )
    with tempfile.TemporaryDirectory(prefix="bellhop-old-") as folder:
        path = Path(folder) / "checkout"
        added = git("worktree", "add", "--detach", "--force", str(path), commit)
        if added.returncode:
            raise NoCommitError(f"git worktree add failed: {added.stderr}")
        try:
            with python_for(path) as python:
                PYTHONS[path] = python
                yield path
        finally:
            PYTHONS.pop(path, None)
            git("worktree", "remove", "--force", str(path))


def kept_states():
    """The states of the fixtures by their names."""
    return {path.stem: json.loads(path.read_text()) for path in STATES.glob("*.json")}


def keep_state(name, state, commit):
    """Write a state so that one entry is one line."""
    entries = [entry for entry in state["redis"] if not entry["key"].startswith(NOT_KEPT)]
    rest = json.dumps({"written_by": commit} | {field: value for field, value in state.items() if field != "redis"})
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    (STATES / f"{name}.json").write_text(f'{rest[:-1]},\n"redis": [\n{lines}\n]}}\n')


async def main(commit):
    with checkout(commit) as old, tempfile.TemporaryDirectory() as folder:
        async with written_by(old, folder) as writer:
            for name, state in writer.states.items():
                keep_state(name, state, commit)
            for name, formats in formats_of(writer).items():
                text = json.dumps(formats, indent=1, sort_keys=True, ensure_ascii=False)
                (FROZEN / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    STATES.mkdir(exist_ok=True)
    FROZEN.mkdir(exist_ok=True)
    try:
        asyncio.run(main(*sys.argv[1:] or [OLD]))
    except NoCommitError as error:
        sys.exit(str(error))
