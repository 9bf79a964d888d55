"""Why did the phone not ring? A call's trail as sentences, with the result for each user first. Pure.

Milestones may come in any order, and some may be missing, repeated or of a newer version.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any, NamedTuple

import msgspec

from bellhop.clock import Micros, iso
from bellhop.domain import round_of_test
from bellhop.domain.call import Standing
from bellhop.domain.outcomes import MEANING, Outcome, Tone, credentials_are_refused
from bellhop.domain.push import PushKind
from bellhop.explain.rounds import RoundLog, sorted_into_rounds
from bellhop.explain.sentences import (
    LATE_WEBHOOK,
    LATE_WORKER,
    LEFT_OUT,
    MAX_NAMED,
    NEVER_ASKED,
    NEVER_RUNG,
    NO_TRAIL,
    NOT_A_MEMBER,
    NOT_STARTED,
    NOT_TAKEN,
    OUTDATED,
    PUT_OFF,
    RINGS_ONLY,
    WORD_OF_EVENT,
    duration,
    listed,
    named,
)
from bellhop.explain.timeline import SENTENCES, TimelineEntry, fill, timeline_entry
from bellhop.explain.verdict import KNEW_OF_CALL, UserVerdict, user_verdict
from bellhop.explain.webhooks import arrival_of, stamp_of
from bellhop.explain.whole_trail import NOTHING_TODAY, UNKNOWN_TIME
from bellhop.trail import JobPickedUp, Milestone, PushMilestone, PushWaited, WebhookPutOff

VERSION = 1
"""The version of the JSON form. A new field does not need a new version."""
LEAST_ROUNDS = 2
"""How many rounds are always explained: the last one, and the events outside any round, which count as a round."""
LATE_WEBHOOK_US, LATE_WORKER_US = 5_000_000, 2_000_000


@dataclass(slots=True)
class RoundExplanation:
    """One ringing of the call, one notification about it, or the events outside any ring. Nothing changes it (see
    `TimelineEntry`)."""

    started_at: Micros
    """Stream's stamp (unix µs); 0 for events that belong to no round."""
    kind: str
    """ring, notification, missed (known from its call.missed alone), test (a test ring), or empty."""
    caller: str
    caller_name: str
    """Empty if Stream's event gave no name, as for all names of users."""
    until: Micros
    """When (unix µs) the phones stop ringing; 0 if not known."""
    headline: str
    people: tuple[UserVerdict, ...]
    timeline: tuple[TimelineEntry, ...]
    next: tuple[str, ...]
    """Advice that is not about a single user."""
    started_time: str
    """`started_at` as an RFC 3339 time, in UTC; empty if it is not known."""
    until_time: str
    """`until` in the same form."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one call, or of one user's part in it."""

    v: int
    cid: str
    user: str
    """If not empty, the explanation is only about this user."""
    found: bool
    """Whether there is a trail, and the user is on it."""
    summary: str
    rounds: tuple[RoundExplanation, ...]
    next: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation as plain objects, for machines."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class LatestRounds(NamedTuple):
    """The explanation of a call's latest rounds."""

    explanation: Explanation
    left_out: int
    """How many earlier rounds are not explained."""


def explain(
    cid: str,
    trail: Iterable[Milestone],
    user: str = "",
    now: Micros = UNKNOWN_TIME,
    told: tuple[str, ...] = (),
    today: Mapping[str, str] = NOTHING_TODAY,
) -> Explanation:
    """Explain the call that this trail belongs to; with `user`, only what is about that user.

    `now` is the time by Redis's clock when the trail was read. `told` are the types of events that are not on it, since
    Bellhop did nothing for them. `today` has a sentence for users who had no device, by their ids, and for silent
    phones, by the key of the device.
    """
    return explain_latest(cid, trail, sys.maxsize, user, now, told, today).explanation


