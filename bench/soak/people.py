"""The people who are called: every other one has an iPhone, which has a token for calls and one for notices."""

from typing import NamedTuple

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation


class Person(NamedTuple):
    """One person with one phone."""

    user: str
    provider: Provider
    token: str
    """Rings go to it; on Android, notices too."""
    notice_token: str


def person(number: int) -> Person:
    """Return the person with this number."""
    if number % 2:
        return Person(f"user-{number}", Provider.FCM, f"phone:{number}", f"phone:{number}")
    return Person(f"user-{number}", Provider.APNS, f"{number:064x}", f"{number:056x}feedbeef")


async def register_all(installation: Installation, people: int) -> None:
    """Register the phones of the first `people` persons."""
    for number in range(people):
        user, provider, token, notice_token = person(number)
        await installation.register(user, provider, Kind.VOIP, token)
        if notice_token != token:
            await installation.register(user, provider, Kind.ALERT, notice_token)
