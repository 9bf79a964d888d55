"""A push belongs to another app than our credentials (WRONG_APP), in the words of its provider. Pure.

Google gives this answer for each token if the service account is of another project than the app. A push service gives
it if the browser subscribed with another public key than ours.
"""

from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.explain.rounds import RoundLog
from bellhop.explain.sentences import (
    EVERY_ANDROID_PHONE,
    OTHER_KEY,
    OTHER_PROJECT,
    PERHAPS_EVERY_ANDROID_PHONE,
    SUBSCRIBE_AGAIN,
)
from bellhop.trail import EmailMilestone, PushMilestone

SENTENCES: dict[str, str] = {Provider.FCM: OTHER_PROJECT, Provider.WEB_PUSH: OTHER_KEY}


def sentence_on_other_app(push: PushMilestone | EmailMilestone) -> str:
    """Return the clause that says what differs; empty if the push is not about that, or is Apple's."""
    return SENTENCES.get(_provider_of_other_app(push), "")


def advice_on_other_app(round_log: RoundLog, push: PushMilestone | EmailMilestone) -> str:
    """Return what to do. At Google it depends on whether all Android phones of the call got this answer."""
    provider = _provider_of_other_app(push)
    if provider == Provider.WEB_PUSH:
        return SUBSCRIBE_AGAIN
    if provider != Provider.FCM:
        return ""
    return EVERY_ANDROID_PHONE if round_log.all_of_other_project else PERHAPS_EVERY_ANDROID_PHONE


def _provider_of_other_app(push: PushMilestone | EmailMilestone) -> str:
    return push.provider if isinstance(push, PushMilestone) and push.outcome == Outcome.WRONG_APP else ""
