"""The registry in Redis: users' devices, contacts and preferences. It owns the scripts in lua/registry/.

The functions return Commands or Steps to run, so the web process (blocking client) and the worker (asyncio) share them.

A user's keys are: their devices (a hash, device key -> device as JSON), contact and preferences (a hash of JSON, with
`written_at` and the times `deactivated`, `reactivated`, `deleted` and `revoked` that Stream gives), and the rings held
back (a hash, caller -> start of the last ring that quiet hours held back). The owner key of a token names its user. A
device counts only for the user whom the owner key names: a token that moves to another user leaves the first.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bellhop.clock import Micros
from bellhop.domain.device import MAX_DEVICES_PER_USER, Device
from bellhop.domain.user import Contact, Preferences, User
from bellhop.store import disabled_phones
from bellhop.store.async_client import Store
from bellhop.store.keys import (
    LOOKUP_BUDGET,
    brake_key,
    devices_key,
    held_back_key,
    lookup_key,
    owner_key,
    phones_key,
    token_window_key,
    user_key,
)
from bellhop.store.limit_scripts import spend_budget
from bellhop.store.missed_calls import count_unseen
from bellhop.store.scripts import Argument, Command
from bellhop.store.steps import Steps

USERS_AT_ONCE = 200
"""Users read in one packet, so that other commands are not delayed for long."""
DECODED_AT_ONCE = 20
"""Users whose devices are read before other tasks of the event loop get a turn."""

LEAVING_S = 30 * 24 * 3600
"""How long the owner key of a token stays if a process died while it removed the token. An app that is in use registers
its token again within this time."""
WRITTEN_AT = "written_at"
"""The field of a user that says when contact or preferences were last written (unix µs)."""
HELD_BACK_TTL_S = 600
"""Longer than a second call's three minutes and its ring together: its missed-call notice reads this again."""

Model = TypeVar("Model", bound=BaseModel)


class RegisteredUsers(NamedTuple):
    """What the registry has about some users."""

    devices: dict[str, list[Device]]
    """The devices of each user, in the order of their registration."""
    users: dict[str, User]
    """The users who have a contact, preferences or another stored field."""
    unseen: dict[str, int]
    """How many missed calls each user has not seen; empty if that was not asked for."""


class Registered(NamedTuple):
    """What a registration changed."""

    former_owner: str
    """The user who had the token before; empty for none."""
    evicted: tuple[Device, ...] = ()
    """The devices that were removed because the user had too many."""
    moved: tuple[Device, ...] = ()
    """The former owner's device with this token, which was removed."""


def register(tenant: str, device: Device) -> Steps[Registered]:
    """Store a device, and take its token from the user who had it.

    The owner comes first: from then on the former owner is not rung by this token. It is set once more after the device
    is stored: a removal of the user's former device may have ended in between.
    """
    store = [
        _take_token(tenant, device, "anybody's"),
        _store_device(tenant, device),
        _take_token(tenant, device, "own"),
    ]
    owner, evicted, _ = yield store
    former, moved = owner.decode(), []
    if former not in ("", device.user_id):
        moved = yield from _take_from(tenant, device, former)
    yield from _release_tokens(tenant, device.user_id, evicted[::2])
    return Registered(former, tuple(decode(evicted[1::2])), tuple(moved))


def register_unless_newer(tenant: str, device: Device) -> Steps[Registered | None]:
    """Register a device, unless its token was registered later than that, by whichever user; then return None."""
    (owner,) = yield [("GET", owner_key(tenant, device.key))]
    if owner:
        (stored,) = yield [("HGET", devices_key(tenant, owner.decode()), device.key)]
        if any(known.registered_at > device.registered_at for known in decode([stored] if stored else [])):
            return None
    return (yield from register(tenant, device))


def adopt(tenant: str, device: Device) -> Steps[Registered]:
    """Store a device that Stream lists, unless its token is registered: what the app registered is newer."""
    (owner,) = yield [_take_token(tenant, device, "nobody's")]
    former = owner.decode()
    if former not in ("", device.user_id):
        return Registered(former)
    (evicted,) = yield [_store_device(tenant, device, new=True)]
    if evicted is None:
        return Registered(former)
    yield [_take_token(tenant, device, "own")]
    yield from _release_tokens(tenant, device.user_id, evicted[::2])
    return Registered(former, tuple(decode(evicted[1::2])))


def remove(tenant: str, device: Device) -> Steps[str]:
    """Remove a device, unless it was registered again meanwhile. Returns "done", "changed" or "gone"."""
    _, answer = yield [_leave_token(tenant, device.user_id, device.key, "begin"), _swap(tenant, device, "")]
    done: str = answer.decode()
    end = _leave_token(tenant, device.user_id, device.key, "end")
    yield [_take_token(tenant, device, "own") if done == "changed" else end]
    return done


def remove_moved(tenant: str, device: Device) -> Steps[None]:
    """Remove a device whose token has moved to another user: the process that moved it may have died too early."""
    (owner,) = yield [("GET", owner_key(tenant, device.key))]
    if owner and owner.decode() != device.user_id:
        yield [_swap(tenant, device, "")]


