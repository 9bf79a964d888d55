"""Calls Bellhop with the client that openapi-python-client made: URL, API key, server token, token of user jane."""

import sys
from typing import TypeVar

from bellhop_client import AuthenticatedClient
from bellhop_client.api.calls import explain_call, list_calls, mark_calls_seen
from bellhop_client.api.privacy import export_user
from bellhop_client.api.users import list_devices, register_device, write_preferences
from bellhop_client.models import (
    ApnsRegistration,
    CallsOfUser,
    DevicesOfUser,
    Environment,
    Explanation,
    Kind,
    PersonExport,
    Preferences,
    Problem,
    ProblemType,
    QuietHours,
    RegisteredDevice,
    SeenCalls,
    UnseenCalls,
)
from bellhop_client.types import UNSET

Model = TypeVar("Model")


def expect(kind: type[Model], answer: object) -> Model:
    """Return the answer, which must be of this model."""
    assert isinstance(answer, kind), answer
    return answer


def main(url: str, api_key: str, server_token: str, user_token: str) -> None:
    headers = {"X-Api-Key": api_key}
    backend = AuthenticatedClient(url, server_token, headers=headers, raise_on_unexpected_status=True)
    app = AuthenticatedClient(url, user_token, headers=headers, raise_on_unexpected_status=True)

    phone = ApnsRegistration(
        app="com.example.calls", provider="apns", kind=Kind.VOIP, token="a1" * 32, name="Jane's iPhone"
    )
    device = expect(RegisteredDevice, register_device.sync("me", client=app, body=phone))
    assert device.environment is Environment.PRODUCTION and device.platform is UNSET
    devices = expect(DevicesOfUser, list_devices.sync("jane", client=backend)).devices
    assert device.id in [listed.id for listed in devices]

    night = Preferences(quiet_hours=QuietHours(from_="22:00", to="07:00"))
    hours = expect(Preferences, write_preferences.sync("me", client=app, body=night)).quiet_hours
    assert expect(QuietHours, hours).to == "07:00"

    page = expect(CallsOfUser, list_calls.sync("me", client=app, missed=True))
    assert (page.calls, page.next_, page.unseen) == ([], None, 0)
    assert expect(UnseenCalls, mark_calls_seen.sync("me", client=app, body=SeenCalls(call_cids=[]))).unseen == 0

    assert not expect(Explanation, explain_call.sync("default:no-such-call", client=backend)).found
    assert expect(PersonExport, export_user.sync("me", client=app)).user_id == "jane"

    problem = expect(Problem, list_devices.sync("ben", client=app))
    assert problem.type_ is ProblemType.ANOTHER_USER and problem.status == 403
    invalid = write_preferences.sync("me", client=app, body=Preferences(always_from=["with a blank"]))
    errors = expect(Problem, invalid).errors
    assert errors and errors[0].pointer == "#/always_from/0"


if __name__ == "__main__":
    main(*sys.argv[1:])
