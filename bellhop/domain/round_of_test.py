"""A test ring: it rings one user's own phones, for a call that Stream does not know. Pure.

It is a round like any other, so it has the same fence, trail and expiry. But it is not opened in its call: nobody
settles it, and no notice, no announcement and no list of missed calls can come from it.
"""

import re
import uuid

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.domain.round import Recipient, Round

EVENT = "bellhop.test_ring"
"""The type of the event that begins the round, in the place of Stream's call.ring."""
KIND = "test"
"""What explanations and lists call it, in the place of "ring"."""
RINGS_S = 30
CALLER, CALLER_NAME = "bellhop", "Bellhop test"
_CID = "default:bellhop-test-"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id() -> str:
    """Make the id of a test."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether the text has the form of such an id."""
    return _ID.fullmatch(text) is not None


def cid_of(test_id: str) -> str:
    """Return the call under which Redis keeps a test."""
    return f"{_CID}{test_id}"


def round_of_test(tenant: str, user_id: str, now: Micros, test_id: str, shown_cid: str = "") -> Round:
    """Return the round that rings this user's phones from now on. `shown_cid`: the call that its pushes name."""
    return Round(
        tenant=tenant,
        cid=cid_of(test_id),
        session_id="",
        started_at=now,
        deadline=Micros(now + RINGS_S * MICROS_PER_SECOND),
        caller_id=CALLER,
        caller_name=CALLER_NAME,
        recipients=(Recipient(id=user_id),),
        test=True,
        shown_cid=shown_cid,
    )
