"""Which calls there were lately, for the console: an index of each tenant's calls, and of each person's. Pure.

take_event.lua writes both in the step that takes a ring, a notification or a call.missed in, when the console is on.
"""

from collections.abc import Iterable

from bellhop.store.keys import calls_key, calls_of_user_key

MOST_CALLS = 10_000
"""Calls in a tenant's index; older ones are found by their id as long as there is a trail."""

MOST_CALLS_OF_A_PERSON = 50


def entry(tenant: str, cid: str, people: Iterable[str], *, begins: bool) -> dict[str, object]:
    """Word what take_event.lua puts into the indexes. A call that only goes on (not `begins`) keeps its place."""
    keys = [calls_of_user_key(tenant, user) for user in dict.fromkeys(people) if user]
    return {
        "cid": cid,
        "how": "GT" if begins else "NX",
        "limits": [[calls_key(tenant), str(MOST_CALLS)], *([key, str(MOST_CALLS_OF_A_PERSON)] for key in keys)],
    }
