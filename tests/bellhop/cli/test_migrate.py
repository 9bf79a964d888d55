"""`bellhop migrate` between a real Redis and a real cluster, in any direction."""

import json
import signal
from itertools import count

import pytest
from click.testing import CliRunner

from bellhop import console_audit
from bellhop.cli import main
from bellhop.cli import migrate as migrate_command
from bellhop.console_audit import AuditAction, AuditEntry
from bellhop.domain.user import Contact
from bellhop.migration.migrator import Migrator
from bellhop.privacy.forgetting_people import forget, forgotten_at, lift
from bellhop.store import registry
from bellhop.store.blocking_client import blocking, run_script, together
from bellhop.store.keys import (
    ERASURES,
    FORGOTTEN,
    MIGRATION,
    PARTITION_COUNT,
    devices_key,
    missed_calls_key,
    owner_key,
    phones_key,
    unsubscribed_key,
    user_key,
)
from bellhop.store.scanning import scan
from bellhop.store.steps import run_blocking, side_by_side
from tests.factories import a_device

NO_CHANGES = {"copied": 0, "removed": 0, "unchanged": 0, "kept": 0}


@pytest.fixture
def cluster_url(cluster):
    for node in cluster.nodes:
        node.ask("FLUSHALL")
    return cluster.url


class Installation:
    """One Redis, and what its users do."""

    def __init__(self, url):
        self.url, self.redis = url, blocking(url, timeout_s=5)
        self._times = count(1)

    def register(self, user, token="", at=0):
        device = a_device(user, token=token or f"token-{user}", registered_at=at or next(self._times))
        run_blocking(registry.register("default", device), self.redis)
        return device

    def remove(self, device):
        run_blocking(registry.remove("default", device), self.redis)

    def devices(self, user):
        """The devices that count: their tokens are the user's."""
        stored = registry.decode(self.redis.hgetall(devices_key("default", user)).values())
        return [device for device in stored if self.redis.get(owner_key("default", device.key)) == user.encode()]

    def call(self, *command):
        return together(self.redis, command)[0]

    def all_keys(self):
        return set(scan(self.redis, "bellhop:"))

    def forget(self, user):
        return forget(
            lambda *commands: together(self.redis, *commands),
            lambda *commands: run_script(self.redis, *commands),
            "default",
            user,
        )

    def lift(self, person):
        lift(lambda *commands: together(self.redis, *commands), person)

    def has_forgotten(self, user):
        return forgotten_at(lambda *commands: together(self.redis, *commands), "default", user) is not None


@pytest.fixture
def old(redis_url):
    return Installation(redis_url)


@pytest.fixture
def new(cluster_url):
    return Installation(cluster_url)


def bellhop(former, new, *options, status=0):
    result = CliRunner(env={"MIGRATE_FROM": former.url}).invoke(main, ["migrate", "--to", new.url, *options])
    assert result.exit_code == status, result.output
    return result.output


def migrate(former, new, *options, status=0):
    """Run the command; returns what was counted for each kind, without what is zero."""
    counted = json.loads(bellhop(former, new, "--json", *options, status=status))["entries"]
    changed = ((kind, {change: n for change, n in counts.items() if n}) for kind, counts in counted.items())
    return {kind: counts for kind, counts in changed if counts}


def fill(old):
    """Store an entry of each kind that is copied, and some that are not."""
    device = old.register("ben")
    contact = Contact(email="ben@example.com").model_dump_json()
    old.call("HSET", user_key("default", "ben"), "contact", contact, "written_at", 5)
    old.call("HSET", phones_key("default", "ben"), device.key, '{"health":{}}')
    old.call("PEXPIRE", phones_key("default", "ben"), 90_000)
    old.call("ZADD", missed_calls_key("default", "ben"), 1_700_000_000_000_000, "default:1")
    old.call("SET", unsubscribed_key("ab" * 16), 1)
    entry = AuditEntry(at=1_700_000_000_000_001, by="kim", way="password", action=AuditAction.PERSON, user="ben")
    together(old.redis, *console_audit.keep("default", entry))
    old.call("ZADD", "bellhop:dead-letters:backend", 5, '["default","default:1","{}","500"]')
    old.call("SET", "bellhop:fetched:default:ben", "")
    old.call("HSET", "bellhop:metrics", "[]", 1)
    return device


COPIED = {
    **dict.fromkeys(("devices", "phones", "missed", "unsubscribed", "console-audit", "dead-letters"), 1),
    "person": 2,
}


def all_of(change):
    return {kind: {change: n} for kind, n in COPIED.items()}


