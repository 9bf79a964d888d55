"""Data that nobody used for the set number of days is removed, and nothing else."""

import json
import time

import pytest
from structlog.testing import capture_logs

from bellhop.clock import Seconds, micros
from bellhop.domain.user import Contact
from bellhop.privacy.unused_data import KeptDays, remove_unused
from bellhop.settings import Settings
from bellhop.store import phones, registry
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import ALONE
from bellhop.store.keys import UNUSED_DATA_TURN, devices_key, owner_key, user_key
from bellhop.store.scripts import Command
from bellhop.store.steps import run_blocking
from tests.factories import a_device
from worker.unused_data_remover import UnusedDataRemover

NOW = micros(Seconds(time.time()))
DAY = micros(Seconds(24 * 3600))
KEPT = KeptDays(devices=60, contacts=90)


@pytest.fixture
def devices(redis_client):
    """Register a device of each user, so many days ago."""

    def of(user, *days):
        made = [a_device(user, token=f"{user}-{day}", registered_at=NOW - day * DAY) for day in days]
        for device in made:
            run_blocking(registry.register("default", device), redis_client)
        return made

    return of


def written(redis_client, user, days=None):
    """A contact and other fields of a user, which were written so many days ago."""
    fields = {"contact": json.dumps({"language": "nl"}), "preferences": json.dumps({"email": False}), "revoked": "1"}
    if days is not None:
        fields["written_at"] = str(NOW - days * DAY)
    redis_client.hset(user_key("default", user), mapping=fields)


def left(redis_client, user):
    return {name.decode() for name in redis_client.hkeys(user_key("default", user))}


def removed(redis_client, kept=KEPT, tell=lambda *_: None):
    return dict(run_blocking(remove_unused(kept, tell, ALONE), redis_client))


def test_a_device_without_a_use_goes_with_its_owner(redis_client, devices):
    old, used = devices("jane", 61, 62)
    devices("ben", 59)
    run_script(
        redis_client, phones.note_receipt("default", "jane", used.key, NOW - 50 * DAY, round_started_at=1, event="rang")
    )
    told = []
    assert removed(redis_client, tell=lambda *facts: told.append(facts)) == {"devices": 1, "contacts": 0}
    assert redis_client.hkeys(devices_key("default", "jane")) == [used.key.encode()]
    assert not redis_client.exists(owner_key("default", old.key))
    assert redis_client.hlen(devices_key("default", "ben")) == 1
    assert [(tenant, device.key) for tenant, device, _ in told] == [("default", old.key)]


def test_a_contact_without_a_use_goes_and_wishes_stay(redis_client, devices):
    for user, days in (("jane", 91), ("ben", 89), ("sara", 91), ("tom", None)):
        written(redis_client, user, days)
    devices("sara", 1)
    assert removed(redis_client) == {"devices": 0, "contacts": 1}
    assert left(redis_client, "jane") == {"preferences", "revoked", "written_at"}
    for user in ("ben", "sara", "tom"):
        assert left(redis_client, user) == {"contact", "preferences", "revoked", "written_at"}
    assert int(redis_client.hget(user_key("default", "tom"), "written_at")) >= NOW, "its days begin now"


def test_quiet_hours_keep_their_time_zone(redis_client):
    written(redis_client, "jane", 91)
    contact = {"email": "jane@example.com", "time_zone": "Europe/Amsterdam"}
    hours = {"quiet_hours": {"from": "22:00", "to": "07:00"}}
    key = user_key("default", "jane")
    redis_client.hset(key, mapping={"contact": json.dumps(contact), "preferences": json.dumps(hours)})
    assert [removed(redis_client)["contacts"] for _ in range(2)] == [1, 0]
    stored = registry.read_stored(Contact, redis_client.hget(key, "contact"))
    assert (stored.email, stored.time_zone) == (None, "Europe/Amsterdam")


def test_what_is_used_meanwhile_stays(redis_client, devices):
    (device,) = devices("jane", 61)
    again = device.model_copy(update={"registered_at": NOW})

    def meanwhile(steps):
        """Take the steps; register the device again before the first change."""
        commands = next(steps)
        while not isinstance(commands[0], Command):
            commands = steps.send((yield commands))
        yield from registry.register("default", again)
        while True:
            commands = steps.send((yield commands))

    with pytest.raises(RuntimeError) as ended:  # StopIteration within a generator
        run_blocking(meanwhile(remove_unused(KEPT, lambda *_: None, ALONE)), redis_client)
    assert ended.value.__cause__.value == {"devices": 0, "contacts": 0}
    assert redis_client.hlen(devices_key("default", "jane")) == 1


def test_by_default_everything_is_kept(redis_client, devices):
    devices("jane", 3_000)
    written(redis_client, "jane", 3_000)
    assert removed(redis_client, KeptDays(0, 0)) == {"devices": 0, "contacts": 0}
    settings = Settings()
    assert (settings.unused_device_days, settings.unused_contact_days) == (0, 0)
    with pytest.raises(ValueError, match="from 30 to"):
        Settings(unused_device_days=29)


async def test_one_worker_makes_a_pass_a_day(redis_client, store, devices):
    devices("jane", 61)
    redis_client.set(UNUSED_DATA_TURN, "w-2", ex=60)
    remover = UnusedDataRemover(store, "w-1", KEPT, None)
    await remover.remove_if_due()
    assert redis_client.hlen(devices_key("default", "jane")) == 1
    redis_client.delete(UNUSED_DATA_TURN)
    await remover.remove_if_due()
    assert redis_client.hlen(devices_key("default", "jane")) == 0
    assert redis_client.ttl(UNUSED_DATA_TURN) > 86_000


@pytest.mark.parametrize(("unused", "used", "left"), [(20, 19, 39), (20, 20, 20), (19, 0, 0)])
async def test_an_app_that_never_registers_again_keeps_its_phones(redis_client, store, devices, unused, used, left):
    """Half of an app's phones without a use mean that the app does not register at its start."""
    for number in range(unused):
        devices(f"jane-{number}", 61)
    for number in range(used):
        devices(f"ben-{number}", 1)
    with capture_logs() as logs:
        await UnusedDataRemover(store, "w-1", KEPT, None).remove_if_due()
    assert len(list(redis_client.scan_iter(devices_key("default", "*")))) == left
    warned = [entry for entry in logs if entry["event"] == "unused_devices_kept"]
    assert [(entry["devices"], entry["unused"]) for entry in warned] == ([(39, 20)] if left == 39 else [])
