"""When a user wants no push: muting, quiet hours in their time zone, and a second call that gets through."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import Skip, plan, suits
from bellhop.domain.push import PushKind
from bellhop.domain.round import FOREVER, Recipient
from bellhop.domain.user import (
    MAX_LISTED,
    NO_USER,
    SECOND_CALL_US,
    Contact,
    Preferences,
    QuietHours,
    User,
    push_refusal,
    refusal_facts,
)
from bellhop.store import registry
from bellhop.store.keys import devices_key, held_back_key, user_key
from bellhop.store.steps import run_steps
from tests.factories import a_device, a_round, an_iphone


def us(text):
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


def quiet(start, end, zone="Europe/Amsterdam", held_back_at=None, **more):
    hours = QuietHours.model_validate({"from": start, "to": end, **more})
    return User(Contact(time_zone=zone), Preferences(quiet_hours=hours), held_back_at)


@pytest.mark.parametrize(
    ("at", "objects"),
    [
        ("2026-06-01T21:59:59+02:00", None),
        ("2026-06-01T22:00:00+02:00", Outcome.QUIET_HOURS),
        ("2026-06-02T03:00:00+02:00", Outcome.QUIET_HOURS),
        ("2026-06-02T06:59:59+02:00", Outcome.QUIET_HOURS),
        ("2026-06-02T07:00:00+02:00", None),
    ],
)
def test_quiet_hours_go_over_midnight(at, objects):
    assert push_refusal(quiet("22:00", "07:00"), us(at)) is objects


@pytest.mark.parametrize(
    ("clock", "objects"),
    [("11:59:59", None), ("12:00:00", Outcome.QUIET_HOURS), ("13:29:59", Outcome.QUIET_HOURS), ("13:30:00", None)],
)
def test_quiet_hours_may_lie_within_a_day(clock, objects):
    assert push_refusal(quiet("12:00", "13:30"), us(f"2026-06-01T{clock}+02:00")) is objects


@pytest.mark.parametrize(
    ("zone", "objects"),
    [("Asia/Tokyo", Outcome.QUIET_HOURS), ("America/New_York", None), (None, None), ("Asia/Kathmandu", None)],
)
def test_quiet_hours_are_in_the_users_time_zone_or_in_utc(zone, objects):
    assert push_refusal(quiet("23:00", "00:00", zone), us("2026-06-01T14:30:00+00:00")) is objects


@pytest.mark.parametrize(
    ("at", "objects"),
    [
        ("2026-03-29T00:59:00+00:00", Outcome.QUIET_HOURS),  # 01:59, a minute before the clock jumps to 03:00
        ("2026-03-29T01:00:00+00:00", None),
        ("2026-10-25T00:30:00+00:00", Outcome.QUIET_HOURS),  # 02:30 for the first time
        ("2026-10-25T01:30:00+00:00", Outcome.QUIET_HOURS),  # and for the second
    ],
)
def test_quiet_hours_follow_the_wall_clock_when_it_is_changed(at, objects):
    assert push_refusal(quiet("01:30", "03:00"), us(at)) is objects


moments = st.integers(10**15, 2 * 10**15).map(lambda at: datetime.fromtimestamp(at / 1e6, UTC))
clocks = st.times().map(lambda time: time.strftime("%H:%M"))


@given(moments, clocks, clocks, st.sampled_from(["UTC", "Europe/Amsterdam", "Asia/Kolkata", "Pacific/Apia"]))
def test_a_moment_is_in_quiet_hours_or_in_the_opposite_ones(moment, start, end, zone):
    at = int(moment.timestamp() * 1e6)
    if start == end:
        assert push_refusal(quiet(start, end, zone), at) is Outcome.QUIET_HOURS, "they never end"
    else:
        inside, outside = (push_refusal(quiet(*hours, zone), at) for hours in ((start, end), (end, start)))
        assert {inside, outside} == {None, Outcome.QUIET_HOURS}


NIGHT = us("2026-06-02T03:00:00+02:00")


@pytest.mark.parametrize(
    ("since_us", "objects"),
    [
        (0, Outcome.QUIET_HOURS),  # the very ring that was held back, in a job that runs twice
        (1, None),
        (SECOND_CALL_US, None),
        (SECOND_CALL_US + 1, Outcome.QUIET_HOURS),
        (-1, Outcome.QUIET_HOURS),  # an older ring that came late
    ],
)
def test_a_second_call_within_three_minutes_gets_through(since_us, objects):
    assert push_refusal(quiet("22:00", "07:00", held_back_at=NIGHT - since_us), NIGHT) is objects


def test_a_user_may_hold_back_second_calls_too():
    person = quiet("22:00", "07:00", held_back_at=NIGHT - 1_000_000, let_second_call_through=False)
    assert push_refusal(person, NIGHT) is Outcome.QUIET_HOURS


@pytest.mark.parametrize(("seconds", "objects"), [(-1, Outcome.MUTED), (0, None), (1, None)])
def test_muting_ends_at_its_time(seconds, objects):
    until = datetime(2026, 6, 2, 3, tzinfo=ZoneInfo("Europe/Amsterdam"))
    person = User(preferences=Preferences(mute_until=until))
    assert push_refusal(person, NIGHT + seconds * 1_000_000) is objects


def test_muting_lets_no_second_call_through():
    person = quiet("22:00", "07:00", held_back_at=NIGHT - 1_000_000)
    muted = person.preferences.model_copy(update={"mute_until": datetime.fromtimestamp(NIGHT / 1e6 + 60, UTC)})
    assert push_refusal(person._replace(preferences=muted), NIGHT) is Outcome.MUTED


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_absurd_years_cause_no_error(year):
    for offset in (-14, 0, 14):
        moment = f"{year:04}-01-01T00:00:00{offset:+03}:00"
        preferences = Preferences.model_validate_json(f'{{"mute_until": "{moment}"}}')
        assert preferences.muted(NIGHT) is (year == 9999)


@pytest.mark.parametrize(
    "email",
    [
        "jane",
        "jane@",
        "@x",
        "a b@x.org",
        "a@x.org\nBcc: b@x.org",
        "a@x.org,b@x.org",
        "<a@x.org>",
        "a@x..org",
        "a@-x.org",
    ],
)
def test_an_ambiguous_or_invalid_address_is_refused(email):
    with pytest.raises(ValidationError):
        Contact(email=email)


@pytest.mark.parametrize("zone", ["Mars/Phobos", "../etc/passwd", "", "europe/amsterdam", "+02:00", "/etc/localtime"])
def test_a_time_zone_is_one_of_the_iana_names(zone):
    with pytest.raises(ValidationError):
        Contact(time_zone=zone)


PHONES = {user: [a_device(user, registered_at=1)] for user in ("jane", "ben")}


@pytest.mark.parametrize("kind", [kind for kind in PushKind if suits(kind, a_device())])
def test_a_plan_skips_only_the_muted_user(kind):
    planned = plan(kind, a_round("jane", "ben", started_at=NIGHT), PHONES, NIGHT, {"jane": quiet("22:00", "07:00")})
    assert planned.skips == [Skip("jane", Outcome.QUIET_HOURS, facts="22:00-07:00 Europe/Amsterdam")]
    assert [push.device.user_id for push in planned.pushes] == ["ben"]


async def keep(store, user, **fields):
    for field, value in fields.items():
        text = value if isinstance(value, str) else value.model_dump_json(by_alias=True)
        await store.call("HSET", user_key("default", user), field, text)


async def test_the_registry_returns_only_the_users_asked_for(store):
    night = quiet("22:00", "07:00")
    await keep(store, "jane", contact=night.contact, preferences=night.preferences)
    await run_steps(registry.register("default", PHONES["ben"][0]), store)
    people = await registry.read_users(store, "default", ["jane", "ben", "nobody"], "sara")
    assert people.devices == {"jane": [], "ben": PHONES["ben"], "nobody": []}
    assert people.users == {"jane": night}
    assert (await registry.read_users(store, "other", ["jane"], "sara")).users == {}


async def test_the_latest_ring_held_back_is_kept_for_each_caller(store):
    await keep(store, "jane", preferences=quiet("22:00", "07:00").preferences)
    for at in (NIGHT, NIGHT - 5):
        await store.script(*registry.hold_back("default", "jane", "sara", at))
    found = {
        caller: (await registry.read_users(store, "default", ["jane"], caller)).users["jane"].held_back_at
        for caller in ("sara", "ben")
    }
    assert found == {"sara": NIGHT, "ben": None}
    assert 0 < await store.call("TTL", held_back_key("default", "jane")) <= registry.HELD_BACK_TTL_S


async def test_a_ring_held_back_is_read_for_its_own_user(store):
    for user in ("jane", "ben", "eva"):
        await store.script(*registry.hold_back("default", user, "sara", NIGHT))
    await keep(store, "jane", contact=Contact(language="nl"))
    await keep(store, "eva", preferences=quiet("22:00", "07:00").preferences)
    people = await registry.read_users(store, "default", ["jane", "ben", "eva"], "sara")
    assert {user: person.held_back_at for user, person in people.users.items()} == {"jane": None, "eva": NIGHT}


async def test_what_a_newer_version_stored_is_read_as_far_as_it_can_be(store):
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await keep(store, "jane", preferences=f'{{"mute_until": "{until}", "moods": ["grumpy"]}}', contact="[]")
    person = (await registry.read_users(store, "default", ["jane"], "sara")).users["jane"]
    assert person.preferences.mute_until == datetime.fromisoformat(until)
    assert person.contact == Contact()


@pytest.mark.parametrize(
    "email", ["a..b@example.com", "a.@example.com", "Ben@Example.COM", "ben@mailhost", "ben@10.0.0.5", "a@ab--c.com"]
)
def test_a_stored_address_stays_readable(email):
    stored = f'{{"email": "{email}", "language": "nl", "time_zone": "Europe/Amsterdam"}}'.encode()
    assert registry.read_stored(Contact, stored).email == email


async def test_a_phone_that_a_newer_version_registered_still_rings(store):
    device = PHONES["ben"][0]
    stored = json.dumps(json.loads(device.model_dump_json()) | {"carrier": "none"})
    await store.call("HSET", devices_key("default", "ben"), device.key, stored, "unreadable", "[]")
    assert (await registry.read_users(store, "default", ["ben"], "sara")).devices == {"ben": [device]}


async def test_a_token_of_apples_is_one_device_in_capitals_too(store):
    for token in ("ab" * 32, "AB" * 32):
        device = an_iphone(token=token)
        await run_steps(registry.register("default", device), store)
    people = await registry.read_users(store, "default", ["ben"], "sara")
    assert [device.token for device in people.devices["ben"]] == ["ab" * 32]


async def test_a_thousand_users_are_read_in_order(store):
    users = [f"user-{n}" for n in range(1000)]
    device = PHONES["ben"][0]
    phones = [device.model_copy(update={"user_id": user, "token": user}) for user in users]
    await asyncio.gather(*(run_steps(registry.register("default", phone), store) for phone in phones[:16]))
    people = await registry.read_users(store, "default", users, "sara")
    assert list(people.devices) == users
    assert [user for user in users if people.devices[user]] == users[:16]


async def test_a_device_is_adopted_only_while_nobody_has_its_token(store):
    mine, theirs = PHONES["jane"][0], PHONES["jane"][0].model_copy(update={"user_id": "ben"})
    await run_steps(registry.adopt("default", mine), store)
    await run_steps(registry.adopt("default", theirs), store)
    await run_steps(registry.adopt("default", mine.model_copy(update={"registered_at": 9})), store)
    people = await registry.read_users(store, "default", ["jane", "ben"], "")
    assert people.devices == {"jane": [mine], "ben": []}


SATURDAY, SUNDAY, MONDAY = "2026-06-06T", "2026-06-07T", "2026-06-08T"


@pytest.mark.parametrize(
    ("at", "objects"),
    [
        (f"{SATURDAY}06:00:00+02:00", None),
        (f"{SATURDAY}22:00:00+02:00", Outcome.QUIET_HOURS),
        (f"{SUNDAY}06:59:00+02:00", Outcome.QUIET_HOURS),
        (f"{SUNDAY}22:00:00+02:00", None),
        (f"{MONDAY}06:00:00+02:00", None),
    ],
)
def test_quiet_hours_belong_to_the_day_on_which_they_begin(at, objects):
    assert push_refusal(quiet("22:00", "07:00", days=("sat",)), us(at)) is objects


def test_quiet_hours_need_days_that_exist():
    for days in (("saturday",), ("mon",) * 8):
        with pytest.raises(ValidationError):
            quiet("22:00", "07:00", days=days)


def refusal(preferences=NO_USER.preferences, *, caller_id="ann", **of_the_event):
    user = User(preferences=preferences).for_call(Recipient(id="ben", **of_the_event), caller_id)
    reason = push_refusal(user, NIGHT)
    return reason, refusal_facts(user, reason) if reason else ""


LATER = datetime.fromtimestamp(NIGHT / 1e6 + 3600, UTC)
MUTED = Preferences(mute_until=LATER)


@pytest.mark.parametrize(
    ("until", "reason"),
    [(0, None), (NIGHT, None), (NIGHT + 1, Outcome.MUTED), (FOREVER, Outcome.MUTED)],
)
def test_a_mute_at_stream_counts_until_it_ends(until, reason):
    assert refusal(muted_until=until)[0] is reason


def test_the_trail_says_that_the_mute_was_set_at_stream():
    assert refusal(muted_until=FOREVER)[1] == "at Stream"
    assert refusal(muted_until=us("2027-01-01T00:00:00+00:00"))[1] == "2027-01-01T00:00:00+00:00 at Stream"
    assert refusal(MUTED)[1] == LATER.isoformat()


def test_calls_by_a_listed_caller_always_get_through():
    hours = QuietHours.model_validate({"from": "00:00", "to": "00:00"})
    for preferences in (MUTED, Preferences(quiet_hours=hours)):
        listed = preferences.model_copy(update={"always_from": ("ann",)})
        assert refusal(preferences)[0] is not None
        assert refusal(listed)[0] is None
        assert refusal(listed, caller_id="eve")[0] is not None


def test_a_mute_at_stream_counts_for_every_caller():
    assert refusal(Preferences(always_from=("ann",)), muted_until=FOREVER)[0] is Outcome.MUTED


def test_a_blocked_caller_never_gets_through():
    blocks = Preferences(never_from=("ann",), always_from=("ann",))
    assert refusal(blocks)[0] is Outcome.CALLER_BLOCKED
    assert refusal(blocks, caller_id="eve")[0] is None
    assert refusal(blocks_caller=True)[0] is Outcome.CALLER_BLOCKED


def test_a_list_of_callers_is_bounded():
    with pytest.raises(ValidationError):
        Preferences(always_from=tuple(f"user-{number}" for number in range(MAX_LISTED + 1)))


def test_who_blocks_or_mutes_at_stream_is_skipped_in_the_plan():
    people = (Recipient(id="ben", muted_until=FOREVER), Recipient(id="eve", blocks_caller=True), Recipient(id="kim"))
    round_ = a_round(recipients=people)
    devices = {person.id: [an_iphone(person.id)] for person in people}

    planned = plan(PushKind.RING, round_, devices, round_.started_at)

    assert [push.device.user_id for push in planned.pushes] == ["kim"]
    assert [skip[:2] for skip in planned.skips] == [("ben", Outcome.MUTED), ("eve", Outcome.CALLER_BLOCKED)]
