"""Which users had only phones in Stream's list that Bellhop does not reach. For explanations: no push needs it."""

from collections.abc import Collection

from bellhop.store.keys import user_key

FIELD = "unreachable"
"""The field of a user's hash: the push providers of these phones, as Stream names them, separated by commas."""


def keep_unreachable(tenant: str, user_id: str, providers: Collection[str]) -> tuple[str, ...]:
    """Return the command that notes the providers; without any, the note is removed."""
    key = user_key(tenant, user_id)
    return ("HSET", key, FIELD, ",".join(sorted(providers))) if providers else ("HDEL", key, FIELD)


def read_unreachable(tenant: str, user_id: str) -> tuple[str, ...]:
    """Return the command that reads them."""
    return ("HGET", user_key(tenant, user_id), FIELD)
