"""Lets readers see several partitions in a single Redis, which can hold the keys of all of them."""

import sys
from collections.abc import Sequence

import pytest

from bellhop.store import blocking_client
from bellhop.store.homes import Partition, partitions


def in_partitions(monkeypatch: pytest.MonkeyPatch, count: int) -> Sequence[Partition]:
    """Let every module that is imported see so many partitions, until the test ends; returns them."""
    among, known = partitions(count), blocking_client.partitions_of
    for module in [*sys.modules.values()]:
        if getattr(module, "partitions_of", None) is known:
            monkeypatch.setattr(module, "partitions_of", lambda redis: among)
    return among