def explain_latest(
    cid: str,
    trail: Iterable[Milestone],
    most_lines: int,
    user: str = "",
    now: Micros = UNKNOWN_TIME,
    told: tuple[str, ...] = (),
    today: Mapping[str, str] = NOTHING_TODAY,
) -> LatestRounds:
    """Explain the latest rounds of a call: those within `most_lines` of its trail, and the last round in any case.

    Each user of a round counts as one more line.
    """
    round_logs = sorted_into_rounds(trail, now, told, today)
    if not round_logs and told:
        return LatestRounds(Explanation(VERSION, cid, user, False, _never_rung(told), (), NEVER_RUNG), 0)
    if not round_logs:
        unknown = f"Bellhop has no record of the call {cid}."
        return LatestRounds(Explanation(VERSION, cid, user, False, unknown, (), NO_TRAIL), 0)
    latest = _latest(round_logs, most_lines, user)
    left_out = len(round_logs) - len(latest)
    rounds = tuple(_explain_round(round_log, user) for round_log in latest)
    if summary := _not_taken(round_logs):
        advice = _advice_on_not_taken(round_logs[0])
        return LatestRounds(Explanation(VERSION, cid, user, not user, summary, rounds, advice), left_out)
    if types := _types_if_never_rung(round_logs, told):
        return LatestRounds(Explanation(VERSION, cid, user, not user, _never_rung(types), rounds, NEVER_RUNG), left_out)
    if user and not any(round_.people for round_ in rounds):
        summary, advice = _not_called(round_logs, user)
        return LatestRounds(Explanation(VERSION, cid, user, False, summary, rounds, advice), left_out)
    summary = _summary(rounds, user, _times_called(round_logs, user)) + _not_explained(left_out)
    return LatestRounds(Explanation(VERSION, cid, user, True, summary, rounds, ()), left_out)


def explain_for(
    cid: str,
    trail: Sequence[Milestone],
    most_lines: int,
    user: str,
    now: Micros = UNKNOWN_TIME,
    told: tuple[str, ...] = (),
    today: Mapping[str, str] = NOTHING_TODAY,
) -> LatestRounds:
    """Explain the latest rounds for this user; for all users if `user` is empty or was not called, as the caller."""
    latest = explain_latest(cid, trail, most_lines, user, now, told, today)
    if user and not latest.explanation.found:
        return explain_latest(cid, trail, most_lines, "", now, told, today)
    return latest


def _types_if_never_rung(round_logs: Sequence[RoundLog], told: tuple[str, ...]) -> tuple[str, ...]:
    """Return the types of the events of a call if none of them began a round or is about one; otherwise none."""
    if any(log.started_at or log.users for log in round_logs):
        return ()
    return (*told, *dict.fromkeys(event.type for log in round_logs for event in log.webhooks.received))


def _not_taken(round_logs: Sequence[RoundLog]) -> str:
    """Say that Bellhop took no webhook that asks to call people, and that it got one; otherwise empty."""
    webhook = round_logs[0].trail.not_taken
    if webhook is None or any(log.users for log in round_logs):
        return ""
    return NOT_TAKEN.format(webhook=SENTENCES[type(webhook)](round_logs[0], webhook), type=webhook.type)


def _advice_on_not_taken(round_log: RoundLog) -> tuple[str, ...]:
    webhook = round_log.trail.not_taken
    if webhook is None:
        return ()
    return (PUT_OFF if isinstance(webhook, WebhookPutOff) else OUTDATED,)


def _never_rung(types: Iterable[str]) -> str:
    words = [WORD_OF_EVENT.get(type_, type_) for type_ in types]
    return NEVER_ASKED.format(events=", ".join(dict.fromkeys(words)))


def explain_end(
    cid: str, trail: Iterable[Milestone], most_lines: int, now: Micros = UNKNOWN_TIME, user: str = ""
) -> Explanation:
    """Explain the rounds that began in the last lines of a trail: the latest within `most_lines`, and at least one.

    A round that began before them is left out, since lines of it are missing. With `user`, explain only what is about
    that user.
    """
    begun = [log for log in sorted_into_rounds(trail, now) if log.started_at and log.openings]
    rounds = tuple(_explain_round(round_log, user) for round_log in _within(begun, most_lines, least=1))
    return Explanation(VERSION, cid, user, not user or any(round_.people for round_ in rounds), "", rounds, ())


