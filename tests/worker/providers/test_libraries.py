"""aioapns, pyfcm and the private names of h2: each is used in one file, which says what is used and why."""

import ast
import inspect
from pathlib import Path

import pytest
from aioapns import NotificationRequest
from aioapns.connection import H2Protocol, JWTAuthorizationHeaderProvider
from pyfcm import FCMNotification

import worker.providers
from tests.syntax_tree import parse

FOLDER = Path(worker.providers.__file__).parent


def imported_names(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(of):
    return {path.name for path in FOLDER.parent.rglob("*.py") if any(map(of, imported_names(path)))}


@pytest.mark.parametrize("library", ["aioapns", "pyfcm"])
def test_a_library_is_imported_by_its_adapter_alone(library):
    assert importers(lambda name: name.split(".")[0] == library) == {f"{library}_adapter.py"}


def test_private_names_of_h2_are_imported_by_its_adapter_alone():
    public = ("h2.config", "h2.errors", "h2.events", "h2.exceptions", "h2.settings")

    def is_private(name):
        return name.split(".")[0] == "h2" and not name.startswith(public)

    assert importers(is_private) == {"h2_adapter.py"}


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (H2Protocol.__init__, {"self"}),
        (H2Protocol.connection_made, {"self", "transport"}),
        (H2Protocol.flush, {"self"}),
        (JWTAuthorizationHeaderProvider.__init__, {"self", "key", "key_id", "team_id"}),
        (NotificationRequest.__init__, {"device_token", "message", "notification_id", "collapse_key", "apns_topic"}),
        (FCMNotification.parse_payload, {"fcm_token", "data_payload", "android_config", "dry_run"}),
        (FCMNotification.json_dumps, {"self", "data"}),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_library_still_has(function, parameters):
    assert parameters <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("attribute", ["transport", "conn"])
def test_aioapns_protocol_still_sets(attribute):
    assert hasattr(H2Protocol(), attribute), f"aioapns has moved H2Protocol.{attribute}: see aioapns_adapter.py"


@pytest.mark.parametrize("attribute", ["FCM_END_POINT_BASE", "fcm_end_point"])
def test_pyfcm_still_has(attribute):
    assert hasattr(FCMNotification, attribute), f"pyfcm has moved {attribute}: see pyfcm_adapter.py"
