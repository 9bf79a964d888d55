"""`bellhop reachability` says whether a user can be rung, and why not; `bellhop check` counts demoted phones."""

import json

import pytest
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.cli.check.devices import findings
from bellhop.clock import Micros
from bellhop.domain.device import Kind, RingsBy
from bellhop.domain.phone import PhoneHealth
from bellhop.store.blocking_client import run_script
from bellhop.store.phones import note_receipt
from bellhop.store.registry import register
from bellhop.store.steps import run_blocking
from tests.factories import a_device, an_iphone, web_settings


@pytest.fixture
def ben(redis_client):
    device = a_device(name="Ben's Pixel")
    run_blocking(register("default", device), redis_client)

    def report(round_started_at, **health):
        facts = {"round_started_at": round_started_at, "event": "rang", "health": PhoneHealth(**health)}
        run_script(redis_client, note_receipt("default", "ben", device.key, Micros(1_800_000_000_000_000), **facts))

    return report


@pytest.fixture
def bellhop(redis_url):
    settings = {"BELLHOP_REDIS_URL": redis_url, "BELLHOP_STREAM_API_KEY": "k", "BELLHOP_STREAM_API_SECRET": "s"}
    return lambda *args: CliRunner().invoke(main, ["reachability", *args], env=settings)


def test_each_fault_is_a_line_with_what_to_do(bellhop, ben):
    ben(1, full_screen_intent=False)
    result = bellhop("ben")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "ben cannot be rung now: No worker is alive that sends rings."
    assert lines[1:3] == ["  ✗ No worker is alive that sends rings.", "    → Start `bellhop worker`."]
    assert "  ? Ben's Pixel: Full-screen notifications are off for the app since 15 Jan" in result.output


def test_the_json_is_that_of_the_api(bellhop, ben):
    ben(1, callkit_error=4)
    document = json.loads(bellhop("ben", "--json").output)
    assert document["rings"] == "no"
    assert {"no_worker", "callkit_blocked"} <= {reason["word"] for reason in document["reasons"]}


@pytest.mark.parametrize(("priorities", "said"), [(["normal"] * 3, True), (["normal", "normal", "high"], False)])
async def test_the_check_counts_phones_with_demoted_rings(redis_url, ben, priorities, said):
    for number, priority in enumerate(priorities, start=1):
        ben(number, fcm_priority=priority)
    sentences = [finding.sentence async for finding in findings(web_settings(redis_url))]
    found = [sentence for sentence in sentences if sentence.startswith("1 phone got their last three rings")]
    assert bool(found) is said


@pytest.mark.parametrize(
    ("hardware_id", "said"),
    [
        ("phone", "1 user has an iPhone that rings by alerts"),
        ("", "1 user has both an iPhone that rings by alerts and a VoIP token without hardware_id (ann). "),
    ],
)
async def test_the_check_warns_of_a_voip_token_beside_alerts(redis_url, redis_client, hardware_id, said):
    alert = {"kind": Kind.ALERT, "token": "cd" * 32, "hardware_id": "phone", "rings": RingsBy.ALERT}
    for device in (an_iphone("ann", hardware_id=hardware_id), an_iphone("ann", **alert)):
        run_blocking(register("default", device), redis_client)
    (found,) = [one async for one in findings(web_settings(redis_url)) if one.subject == "alert rings"]
    assert found.sentence.startswith(said)
