"""Walks over all keys."""

import pytest

from bellhop.store.homes import ALONE, partitions
from bellhop.store.keys import devices_key, rq_job_key
from bellhop.store.scanning import scan, walk_over
from tests.in_partitions import in_partitions

OURS = ["bellhop:", rq_job_key("")]


def all_found(redis_client, walk):
    found = []
    while walk:
        walk, names = walk.after(redis_client.execute_command(*walk.command()))
        found += names
    return found


def test_a_single_redis_is_walked_over_once(redis_client):
    names = [devices_key("default", str(number)).encode() for number in range(50)] + [b"rq:job:1"]
    redis_client.mset(dict.fromkeys(names, 1))
    walk = walk_over(OURS, ALONE, 7)
    assert walk.command() == ("SCAN", 0, "COUNT", 7)
    assert sorted(set(all_found(redis_client, walk))) == sorted(names)


def test_each_partition_is_walked_over(redis_client):
    among = partitions(3)
    ours = [partition.key(key) for partition in among for key in (devices_key("default", "ann"), rq_job_key("1"))]
    redis_client.mset(dict.fromkeys([*ours, devices_key("default", "untagged"), "bellhop:{4.0}:other", "rq:other"], 1))
    walk = walk_over(OURS, among, 7)
    assert sorted(set(all_found(redis_client, walk))) == sorted(name.encode() for name in ours)
    assert walk.command() == ("SCAN", 0, "MATCH", f"bellhop:{{{among[0].tag}}}:*", "COUNT", 7)


@pytest.mark.parametrize("count", [None, 3])
def test_keys_are_found_by_their_start(redis_client, monkeypatch, count):
    among = in_partitions(monkeypatch, count) if count else ALONE
    users = ["ann", "a*b", "[x]"]
    for number, user in enumerate(users):
        redis_client.set(among[number % len(among)].key(devices_key("te*t", user)), 1)
    redis_client.set(among[0].key(devices_key("test", "other")), 1)
    assert sorted(scan(redis_client, devices_key("te*t", ""))) == sorted(devices_key("te*t", user) for user in users)
    assert list(scan(redis_client, devices_key("te*t", ""), "[Aa]nn")) == [devices_key("te*t", "ann")]


def test_more_keys_are_looked_at_if_few_match(redis_client):
    """Else a server that looks at all keys of a node would need many times more parts."""
    among = partitions(16)
    # Just fewer than a power of two: so the number of parts hardly depends on where Redis's hash puts the keys.
    keys = [among[number % 16].key(devices_key("default", str(number))) for number in range(2_000)]
    redis_client.mset(dict.fromkeys(keys, 1))
    walk, found, parts = walk_over([OURS[0]], among, 100), 0, 0
    while walk:
        walk, names = walk.after(redis_client.execute_command(*walk.command()))
        found, parts = found + len(names), parts + 1
        assert len(names) <= 200
    assert found >= len(keys)
    assert parts < 100
