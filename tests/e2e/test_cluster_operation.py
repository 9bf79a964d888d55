"""What an operator sees of a Redis Cluster: who may start on it, what its nodes have, and RQ's own commands."""

import asyncio
import hmac
import json
import re
import signal
from pathlib import Path

import pytest
import redis
import rq
from click.testing import CliRunner
from redis.exceptions import RedisError
from rq.registry import FailedJobRegistry
from structlog.testing import capture_logs

from bellhop.cli import main
from bellhop.cli.check import redis as redis_checks
from bellhop.cli.check import workers
from bellhop.cli.check.finding import Level
from bellhop.cli.check.redis_cluster import of_nodes
from bellhop.queue.names import QUEUES
from bellhop.queue.rq_connection import RqRedis, url_for_rq
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.redis_server import NoTlsError, RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.sandbox.tls import Authority
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking, partitions_of, servers_of
from bellhop.store.cluster_facts import ClusterFacts, NodeFacts, Reading, clock_complaint, read_cluster
from bellhop.store.cluster_map import away
from bellhop.store.homes import partition_with, partitions, slot_of
from bellhop.store.keys import CONSOLE_LOGINS, METRICS_KEY, bell_key, lease_key, rq_worker_key, rq_workers_key
from bellhop.store.redis_internals import parse_error
from bellhop.store.redis_url import with_ca, with_partitions
from bellhop.store.refusals import needs_other_settings, refusal_of, try_to_write
from bellhop.store.wrong_redis import WrongRedisError
from tests.factories import web_settings
from tests.waiting import come_true
from tests.webhook.console.conftest import logged_in
from webhook.app import create_app
from worker.queue.rq_adapter import RqWorkerRecord

OTHER_NUMBER = "holds an installation with 16 partitions, and BELLHOP_REDIS_PARTITIONS is 8: set it to 16"
QUEUE = "bellhop-rings"
REDIS_DOC = Path(__file__).parents[2] / "docs" / "redis.md"


@pytest.fixture
def redis_of(cluster):
    with blocking(cluster.url, timeout_s=5) as redis:
        yield redis


async def test_only_the_number_of_the_first_start_is_accepted(cluster):
    first = Store.from_url(cluster.url)
    await first.call("SET", "bellhop:trail:default:1", "")
    await first.close()
    url = with_partitions(cluster.url, 8)
    other = Store.from_url(url)
    for _ in range(2):
        with pytest.raises(WrongRedisError, match=OTHER_NUMBER):
            await other.call("GET", "bellhop:trail:default:1")
    await other.close()
    with blocking(url, timeout_s=5) as redis, pytest.raises(WrongRedisError, match=OTHER_NUMBER):
        redis.get("bellhop:trail:default:1")
    with blocking(with_partitions(cluster.url, 16), timeout_s=5) as redis:
        assert redis.get("bellhop:trail:default:1") == b""


def test_a_command_refuses_another_number_in_one_sentence(cluster, redis_of):
    redis_of.get("bellhop:trail:default:1")
    result = run(cluster, "explain default:1", BELLHOP_REDIS_PARTITIONS="8")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert OTHER_NUMBER in result.output


def test_a_web_process_with_another_number_takes_no_webhook(cluster, redis_of):
    redis_of.get("bellhop:trail:default:1")
    browser = create_app(web_settings(with_partitions(cluster.url, 8))).test_client()
    body = json.dumps(SampleCall().ring()).encode()
    headers = {"X-Api-Key": "key", "X-Signature": hmac.digest(b"secret", body, "sha256").hex()}
    with capture_logs() as logged:
        assert browser.post("/webhooks/stream", data=body, headers=headers).status_code == 503
    (away,) = [line for line in logged if line["event"] == "redis_away"]
    assert OTHER_NUMBER in away["advice"]
    (sentence,) = browser.get("/readyz").json["missing"]
    assert OTHER_NUMBER in sentence


def test_each_node_has_its_slots_and_partitions(cluster, redis_of):
    nodes = read_cluster(redis_of).nodes
    assert [node.name for node in nodes] == [f"127.0.0.1:{node.server.port}" for node in cluster.nodes]
    assert sorted(len(node.partitions) for node in nodes) == [5, 5, 6]
    assert sum(node.slots for node in nodes) == 16384


