"""Every Redis key is built in bellhop/store/keys.py, also those that scripts use."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from bellhop.store import keys
from bellhop.store.scripts import FOLDER

SPELLED = re.compile(r"""["'](?:bellhop|rq):""")
ROOT = Path(keys.__file__).parent.parent.parent
FUNCTIONS = [function for _, function in inspect.getmembers(keys, inspect.isfunction)]


def prefixes(function):
    """The start of the keys that a function builds, up to its first argument; one for each registry of RQ."""
    arguments = ["\0" for _ in inspect.signature(function).parameters]
    if function is keys.raw_rq_job_key:
        return {function(b"\0").decode().partition("\0")[0]}
    if function is keys.rq_registry_key:
        return {function(registry, "\0").partition("\0")[0] for registry in get_args(keys.Registry)}
    if function is keys.open_email_key:
        return {re.sub("[0-9a-f]{32}$", "", function("pair"))}
    return {function(*arguments).partition("\0")[0]}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.lua")), ids=lambda path: path.stem)
def test_a_script_spells_no_key(path):
    """A script gets each key, or the start of the keys of one kind, from its caller."""
    assert not SPELLED.findall(path.read_text())


def test_no_two_kinds_of_key_begin_alike():
    distinct = [
        function
        for function in FUNCTIONS
        if function not in {keys.round_prefix, keys.raw_rq_job_key, keys.rq_intermediate_key, keys.tenant_queue_key}
    ]
    starts = sorted(start for function in distinct for start in prefixes(function))
    assert len(starts) == len(set(starts))


@pytest.mark.parametrize("package", ["bellhop", "webhook", "worker"])
def test_only_keys_py_spells_a_key(package):
    spelled = re.compile(r"""["'](?:bellhop|rq):[\w:{-]""")
    sources = [path for path in (ROOT / package).rglob("*.py") if path.name != "keys.py"]
    assert not [path.name for path in sources if spelled.search(path.read_text())]
