"""An upgrade: this version continues from the data and jobs that an older version wrote.

Each file in `states` names the commit that wrote it (`make_fixtures.py`). `make upgrade-check` tests the other
direction, and both versions at the same time.
"""

import pytest
import redis
from make_fixtures import OLD, NoCommitError, checkout, kept_states
from redis_state import Moved, dump, load
from two_versions import NEW
from upgrade_reading import reads_everything


@pytest.mark.timeout(300)
async def test_what_an_older_version_left_is_read_run_and_shown(tmp_path):
    await reads_everything(NEW, kept_states(), tmp_path)


def test_the_states_are_of_the_frozen_version():
    states = kept_states()
    assert sorted(states) == ["dead_worker", "handed_back", "queued", "settled"]
    assert {state["written_by"] for state in states.values()} == {OLD}


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("r:1800000000000001", "r:1800000090000001"),
        ('["a",1800000000000,{}]', '["a",1800000090000,{}]'),
        ("1800000000.25", "1800000090.25"),
        ("2027-01-15T08:00:00.123456Z", "2027-01-15T08:01:30.123456Z"),
        ("2100-01-01T00:00:00Z", "2100-01-01T00:00:00Z"),
        ("4102444800000000", "4102444800000000"),
        ("a1800000000", "a1800000000"),
        ("18000000001", "18000000001"),
        ("unmoved 1800000000", "unmoved 1800000000"),
    ],
)
def test_stamps_near_the_making_move_and_nothing_else(text, moved):
    assert Moved(made_at_s=1_800_000_000, by_s=90).text(text) == moved


def test_a_loaded_state_is_what_was_dumped(redis_url):
    state = kept_states()["dead_worker"]
    # A worker's lease of three seconds may end on a busy machine before it is dumped.
    state["redis"] = [entry | {"ttl_s": entry["ttl_s"] and max(entry["ttl_s"], 60)} for entry in state["redis"]]
    with redis.Redis.from_url(redis_url) as client:
        moved = load(client, state, age_s=60)
        loaded = {entry["key"]: entry for entry in dump(client, lambda text: text)}
    assert len(loaded) == len(state["redis"])
    for entry in state["redis"]:
        now = loaded[moved.text(entry["key"])]
        assert (now["type"], now["ttl_s"]) == (entry["type"], entry["ttl_s"])
        assert len(now["value"]) == len(moved.text(entry["value"]) if now["type"] == "string" else entry["value"])


def test_a_commit_that_is_not_in_the_clone_has_a_clear_error():
    with pytest.raises(NoCommitError, match="git fetch --unshallow"), checkout("0" * 40):
        pass