async def test_check_names_the_cluster_and_the_nodes_that_differ(cluster):
    first, *_ = cluster.nodes
    first.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "cluster-require-full-coverage", "yes")
    store = Store.from_url(cluster.url)
    settings = web_settings(cluster.url, redis_wait_replicas=1)
    found = [finding async for finding in redis_checks.findings(store, settings)]
    await store.close()
    first.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "cluster-require-full-coverage", "no")
    sentences = {finding.sentence: finding.level for finding in found}
    whole = next(sentence for sentence in sentences if sentence.startswith("a cluster of"))
    assert re.match(
        r"a cluster of 3 masters and 0 replicas; 16 partitions, 5 or 6 on each; answers in \d+\.\d ms", whole
    )
    name = f"127.0.0.1:{first.server.port}"
    for sentence, level in (
        (f"{name}: maxmemory-policy is allkeys-lru", Level.PROBLEM),
        (f"{name}: cluster-require-full-coverage is yes", Level.WARNING),
        ("all nodes: version", Level.OK),
        ("all nodes: append-only persistence is off", Level.WARNING),
        ("all nodes: 0 replicas, but BELLHOP_REDIS_WAIT_REPLICAS is 1", Level.PROBLEM),
    ):
        assert [level for found, level in sentences.items() if found.startswith(sentence)] == [level]


@pytest.fixture
def live_worker(redis_of):
    """Let a worker serve all queues."""
    for partition in partitions_of(redis_of):
        for queue_name in QUEUES:
            redis_of.sadd(partition.key(rq_workers_key(queue_name)), partition.key(rq_worker_key("w-1")))
        redis_of.set(partition.key(lease_key("w-1")), 1)


@pytest.mark.usefixtures("live_worker")
def test_the_web_process_shows_the_nodes_and_what_is_wrong(cluster):
    browser = logged_in(cluster.url, metrics_token="m" * 16)
    names = [f"127.0.0.1:{node.server.port}" for node in cluster.nodes]
    page = browser.get("/console/service").get_data(as_text=True)
    assert "a cluster of 3 masters and 0 replicas; 16 partitions, 5 or 6 on each" in page
    assert all(f'<th role="rowheader" scope="row">{name}</th>' in page for name in names)
    shown = browser.get("/metrics", headers={"Authorization": f"Bearer {'m' * 16}"}).get_data(as_text=True)
    for name in names:
        assert re.search(rf'bellhop_redis_partitions{{node="{name}"}} [56]\.0', shown)
        assert re.search(rf'bellhop_redis_slots{{node="{name}"}} 546[12]\.0', shown)
    first, *_ = cluster.nodes
    first.ask("CONFIG", "SET", "maxmemory", "1")
    answer = browser.get("/readyz")
    page = browser.get("/console/service").get_data(as_text=True)
    first.ask("CONFIG", "SET", "maxmemory", "0")
    (sentence,) = [text for text in answer.json["warnings"] if "A master" in text]
    has = re.match(r"A master of the Redis Cluster, which has ([56]) of 16 partitions, is full and", sentence)
    assert (answer.status_code, len(answer.json["partitions_away"])) == (200, int(has[1]))
    assert f"Redis at {names[0]}, which has " in page
    assert browser.get("/readyz").json.keys() == {"status", "redis"}


@pytest.mark.parametrize("user", ["web", "worker"])
def test_the_documented_users_may_use_a_cluster(cluster, user):
    line = next(line for line in REDIS_DOC.read_text().splitlines() if line.startswith(f"user {user} on"))
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", *line.split()[1:])
    url = cluster.url.replace("://", f"://{user}:{user}-password@")
    with blocking(url, timeout_s=5) as redis:
        try_to_write(redis)
        if user == "worker":
            assert redis.execute_command("BZPOPMIN", partitions_of(redis)[0].key(bell_key(QUEUE)), 0.01) is None
            with servers_of(redis)[0].pubsub() as channel:
                channel.subscribe(RqWorkerRecord(url, "w-1", [QUEUE]).pubsub_channel_name)
                assert channel.get_message(timeout=5)["type"] == "subscribe"
    for node in cluster.nodes:
        assert node.ask("ACL", "LOG") == []
        node.ask("ACL", "DELUSER", user)


