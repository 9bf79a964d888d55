"""Sentences about what phones reported, and about what Bellhop told Stream of it. Pure."""

from collections.abc import Mapping

from bellhop.clock import Micros
from bellhop.domain.call import Standing
from bellhop.domain.phone_report import PhoneEvent, why_not_shown
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import duration, listed
from bellhop.trail import CarryOutcome, PhoneReported, RejectionCarried

REPORTS: Mapping[str, str] = {
    PhoneEvent.RANG: "that it rang",
    PhoneEvent.DECLINED: "that {user} declined on the phone",
    PhoneEvent.BUSY: "that {user} had another call",
    PhoneEvent.ANSWERED_ELSEWHERE: "that {user} answered on another device",
    PhoneEvent.DISMISSED: "that {user} removed the notification",
    PhoneEvent.NOT_SHOWN: "that it did not show the call{why}",
}
"""What a phone reports, to put after "it reported"."""
UNKNOWN_REPORT = "{event}, which this version of Bellhop does not know"
WITHOUT_USER = ". This ended nothing: it is not known for whom a worker of an older version rang the phone"
AFTER_THE_RING = ". This ended nothing: the ring's time was over"
REJECTED: Mapping[str, str] = {"busy": "{user} had another call"}
CARRIED: Mapping[str, str] = {
    CarryOutcome.TOLD: "Bellhop told Stream that {what}{times}.",
    CarryOutcome.OVER: "Bellhop did not tell Stream that {what}: {why}.",
    CarryOutcome.REFUSED: "Stream does not take from Bellhop that {what} ({reason}). The caller's phone may ring on.",
    CarryOutcome.TOO_LATE: "Stream did not take from Bellhop that {what} before the ring was over{brackets}.",
    CarryOutcome.AGAIN: "A worker stopped when it had perhaps told Stream that {what}. Bellhop tells Stream again.",
}
"""The result of telling Stream that a user rejected a ring on a phone."""
OVER_BECAUSE: Mapping[str, str] = {
    Standing.ANSWERED: "{user} had answered on another device",
    "rung_again": "the call rang {user} again",
}
OVER = "the ring was over for {user}"


def report_sentence(round_log: RoundLog, report: PhoneReported, name: str) -> str:
    """Describe a report of the phone with this name."""
    ends_nothing = ""
    if report.outcome in (PhoneEvent.DECLINED, PhoneEvent.BUSY) and report.stamp is None:
        late = round_log.until and round_log.us_since_start(report) >= round_log.until - round_log.started_at
        ends_nothing = AFTER_THE_RING if late else WITHOUT_USER
    return f"{name} reports {_report(round_log, report)}{ends_nothing}."


def reports_of(round_log: RoundLog, device: str) -> str:
    """Put what a phone reported after the sentence about its push; empty if it reported nothing."""
    rang = [REPORTS[PhoneEvent.RANG]] if device in round_log.rang else []
    reports = [_report(round_log, report) for report in round_log.reports.get(device, ())]
    return f", and it reported {listed([*rang, *reports])}" if rang or reports else ""


def was_shown(round_log: RoundLog, device: str) -> bool:
    """Return False if a phone reported that it could not show the call, and did not report that it rang."""
    reports = round_log.reports.get(device, ())
    return device in round_log.rang or all(report.outcome != PhoneEvent.NOT_SHOWN for report in reports)


def says_it_rang(round_log: RoundLog, device: str) -> bool:
    """Return whether a phone reported anything except that it could not show the call."""
    reports = round_log.reports.get(device, ())
    return device in round_log.rang or any(report.outcome != PhoneEvent.NOT_SHOWN for report in reports)


def carried_sentence(round_log: RoundLog, carried: RejectionCarried) -> str:
    """Describe the result of telling Stream that a user rejected a ring."""
    user = carried.user
    reports = [report for report in round_log.of(user, PhoneReported) if report.outcome in REJECTED]
    what = (REJECTED[reports[0].outcome] if reports else "{user} declined").format(user=user)
    took = f", after {duration(Micros(round(carried.ms * 1000)))}" if carried.ms else ""
    times = f", with request {carried.times}" if carried.times else ""
    text = CARRIED.get(carried.outcome, "Bellhop has news for Stream: {what}.")
    why = OVER_BECAUSE.get(carried.reason, OVER).format(user=user)
    brackets = f" ({carried.reason})" if carried.reason else ""
    return text.format(what=what, why=why, reason=carried.reason, brackets=brackets, times=times + took)


def _report(round_log: RoundLog, report: PhoneReported) -> str:
    user = round_log.user_of(report) or "its user"
    why = why_not_shown(report.reason)
    text = REPORTS.get(report.outcome, UNKNOWN_REPORT)
    return text.format(user=user, why=f": {why}" if why else "", event=report.outcome.replace("_", " "))