def replace(tenant: str, device: Device, by: Device) -> Command:
    """Replace a device `by` another with the same token, unless it was registered again meanwhile."""
    return _swap(tenant, device, by.model_dump_json())


def _take_from(tenant: str, device: Device, former: str) -> Steps[list[Device]]:
    """Remove the device that the former owner of this device's token had; returns it, if there was one.

    The device is read before the owner is checked, so what was read is older than this registration. If the former
    owner registers the device again after the check, it is another registration, and stays.
    """
    stored, owner = yield [("HGET", devices_key(tenant, former), device.key), _take_token(tenant, device, "own")]
    if owner.decode() != device.user_id:
        return []
    theirs = decode([stored] if stored else [])
    # An older version removes a device and its owner in one script: it may have removed this owner meanwhile.
    *answers, _ = yield [*(_swap(tenant, old, "") for old in theirs), _take_token(tenant, device, "own")]
    return [old for old, answer in zip(theirs, answers, strict=True) if answer == b"done"]


def _release_tokens(tenant: str, user_id: str, keys: Sequence[bytes]) -> Steps[None]:
    """Remove the owner of each of these tokens if the user has no device with it any more."""
    if not keys:
        return
    names = [key.decode() for key in keys]
    begins = [_leave_token(tenant, user_id, name, "begin") for name in names]
    answers = yield [*begins, *(("HEXISTS", devices_key(tenant, user_id), name) for name in names)]
    ends = zip(names, answers[len(names) :], strict=True)
    yield [_leave_token(tenant, user_id, name, "keep" if is_there else "end") for name, is_there in ends]


def _take_token(tenant: str, device: Device, whose: Literal["anybody's", "own", "nobody's"]) -> Command:
    """Make the device's user the owner of its token. `whose` says whose token may be taken; a free token always may."""
    return Command("registry/take_token", [owner_key(tenant, device.key)], [device.user_id, whose])


def take_own_token(tenant: str, user_id: str, device_key: str) -> Command:
    """Make a user the owner of a token, unless another user has it. The script returns the owner before."""
    return Command("registry/take_token", [owner_key(tenant, device_key)], [user_id, "own"])


def leave_token(tenant: str, user_id: str, device_key: str) -> Steps[None]:
    """Remove the owner of a token that has no device."""
    yield [_leave_token(tenant, user_id, device_key, "begin")]
    yield [_leave_token(tenant, user_id, device_key, "end")]


def _leave_token(tenant: str, user_id: str, device_key: str, step: Literal["begin", "end", "keep"]) -> Command:
    return Command("registry/leave_token", [owner_key(tenant, device_key)], [user_id, step, LEAVING_S])


def _store_device(tenant: str, device: Device, *, new: bool = False) -> Command:
    """Store the device. `new`: only if its user does not have it."""
    keys = [devices_key(tenant, device.user_id), phones_key(tenant, device.user_id)]
    args: list[Argument] = [device.key, device.model_dump_json(), MAX_DEVICES_PER_USER, "1" if new else ""]
    return Command("registry/store_device", keys, args)


def _swap(tenant: str, device: Device, by: str) -> Command:
    keys = [devices_key(tenant, device.user_id), phones_key(tenant, device.user_id)]
    return Command("registry/swap_device", keys, [device.key, str(device.registered_at), by])


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """The limits that set the brake: while it is set, no token of the app is removed."""

    window_s: int = 600
    brake_s: int = 3600
    """How long the brake stays set."""
    fewest_dying: int = 20
    most_dying_percent: int = 20
    """The brake is set if tokens of at least `fewest_dying` users died in the window, and these users are more than
    this share of the users and the accepted pushes together."""


def prune_token(tenant: str, device: Device, window: int, limits: BrakeLimits) -> Steps[str]:
    """Remove a token that its provider reported as dead. `window` is the number of the current window.

    Returns "removed"; "changed" if the device was registered again or removed meanwhile; "brake set" if this token set
    the brake; "braked" if the brake was set before.
    """
    app = (device.provider, device.app)
    keys = [brake_key(*app), *(token_window_key(what, *app, window) for what in ("dying", "answered", "dying-users"))]
    args: list[Argument] = [device.key, f"{tenant}:{device.user_id}", limits.window_s, limits.brake_s]
    (answer,) = yield [
        Command("registry/count_dying_token", keys, [*args, limits.fewest_dying, limits.most_dying_percent])
    ]
    if answer != b"go":
        return str(answer.decode())
    return "removed" if (yield from remove(tenant, device)) == "done" else "changed"


def claim_device_lookup(tenant: str, user_id: str, *, per_s: float, request_s: int, run: str) -> Steps[str]:
    """Claim the lookup of a user's devices at Stream for `request_s`, within a budget of `per_s` lookups in a second.

    The user is claimed first: only a lookup that will be made takes from the budget. Returns "go", also when the same
    `run` repeats it; "under_way" while another run has the claim; "lately" if the user was looked up a short while ago;
    "over" if the budget is spent: then the claim is given back.
    """
    keys = [lookup_key(tenant, user_id)]
    (answer,) = yield [Command("registry/claim_device_lookup", keys, [run, request_s])]
    if answer != b"go":
        return str(answer.decode())
    (left,) = yield [spend_budget(LOOKUP_BUDGET, per_s)]
    if left:
        return "go"
    yield [Command("registry/claim_device_lookup", keys, [run, 0])]
    return "over"