@pytest.mark.usefixtures("live_worker")
async def test_a_master_that_is_away_is_named(cluster):
    away_node = next(node for node in cluster.nodes if node is not cluster.node_of(0))
    name = f"127.0.0.1:{away_node.server.port}"
    browser = create_app(web_settings(cluster.url)).test_client()
    cluster.kill(away_node)
    store = Store.from_url(cluster.url)
    found = [finding.sentence async for finding in redis_checks.findings(store, web_settings(cluster.url))]
    await store.close()
    answer = browser.get("/readyz")
    (sentence,) = answer.json["warnings"]
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    cluster.restart(away_node)
    cluster.wait(cluster.is_whole)
    away = r", which has [56] of 16 partitions, does not answer \(ConnectionError\)"
    assert [text for text in found if re.fullmatch(rf"at {name}{away}", text)], found
    assert re.fullmatch(rf"A master of the Redis Cluster{away}\.", sentence)


@pytest.mark.usefixtures("live_worker")
@pytest.mark.parametrize("silent", range(3))
def test_readyz_needs_one_master_that_answers(cluster, redis_of, silent):
    browser, node = create_app(web_settings(cluster.url)).test_client(), cluster.nodes[silent]
    assert browser.get("/readyz").json.keys() == {"status", "redis"}
    numbers = [n for n, part in enumerate(partitions_of(redis_of)) if cluster.node_of(slot_of(part.tag)) is node]
    others = [other for other in cluster.nodes if other is not node]
    try:
        cluster.pause(node)
        answer = browser.get("/readyz")
        assert (answer.status_code, answer.json["partitions_away"]) == (200, numbers)
        assert "does not answer (TimeoutError)" in answer.json["warnings"][0]
        for other in others:
            cluster.pause(other)
        assert browser.get("/readyz").status_code == 503
    finally:
        for paused in (node, *others):
            cluster.go_on(paused)
        cluster.wait(cluster.is_whole)
    assert browser.get("/readyz").status_code == 200


@pytest.mark.usefixtures("live_worker")
@pytest.mark.parametrize("silent", range(3))
def test_metrics_show_no_smaller_sums_of_a_part(cluster, redis_of, silent):
    browser, node = create_app(web_settings(cluster.url, metrics_token="m" * 16)).test_client(), cluster.nodes[silent]
    redis_of.hset(METRICS_KEY, json.dumps(["bellhop_test_rings_total", "user"]), 7)
    counted, jobs = 'bellhop_test_rings_total{by="user"} 7.0', "bellhop_queue_jobs{"
    counts_are_here = cluster.node_of(slot_of(partition_with(METRICS_KEY, partitions_of(redis_of)).tag)) is not node

    def shown():
        return browser.get("/metrics", headers={"Authorization": f"Bearer {'m' * 16}"})

    before = shown().text
    assert all(text in before for text in (counted, jobs, f"{away_of(node)} 0.0"))
    try:
        cluster.pause(node)
        answer = shown()
    finally:
        cluster.go_on(node)
        cluster.wait(cluster.is_whole)
    assert (answer.status_code, counted in answer.text, jobs in answer.text) == (200, counts_are_here, False)
    assert re.search(rf"{re.escape(away_of(node))} [56]\.0", answer.text)
    assert 'bellhop_workers{queue="bellhop-rings"} 1.0' in answer.text
    assert counted in shown().text


