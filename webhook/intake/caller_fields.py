"""Read the caller's picture and custom fields, for a team whose own pushes use them. Pure.

`bellhop.domain.stream_json` does not read them: most teams do not need them, and a user may have many. So the body is
read a second time, only if a setting allows such fields.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bellhop.domain.json_fields import whole_text
from bellhop.domain.own_pushes import IMAGE
from webhook.intake.call_parts import short_fields

LONGEST_URL = 1_000
"""Characters of the picture's URL. A longer one is left out: a part of it is useless."""


class _User(msgspec.Struct):
    image: Any = None
    custom: Any = None


class _Call(msgspec.Struct):
    created_by: _User | None = None


class _Event(msgspec.Struct):
    user: _User | None = None
    call: _Call | None = None


_decoder = msgspec.json.Decoder(_Event)


def caller_fields(body: bytes, names: Sequence[str], *, is_creator: bool) -> dict[str, str]:
    """Read those fields of the caller that have these names; none from JSON of an unusual form.

    `is_creator`: the caller is the user who created the call, because the event has no user.
    """
    try:
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    creator = event.call.created_by if event.call else None
    caller = creator if is_creator else event.user
    if caller is None:
        return {}
    read = short_fields(caller.custom) if isinstance(caller.custom, dict) else {}
    image = whole_text(caller.image, LONGEST_URL) if isinstance(caller.image, str) else ""
    found = read | {IMAGE: image}
    return {name: found[name] for name in names if found.get(name)}
