"""Google says that a phone's token belongs to another Firebase project. Pure.

Google gives this answer for each token if the service account is of another project than the app.
"""

from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import EVERY_ANDROID_PHONE, OTHER_PROJECT, PERHAPS_EVERY_ANDROID_PHONE
from bellhop.trail import EmailMilestone, PushMilestone


def sentence_on_project(push: PushMilestone | EmailMilestone) -> str:
    """Return the clause that names the project of the service account; empty if the push is not about that."""
    return OTHER_PROJECT if _is_of_other_project(push) else ""


def advice_on_project(round_log: RoundLog, push: PushMilestone | EmailMilestone) -> str:
    """Return what to do: it depends on whether all Android phones of the call got this answer."""
    if not _is_of_other_project(push):
        return ""
    return EVERY_ANDROID_PHONE if round_log.all_of_other_project else PERHAPS_EVERY_ANDROID_PHONE


def _is_of_other_project(push: PushMilestone | EmailMilestone) -> bool:
    return isinstance(push, PushMilestone) and (push.provider, push.outcome) == (Provider.FCM, Outcome.WRONG_APP)