def hold_back(tenant: str, user_id: str, caller_id: str, started_at: Micros) -> Command:
    """Remember that quiet hours held back the ring that started then."""
    return Command(
        "registry/hold_back_ring", [held_back_key(tenant, user_id)], [caller_id, str(started_at), str(HELD_BACK_TTL_S)]
    )


def switch_mail(tenant: str, user_id: str, *, on: bool) -> Command:
    """Switch a user's missed-call e-mails on or off. Their other preferences stay as they are."""
    return Command("registry/switch_email", [user_key(tenant, user_id)], ["on" if on else "off"])


def stamp_user(tenant: str, user_id: str, times: Mapping[str, Micros]) -> Command:
    """Keep times that Stream gives for a user, by name; of each name the latest."""
    args = [part for name, at in times.items() for part in (name, str(at))]
    return Command("registry/stamp_user", [user_key(tenant, user_id)], args)


def read_stored(model: type[Model], stored: bytes | None) -> Model:
    """Read a stored contact or preferences; the defaults if there are none, or if they cannot be read.

    Fields of a newer version are ignored.
    """
    if stored is None:
        return model()
    try:
        return model.model_validate_json(stored, extra="ignore")
    except ValidationError:
        return model()


def decode(values: Iterable[bytes]) -> list[Device]:
    """Read stored devices, in the order of their registration.

    Fields of a newer version are ignored; a device that cannot be read is left out.
    """
    devices = []
    for value in values:
        try:
            devices.append(Device.model_validate_json(value, extra="ignore"))
        except ValidationError:
            continue
    return sorted(devices, key=lambda device: (device.registered_at, device.key))


async def read_users(
    store: Store, tenant: str, user_ids: Sequence[str], caller_id: str, *, unseen: bool = False
) -> RegisteredUsers:
    """Read several users, as a round of `caller_id` needs them, in one round trip for every USERS_AT_ONCE users.

    Users with quiet hours need a second one. `unseen`: count their missed calls that they have not seen, too. Raises
    as the store does.
    """
    read = RegisteredUsers({}, {}, {})
    for first in range(0, len(user_ids), USERS_AT_ONCE):
        users = await _read_part(store, tenant, user_ids[first : first + USERS_AT_ONCE], caller_id, unseen=unseen)
        read.devices.update(users.devices)
        read.users.update(users.users)
        read.unseen.update(users.unseen)
    return read


async def _read_part(
    store: Store, tenant: str, user_ids: Sequence[str], caller_id: str, *, unseen: bool
) -> RegisteredUsers:
    counts = [count_unseen(tenant, user_id) for user_id in user_ids] if unseen else []
    all_answers = await store.together(*_reads(tenant, user_ids), *counts, in_order=False)
    answers = all_answers[: 2 * len(user_ids)]
    devices: dict[str, list[Device]] = {}
    for number, user_id in enumerate(user_ids):
        if number and number % DECODED_AT_ONCE == 0:
            await asyncio.sleep(0)
        devices[user_id] = decode(answers[2 * number])
    users = {
        user_id: read_user(*fields) for user_id, fields in zip(user_ids, answers[1::2], strict=True) if any(fields)
    }
    quiet = [user_id for user_id, user in users.items() if user.preferences.quiet_hours]
    if quiet:
        held_back = await store.together(*(("HGET", held_back_key(tenant, user_id), caller_id) for user_id in quiet))
        for user_id, started_at in zip(quiet, held_back, strict=True):
            if started_at:
                users[user_id] = users[user_id]._replace(held_back_at=Micros(int(started_at)))
    return RegisteredUsers(devices, users, dict(zip(user_ids, all_answers[2 * len(user_ids) :], strict=False)))


def _reads(tenant: str, user_ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for user_id in user_ids:
        yield "HVALS", devices_key(tenant, user_id)
        yield read_user_fields(tenant, user_id)


def read_user_fields(tenant: str, user_id: str) -> tuple[str, ...]:
    """Return the command that reads a user; `read_user` reads its answer."""
    return (
        "HMGET",
        user_key(tenant, user_id),
        "contact",
        "preferences",
        "deactivated",
        "reactivated",
        disabled_phones.FIELD,
    )


def read_user(
    contact: bytes | None,
    preferences: bytes | None,
    deactivated: bytes | None,
    reactivated: bytes | None,
    disabled: bytes | None,
) -> User:
    """Read a user from the fields of `read_user_fields`."""
    is_deactivated = int(deactivated or 0) > int(reactivated or 0)
    return User(
        read_stored(Contact, contact),
        read_stored(Preferences, preferences),
        deactivated=is_deactivated,
        disabled_phones=disabled_phones.read_disabled(disabled),
    )
