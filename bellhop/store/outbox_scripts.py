"""The scripts that drain outboxes of announcements (lua/outbox/): the order of their keys and arguments."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from pydantic_core import to_json

from bellhop.clock import Micros, Seconds, iso
from bellhop.store.job_keys import add_job, add_outboxes
from bellhop.store.keys import announced_key, draining_key, lease_key, outbox_key
from bellhop.store.scripts import Argument, Command


class Outbox(NamedTuple):
    """Names the announcements about one subject that wait for one destination."""

    destination: str
    tenant: str
    subject: str
    """A call's cid, `device:<key>`, or `alarm`."""

    @property
    def keys(self) -> list[str]:
        """Its keys, as the scripts expect them."""
        return [outbox_key(*self), draining_key(*self)]


def drain_outbox(outbox: Outbox, *, worker: str, run: str, claim_us: Micros, done: bytes = b"") -> Command:
    """Take the first document for one run of one worker, for `claim_us`; before that, remove the one that is `done`.

    The script returns ["empty"], ["held"] if another run drains the outbox, or ["first", document, failures].
    """
    return Command("outbox/drain_outbox", [*outbox.keys, lease_key("")], [worker, run, claim_us, done])


def put_off_outbox(
    outbox: Outbox, job: Mapping[str, str], *, worker: str, run: str, wait_s: Seconds, now: Micros, failures: int
) -> Command:
    """End a run that could not send the first document: `job` goes on after `wait_s`.

    `failures`: how often it could not be sent. The script returns 1, or 0 if another run drains the outbox.
    """
    keys = outbox.keys
    args: list[Argument] = [worker, run, wait_s, to_json(add_job(keys, job)), iso(now), failures]
    return Command("outbox/put_off_outbox", keys, args)


def fill_outboxes(
    document: str, outboxes: Sequence[Mapping[str, Any]], now: Micros, *, once: str = "", once_s: int = 0
) -> Command:
    """Put a document that is not about a ring into outboxes (`bellhop.audience.outbox_of`).

    `once` names what the document is about: it is not announced again within `once_s`. Empty: every time. The script
    returns 1, or 0 if it was announced already.
    """
    keys: list[str] = []
    with_keys = add_outboxes(keys, outboxes)
    packed = msgspec.msgpack.encode({"now": iso(now), "document": document, "outboxes": with_keys})
    if once:
        keys.append(announced_key(once))
    return Command("outbox/fill_outboxes", keys, [packed, once_s if once else ""])
