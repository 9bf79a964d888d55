"""Rules for the tests themselves."""

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

from bellhop.sandbox.stream_webhooks import SAMPLES
from tests.syntax_tree import parse

TESTS = Path(__file__).parent
DOWNLOADED = "node_modules"
"""`make sdk-contract` downloads packages into a folder of this name."""
FILES = sorted(path for path in TESTS.rglob("*.py") if DOWNLOADED not in path.parts)
LONGEST_NAME = 60


def names_of_tests(body):
    """The names of the test functions in a module or in a class."""
    return [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(TESTS)) for path in FILES])
def test_names_of_tests_are_short_and_stand_once(path):
    tree = parse(path)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for names in map(names_of_tests, bodies):
        assert [name for name in names if len(name) > LONGEST_NAME] == []
        assert [name for name, times in Counter(names).items() if times > 1] == [], "the first would never run"


def test_samples_of_streams_wire_format_exist_once():
    samples = [json.loads(path.read_bytes()) for path in SAMPLES.rglob("*.json")]
    ours = [path for path in TESTS.rglob("*.json") if DOWNLOADED not in path.parts]
    others = [path for path in ours if json.loads(path.read_bytes()) in samples]
    assert len(samples) >= 20
    assert others == []
