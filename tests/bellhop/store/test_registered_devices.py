"""The walks over all keys that `bellhop check` makes."""

import pytest

from bellhop.clock import Seconds
from bellhop.store.keys import call_key
from bellhop.store.registered_devices import called_users, demoted_phones, devices_by_user

OTHERS = 3_000
"""More keys than one part of a walk looks at."""


@pytest.mark.parametrize("walk", [devices_by_user, demoted_phones, called_users])
def test_a_walk_that_finds_nothing_ends_in_time(redis_client, walk):
    redis_client.mset({call_key("default", str(number)): 1 for number in range(OTHERS)})
    redis_client.config_resetstat()
    assert not walk(redis_client, "default", Seconds(0.0))
    assert "cmdstat_scan" not in redis_client.info("commandstats")
