"""The harness of clusters: what happens to the nodes is what a cluster of real machines would show."""

import pytest
import redis

from bellhop.store.homes import SLOTS
from tests.redis_cluster import RedisCluster

KEY, SLOT = "{a}:key", 15495


def test_slots_move_with_their_keys(tmp_path):
    with RedisCluster(tmp_path) as cluster:
        assert cluster.url == "redis+cluster://" + ",".join(f"127.0.0.1:{n.server.port}" for n in cluster.nodes)
        assert [cluster.nodes.index(cluster.node_of(slot)) for slot in (0, SLOTS // 2, SLOTS - 1)] == [0, 1, 2]
        first, _, last = cluster.nodes
        keys = [f"{KEY}-{n}" for n in range(5)]
        for key in keys:
            last.ask("SET", key, "kept")
        cluster.move_slots([SLOT], first, keys_at_once=2)
        assert cluster.node_of(SLOT) is first and cluster.node_of(SLOT + 1) is last
        assert {first.ask("GET", key) for key in keys} == {"kept"}
        with pytest.raises(redis.exceptions.MovedError):
            last.ask("GET", KEY)
        assert cluster.commands()["set"] == len(keys)


def test_a_node_that_is_cut_off_loses_what_it_took(tmp_path):
    with RedisCluster(tmp_path, replicas=1, node_timeout_ms=3000, has_proxies=True) as cluster:
        old, (replica,) = cluster.node_of(SLOT), cluster.replicas_of(cluster.node_of(SLOT))
        cluster.cut_off(old)
        old.ask("SET", KEY, "lost")  # the others do not see it, but a client does
        assert cluster.wait_for_promotion(SLOT, instead_of=old) is replica
        replica.ask("SET", KEY, "kept")
        cluster.join(old)
        cluster.wait(cluster.is_whole)
        assert cluster.node_of(SLOT) is replica and cluster.replicas_of(replica) == [old]
        cluster.failover(old)
        assert old.ask("GET", KEY) == "kept"