@pytest.mark.usefixtures("live_worker")
@pytest.mark.parametrize("how", ["kill", "pause"])
def test_the_service_page_shows_what_the_others_have(cluster, redis_of, how):
    browser = logged_in(cluster.url)
    logins = cluster.node_of(slot_of(partition_with(CONSOLE_LOGINS, partitions_of(redis_of)).tag))
    for node in (node for node in cluster.nodes if node is not logins):
        try:
            getattr(cluster, how)(node)
            answer = browser.get("/console/service")
        finally:
            {"kill": cluster.restart, "pause": cluster.go_on}[how](node)
            cluster.wait(cluster.is_whole)
        assert answer.status_code == 200
        assert re.search(r"Partitions of Redis that cannot be read: [56]\.", answer.text)
        assert f"Redis at 127.0.0.1:{node.server.port}, which has" in answer.text
        assert "No live worker" not in answer.text
    assert "cannot be read" not in browser.get("/console/service").text


def away_of(node):
    """The sample of the partitions that cannot be read at a node."""
    return f'bellhop_redis_partitions_away{{node="127.0.0.1:{node.server.port}"}}'


@pytest.mark.usefixtures("live_worker")
@pytest.mark.parametrize("silent", range(3))
async def test_check_finds_workers_while_a_master_is_away(cluster, silent):
    node = cluster.nodes[silent]
    try:
        cluster.pause(node)
        found = [finding async for finding in workers.findings(web_settings(cluster.url))]
    finally:
        cluster.go_on(node)
        await asyncio.to_thread(cluster.wait, cluster.is_whole)
    assert re.fullmatch(r"1 alive, as 1[01] of 16 partitions show: the others do not answer", found[0].sentence)


@pytest.fixture
def announced_by_name(tmp_path):
    """A cluster of one node, which speaks TLS and announces its name; with the CA that signed its certificate."""
    authority = Authority(tmp_path)
    announced = {"cluster-announce-hostname": "localhost", "cluster-preferred-endpoint-type": "hostname"}
    settings = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "tls-cluster": "yes"} | announced
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    try:
        with RedisServer(tmp_path, *options, authority=authority) as server:
            yield server
    except NoTlsError as error:
        pytest.skip(str(error))


async def test_tls_uses_the_names_that_nodes_announce(announced_by_name):
    port, ca_file = announced_by_name.port, str(announced_by_name.authority.ca_file)
    with redis.Redis.from_url(announced_by_name.url) as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await come_true(lambda: admin.cluster("INFO")["cluster_state"] == "ok")
        admin.config_set("requirepass", "s3:cret")
    url = with_ca(f"rediss+cluster://:s3%3Acret@127.0.0.1:{port}", ca_file)
    with blocking(url, timeout_s=5) as client:
        client.set("bellhop:trail:default:1", "kept")
        assert [node.name for node in read_cluster(client).nodes] == [f"localhost:{port}"]
    store = Store.from_url(url)
    assert await store.call("GET", "bellhop:trail:default:1") == b"kept"
    await store.close()
    with blocking(url.replace("s3%3Acret", "wrong"), timeout_s=5) as client, pytest.raises(RedisError) as refused:
        client.get("bellhop:trail:default:1")
    assert "does not accept the user and the password" in refusal_of(refused.value)


def test_a_cluster_that_is_down_is_not_taken_for_one_node():
    down = "CLUSTERDOWN The cluster is down"
    of_cluster = away(parse_error(down))
    assert "is a cluster without a master for some slots" in refusal_of(of_cluster)
    assert not needs_other_settings(of_cluster)
    assert "redis+cluster://" in refusal_of(parse_error(down)), "the client of a single server got it"
    assert needs_other_settings(parse_error(down))


def test_each_master_needs_one_replica_more_than_wait_waits_for():
    def found(replicas):
        info = {"redis_version": "7.0.15", "aof_enabled": 1, "connected_slaves": replicas}
        reading = Reading(0.01, (0.0, 0.01), None, info, needs_all_slots=False)
        facts = ClusterFacts((NodeFacts("node-1", 16384, partitions(16), 0, reading),), 16)
        return [finding for finding in of_nodes(facts, 1) if finding.level is not Level.OK]

    (missing,), (warning,) = found(0), found(1)
    assert (missing.level, warning.level) == (Level.PROBLEM, Level.WARNING)
    assert "as many replicas as BELLHOP_REDIS_WAIT_REPLICAS, 1:" in warning.sentence
    assert "Add one replica for each master" in warning.sentence
    assert found(2) == []


