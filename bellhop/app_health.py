"""Say in a word and a sentence whether the pushes of one app arrive, by the reports of all workers. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from bellhop.domain.device import Provider
from bellhop.domain.outcomes import MEANING, Outcome, Tone
from bellhop.explain.sentences import PROVIDERS
from bellhop.queue.worker_status import ChannelStatus

OTHER_PROJECT = (
    "Google says that the phones' tokens are of another Firebase project than {app}, so every Android phone gets this "
    "answer"
)
RIGHT_PROJECT = "Use a service account of the project in the app's google-services.json."
OTHER_KEY = "Browsers subscribed with another public key than that of {app}"
RIGHT_KEY = "Let the page subscribe again, with the key that GET /v1/web-push/key returns."
OF_ITSELF = "Bellhop tries again by itself."


class AppHealth(NamedTuple):
    """The health of an app at its provider."""

    provider: str
    app: str
    tone: Tone
    word: str
    sentence: str
    """What is wrong, with the provider's last answer; empty if nothing is wrong."""
    next: str
    """What to do about it."""
    answer: str
    """The reason in the provider's last answer; empty if it gave none."""
    in_flight: int
    brake: bool
    """Whether no token of the app is removed at the moment."""
    outcome: Outcome | None = None
    """The outcome that says what is wrong; None if nothing is."""


def app_health(provider: str, app: str, channels: Sequence[ChannelStatus]) -> AppHealth:
    """Judge an app by its channels, one of each worker."""
    outcome, answer = _trouble(channels)
    tone, word, sentence, advice = Tone.GOOD, "Working", "", ""
    if outcome:
        meaning = MEANING[outcome]
        tone, word, sentence, advice = Tone.BAD, "Failing", meaning.sentence, meaning.advice
    if outcome is Outcome.CREDENTIALS_REFUSED:
        word = "Refused"
    elif outcome is Outcome.WRONG_APP:
        word = "Other app"
        if provider == Provider.FCM:
            word, sentence, advice = "Other project", OTHER_PROJECT, RIGHT_PROJECT
        elif provider == Provider.WEB_PUSH:
            word, sentence, advice = "Other key", OTHER_KEY, RIGHT_KEY
    elif outcome:
        advice = f"{OF_ITSELF} {advice}"
    names = {"provider": PROVIDERS.get(provider, provider), "app": app, "user": "the user"}
    quoted = f" ({answer})" if answer else ""
    workers = len([channel for channel in channels if channel.failing or channel.refused or channel.blocked])
    counted = f", as {workers} of {len(channels)} workers report" if workers < len(channels) else ""
    return AppHealth(
        provider,
        app,
        tone,
        word,
        f"{sentence.format(**names)}{quoted}{counted}." if sentence else "",
        advice.format(**names),
        answer,
        sum(channel.in_flight for channel in channels),
        any(channel.brake for channel in channels),
        outcome,
    )


def _trouble(channels: Sequence[ChannelStatus]) -> tuple[Outcome | None, str]:
    """Return the worst outcome that a worker reports, and the provider's answer."""
    for channel in channels:
        if channel.refused:
            return Outcome.CREDENTIALS_REFUSED, channel.refused
    for channel in channels:
        if channel.failing in MEANING:
            return Outcome(channel.failing), channel.answer
    is_blocked = any(channel.blocked for channel in channels)
    return (Outcome.CIRCUIT_OPEN, "") if is_blocked else (None, "")