def _latest(round_logs: Sequence[RoundLog], most_lines: int, user: str) -> Sequence[RoundLog]:
    """Choose the latest rounds; if not all can be chosen, only from those with the user.

    The events outside any round count as a round.
    """
    chosen = _within(round_logs, most_lines)
    if not user or len(chosen) == len(round_logs):
        return chosen
    return _within([log for log in round_logs if user in log.users] or round_logs, most_lines)


def _within(round_logs: Sequence[RoundLog], most_lines: int, least: int = LEAST_ROUNDS) -> Sequence[RoundLog]:
    lines = accumulate(len(log.milestones) + len(log.users) for log in reversed(round_logs))
    count = sum(1 for _ in takewhile(lambda total: total <= most_lines, lines))
    return round_logs[-max(count, least) :]


def _not_explained(left_out: int) -> str:
    return f" The {left_out} earlier rounds are not explained here." if left_out else ""


def _times_called(round_logs: Sequence[RoundLog], user: str) -> int:
    if user:
        return len([log for log in round_logs if user in log.users])
    with_users = [log for log in round_logs if log.users]
    return len([log for log in with_users if log.started_at]) or len(with_users)


def _not_called(round_logs: Sequence[RoundLog], user: str) -> tuple[str, tuple[str, ...]]:
    called = list(dict.fromkeys(name for round_log in round_logs for name in round_log.users))
    summary = f"{user} was not called. This call was for {listed(called) or 'nobody'}."
    left_out = max(_left_out(round_log) for round_log in round_logs)
    return summary, (NOT_A_MEMBER, LEFT_OUT.format(left_out=left_out)) if left_out else (NOT_A_MEMBER,)


def _left_out(round_log: RoundLog) -> int:
    return max((event.left_out or 0 for event in round_log.webhooks.received), default=0)


def _summary(rounds: Sequence[RoundExplanation], user: str, times: int) -> str:
    verdicts = [verdict for round_ in rounds for verdict in round_.people]
    if not verdicts:
        return "Nobody was called."
    if user:
        last = verdicts[-1].verdict
        return last if times == 1 else f"Called {times} times. The last time: {last}"
    with_users = [round_ for round_ in rounds if round_.people]
    called = [round_ for round_ in with_users if round_.started_at] or with_users
    wrong = list(dict.fromkeys(verdict.user for verdict in verdicts if verdict.tone is Tone.BAD))
    return _reached(called[-1].people, times) + (f" Something went wrong for {listed(wrong)}." if wrong else "")


def _reached(people: Sequence[UserVerdict], times: int) -> str:
    reached = len([verdict for verdict in people if verdict.reached])
    result = f"Bellhop reached {reached} of {len(people)} {'person' if len(people) == 1 else 'people'}."
    if knew := [verdict.user for verdict in people if not verdict.reached and verdict.standing in KNEW_OF_CALL]:
        result += f" No push was needed for {listed(knew)}."
    return f"Called {times} times. The last time, {result}" if times > 1 else result


def _explain_round(round_log: RoundLog, user: str) -> RoundExplanation:
    shown = [line for line in round_log.milestones if not user or round_log.user_of(line) in ("", user)]
    return RoundExplanation(
        started_at=round_log.started_at,
        kind=round_of_test.KIND if round_log.is_test else round_log.kind or "",
        caller=(caller := next(iter(round_log.callers), "")),
        caller_name=round_log.trail.names.get(caller, ""),
        until=round_log.until,
        headline=_headline(round_log),
        people=tuple(user_verdict(round_log, name) for name in round_log.users if user in ("", name)),
        timeline=tuple(timeline_entry(round_log, milestone) for milestone in shown),
        next=_advice_for_all(round_log),
        started_time=iso(round_log.started_at) if round_log.started_at else "",
        until_time=iso(round_log.until) if round_log.until else "",
    )