def test_clocks_of_nodes_are_compared_with_each_other():
    def facts(*ahead_s):
        readings = [Reading(0.01, (ahead, ahead + 0.01), None, None, needs_all_slots=False) for ahead in ahead_s]
        nodes = (NodeFacts(f"node-{n}", 1, partitions(1), 0, reading) for n, reading in enumerate(readings))
        return ClusterFacts(tuple(nodes), 16)

    assert clock_complaint(facts(30.0, 30.1)) == "", "it may be as little as 0.09 s"
    apart = facts(1.0, 1.05, 1.31)
    assert "differ by 0.3 s, node-2 is ahead of node-0: set them right (NTP)" in clock_complaint(apart)
    assert "node-" not in clock_complaint(apart, public=True)


def test_rq_shows_the_queues_of_one_partition_or_of_all(cluster, redis_of):
    queue(cluster, 3).enqueue("worker.jobs.ring", job_id="waiting")
    one = run(cluster, "rq --partition 3 info --only-queues --raw")
    assert (one.exit_code, one.output) == (0, f"queue {QUEUE} 1, 0 executing, 0 finished, 0 failed\n")
    every = run(cluster, "rq info --only-queues --raw")
    assert every.exit_code == 0
    assert every.output.count("Partition ") == 16
    assert f"Partition 3\nqueue {QUEUE} 1, " in every.output
    assert every.output.count(f"queue {QUEUE}") == 1
    partition = partitions_of(redis_of)[3]
    assert redis_of.lrange(partition.key(f"rq:queue:{QUEUE}"), 0, -1) == [b"waiting"]
    assert redis_of.smembers(partition.key("rq:queues")) == {partition.key(f"rq:queue:{QUEUE}").encode()}


def test_rq_queues_a_failed_job_of_a_partition_again(cluster):
    of_partition = queue(cluster, 5)
    job = of_partition.enqueue("worker.jobs.ring", job_id="failed")
    of_partition.remove(job)
    FailedJobRegistry(queue=of_partition).add(job, ttl=60)
    job.set_status("failed")
    assert "another partition" in run(cluster, f"rq --partition 4 requeue --queue {QUEUE} failed").output
    assert run(cluster, f"rq --partition 5 requeue --queue {QUEUE} failed").exit_code == 0
    assert of_partition.job_ids == ["failed"]
    assert FailedJobRegistry(queue=of_partition).get_job_ids() == []


def test_rq_suspends_the_workers_of_one_partition_or_of_all(cluster, redis_of):
    def suspended():
        keys = [partition.key("rq:suspended") for partition in partitions_of(redis_of)]
        return [number for number, key in enumerate(keys) if redis_of.exists(key)]

    for command, expected in (
        ("--partition 7 suspend", [7]),
        ("suspend", [*range(16)]),
        ("--partition 7 resume", [number for number in range(16) if number != 7]),
        ("resume", []),
    ):
        assert run(cluster, f"rq {command}").exit_code == 0
        assert suspended() == expected


@pytest.fixture
def own_signals():
    """RQ's worker sets signal handlers in this process, and leaves them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_rqs_own_worker_runs_jobs_of_a_partition(cluster):
    of_partition = queue(cluster, 9)
    job = of_partition.enqueue("operator.add", 1, 2)
    rq.SimpleWorker([of_partition], connection=of_partition.connection).work(burst=True, logging_level="ERROR")
    assert job.return_value() == 3


def test_rq_without_a_partition_changes_nothing(cluster):
    result = run(cluster, f"rq requeue --queue {QUEUE} --all")
    assert (result.exit_code, "name a partition: bellhop rq --partition 0 requeue" in result.output) == (2, True)
    assert "from 0 to 15" in run(cluster, "rq --partition 16 info").output


def queue(cluster, partition):
    """A queue of a partition, as RQ uses it."""
    return rq.Queue(QUEUE, connection=RqRedis.from_url(url_for_rq(cluster.url, partition)))


def run(cluster, command, **environment):
    return CliRunner(env={"BELLHOP_REDIS_URL": cluster.url} | environment).invoke(main, command.split())