def values(side):
    """Everything that is copied, without times to live."""
    return {
        key: side.call(*command)
        for key in side.all_keys()
        for start, command in {
            "bellhop:devices:": ("HGETALL", key),
            "bellhop:token:": ("GET", key),
            "bellhop:person:": ("HGETALL", key),
            "bellhop:phones:": ("HGETALL", key),
            "bellhop:missed:": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            "bellhop:unsubscribed:": ("GET", key),
            "bellhop:console-audit:": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            "bellhop:dead-letters:": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        }.items()
        if key.startswith(start)
    }


def test_what_must_not_be_lost_arrives_and_comes_back(old, new, tmp_path):
    device = fill(old)
    assert migrate(old, new, "--dry-run") == all_of("copied")
    assert not new.all_keys()

    assert migrate(old, new) == all_of("copied")
    assert values(new) == values(old) and len(values(new)) == 8
    assert new.devices("ben") == [device]
    assert 0 < new.redis.pttl(phones_key("default", "ben")) <= 90_000
    assert new.redis.ttl(devices_key("default", "ben")) == new.redis.ttl(unsubscribed_key("ab" * 16)) == -1
    assert not new.redis.exists("bellhop:fetched:default:ben", "bellhop:metrics")
    remembered = [key for key in new.all_keys() if key.startswith("bellhop:copied:")]
    assert len(remembered) == 7 and not any("ben" in key for key in remembered)
    assert all(0 < new.redis.ttl(key) <= 30 * 24 * 3600 for key in remembered if "copied" not in key)

    assert migrate(old, new) == all_of("unchanged")
    old.redis.flushall()
    assert migrate(new, old) == all_of("copied")
    assert old.devices("ben") == [device]


@pytest.mark.parametrize("rehearsed", [False, True])
def test_on_the_way_back_what_was_changed_meanwhile_counts(old, new, rehearsed):
    """The old Redis still has its data, as it was when the installation moved."""
    phones = {user: old.register(user) for user in ("ben", "lea", "tom", "zoe")}
    for field in ("contact", "preferences"):
        old.call("HSET", user_key("default", "ben"), field, "{}")
    migrate(old, new)
    moved = new.register("kim", phones["ben"].token, at=99)
    new.remove(phones["lea"])
    new.call("HSET", user_key("default", "ben"), "preferences", '{"email":false}')
    old.call("HSET", user_key("default", "ben"), "contact", '{"language":"de"}')  # later than the last run
    old.remove(phones["zoe"])
    expected = {"devices": {"copied": 1, "removed": 2, "unchanged": 2}, "person": {"copied": 1, "unchanged": 1}}
    if rehearsed:
        assert migrate(new, old, "--dry-run") == expected
    assert migrate(new, old) == expected
    assert [old.devices(user) for user in ("kim", "ben", "lea", "tom", "zoe")] == [[moved], [], [], [phones["tom"]], []]
    assert old.redis.hgetall(user_key("default", "ben")) == {
        b"contact": b'{"language":"de"}',
        b"preferences": b'{"email":false}',
    }

    again = old.register("lea", at=100)
    migrate(new, old)
    assert old.devices("lea") == [again]
    old.call("HINCRBY", MIGRATION, "at", 1)  # whole seconds
    migrate(old, new)  # and there once more
    assert new.devices("lea") == [again] and values(new) == values(old)


def test_another_number_of_partitions_on_the_same_cluster(old, new):
    fill(new)
    assert new.call("GET", PARTITION_COUNT) == b"16"
    more = Installation(f"{new.url}?partitions=32")
    assert migrate(new, more) == all_of("copied")
    assert migrate(new, more, "--switch") == all_of("unchanged")
    assert values(more) == values(new) and len(more.devices("ben")) == 1
    assert migrate(new, more) == all_of("unchanged")
    assert "with 32 partitions, and" in bellhop(old, new, status=1)
    assert "--switch is for" in bellhop(new, old, "--switch", status=2)


def test_removals_on_both_sides_stay(old, new):
    theirs = {user: old.register(user) for user in ("ben", "kim", "lea", "tom")}
    old.call("HSET", user_key("default", "tom"), "preferences", "{}")
    migrate(old, new)
    new.remove(theirs["ben"])
    old.remove(theirs["kim"])
    old.remove(theirs["lea"])
    later = new.register("lea", at=99)
    new.call("HSET", user_key("default", "tom"), "preferences", '{"email":false}')
    old.call("HSET", user_key("default", "tom"), "preferences", '{"email":true}')
    expected = {"devices": {"unchanged": 2, "removed": 1, "kept": 1}, "person": {"kept": 1}}
    assert migrate(old, new, "--dry-run") == expected
    assert migrate(old, new) == expected
    assert [new.devices(user) for user in ("ben", "kim", "lea", "tom")] == [[], [], [later], [theirs["tom"]]]
    assert not new.redis.exists(owner_key("default", theirs["kim"].key))
    assert new.redis.hget(user_key("default", "tom"), "preferences") == b'{"email":false}'

    again = old.register("ben", at=100)  # not what was removed
    assert migrate(old, new)["devices"] == {"unchanged": 2, "kept": 1}
    assert "1 kept" not in bellhop(old, new) and new.devices("ben") == []
    assert again in old.devices("ben")