def _headline(round_log: RoundLog) -> str:
    if not round_log.started_at:
        return "Events outside any ring"
    names = round_log.trail.names
    users = [named(user, names.get(user, "")) for user in round_log.users[: MAX_NAMED + 1]]
    who = listed(users, round_log.unnamed + len(round_log.users) - len(users)) or "nobody"
    caller = next((named(user, names.get(user, "")) for user in round_log.callers), "Somebody")
    text = TEST if round_log.is_test else _HEADLINES[round_log.kind]
    if round_log.kind is PushKind.MISSED and round_log.trail.not_taken:
        text = MISSED_NOT_TAKEN
    return f"{text.format(caller=caller, who=who)}, at {utc(round_log.started_at)}."


TEST = "A test rang the phones of {who}"
MISSED_NOT_TAKEN = "{who} missed a call that Bellhop did not ring, since it did not take the webhook about the ring"
_HEADLINES = {
    PushKind.RING: "{caller} called {who}",
    PushKind.NOTIFICATION: "{caller} notified {who} of the call",
    PushKind.MISSED: "{who} missed a call that Stream had not asked Bellhop to ring",
    PushKind.LIVE_STARTED: "{caller}'s call went live; notified: {who}",
    PushKind.SESSION_STARTED: "{caller}'s call began; notified: {who}",
    None: "Events of the call",
}


def utc(at: Micros) -> str:
    """A time (unix µs) for people: date, time to the millisecond, UTC."""
    date, time = iso(at).split("T")
    return f"{date} {time[:-4]} UTC"


def _advice_for_all(round_log: RoundLog) -> tuple[str, ...]:
    pushes = [line for line in round_log.milestones if isinstance(line, PushMilestone) and line.kind == round_log.kind]
    reached = {push.user for push in pushes if push.outcome == Outcome.ACCEPTED}
    is_untold = round_log.is_untold and any(round_log.latest_standing(user) == Standing.NO_ANSWER for user in reached)
    untold = (RINGS_ONLY,) if is_untold else ()
    of_reached = [push for push in pushes if push.user in reached]
    not_taken = _advice_on_not_taken(round_log) if round_log.kind is PushKind.MISSED else ()
    return _advice_on_delays(round_log) + _advice_on_credentials(round_log, of_reached) + untold + not_taken


def _advice_on_credentials(round_log: RoundLog, pushes: Sequence[PushMilestone]) -> tuple[str, ...]:
    """Say what to do if credentials were refused for a phone of somebody whose other phone was reached.

    To somebody who was not reached at all, the same advice is given.
    """
    refused = [push for push in pushes if credentials_are_refused(push.outcome, push.reason)]
    advice = MEANING[Outcome.CREDENTIALS_REFUSED].advice
    return tuple(dict.fromkeys(fill(advice, round_log, push) for push in refused))


def _advice_on_delays(round_log: RoundLog) -> tuple[str, ...]:
    if not round_log.openings or round_log.kind is not PushKind.RING:
        return ()
    opening = round_log.openings[0]
    webhook_delay = Micros(arrival_of(opening) - stamp_of(opening))
    late = [LATE_WEBHOOK.format(time=duration(webhook_delay))] if webhook_delay > LATE_WEBHOOK_US else []
    if any(isinstance(line, PushWaited) and line.outcome == Outcome.REDIS_AWAY for line in round_log.milestones):
        late.append(MEANING[Outcome.REDIS_AWAY].advice)
    work = next((line for line in round_log.milestones if isinstance(line, (JobPickedUp, PushMilestone))), None)
    if work is None:
        return (*late, NOT_STARTED)
    worker_delay = Micros(work.at - opening.at)
    if isinstance(work, JobPickedUp) and worker_delay > LATE_WORKER_US:
        return (*late, LATE_WORKER.format(time=duration(worker_delay)))
    return tuple(late)