def test_a_token_that_moved_rings_its_last_user_alone(old, new):
    for user, token in (("ben", "a"), ("ben", "b"), ("ben", "c")):
        old.register(user, token)
    migrate(old, new)
    moved = old.register("sara", "a")
    taken = new.register("kim", "b")
    old.register("sara", "b")  # through a web process of the former Redis
    old.call("HSET", devices_key("default", "tom"), moved.key, moved.model_dump_json())  # not the owner's
    changes = migrate(old, new)["devices"]
    assert new.devices("sara") == [moved] and new.devices("kim") == [taken]
    assert [device.token for device in new.devices("ben")] == ["c"]
    assert not new.redis.exists(devices_key("default", "tom"))
    assert changes["copied"] == 1 and changes["kept"] == 1


def test_forgotten_people_do_not_come_back(old, new):
    for user in ("ben", "kim", "lea"):
        old.register(user)
    migrate(old, new)
    person = old.forget("ben")
    assert migrate(old, new)["devices"] == {"removed": 1, "unchanged": 2}
    assert new.has_forgotten("ben") and not new.devices("ben")
    assert new.redis.zcard(ERASURES) == 1

    new.forget("kim")
    old.register("kim", "another")
    old.register("kim")
    migrate(old, new)
    new.redis.delete("bellhop:forgotten")  # as a day later
    migrate(old, new)
    assert not new.devices("kim")

    old.lift(person)
    again = old.register("ben")
    migrate(old, new)
    assert new.devices("ben") == [again] and not new.has_forgotten("ben")
    new.call("ZADD", FORGOTTEN, 5, old.forget("ben").stored())
    migrate(old, new)
    assert new.has_forgotten("ben") and not new.devices("ben")
    assert len(new.devices("lea")) == 1


def test_people_forgotten_on_both_sides_are_named(old, new):
    new.forget("kim")
    old.forget("ben")
    output = bellhop(old, new, status=1)
    assert "1 people who were forgotten in the last day cannot be carried over" in output


def test_a_run_that_is_stopped_goes_on(old, new, monkeypatch):
    devices = [a_device(f"user-{n}", registered_at=1) for n in range(24)]
    run_blocking(side_by_side([registry.register("default", device) for device in devices]), old.redis)
    copy, runs = Migrator.copy, count(1)

    def copy_or_stop(self, keys):
        if next(runs) == 2:
            signal.raise_signal(signal.SIGINT)
        copy(self, keys)

    monkeypatch.setattr(Migrator, "copy", copy_or_stop)
    monkeypatch.setattr(migrate_command, "KEYS_AT_ONCE", 10)
    output = bellhop(old, new, status=130)
    assert "Stopped: 10 entries are copied. To go on, run the command again." in output
    assert migrate(old, new)["devices"] == {"copied": 14, "unchanged": 10}
    owners = together(new.redis, *(("GET", owner_key("default", device.key)) for device in devices), in_order=False)
    assert owners == [device.user_id.encode() for device in devices]


def test_a_run_refuses_to_bring_back_what_it_has_forgotten(old, new):
    device = old.register("ben")
    migrate(old, new)
    assert "the same Redis" in bellhop(old, old, status=2)
    new.call("HSET", MIGRATION, "at", 5)
    assert "the last run was more than 29 days ago" in bellhop(old, new, status=1)
    new.remove(device)
    assert migrate(old, new, "--anew")["devices"] == {"copied": 1}
    other = Installation(old.url.replace("127.0.0.1", "localhost"))
    assert "it was filled from 127.0.0.1" in bellhop(other, new, status=1)
    away = Installation("redis://:hunter2@127.0.0.1:1/0")
    output = bellhop(away, new, status=1)
    assert "Redis does not answer at 127.0.0.1:1" in output and "hunter2" not in output


def test_a_former_redis_that_lost_its_data_removes_nothing(old, new, cluster):
    for number in range(30):
        old.register(f"user-{number}")
    bellhop(old, new, "--dry-run")
    assert [node.ask("DBSIZE") for node in cluster.nodes] == [0, 0, 0], "a dry run changes nothing"
    migrate(old, new)
    before = new.all_keys()
    old.call("FLUSHDB")
    assert "has probably lost data: it has 0 keys to copy, and had 30" in bellhop(old, new, status=1)
    assert new.all_keys() == before
    assert migrate(old, new, "--many-removed")["devices"] == {"removed": 30}
