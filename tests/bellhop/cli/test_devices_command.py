"""`bellhop devices`: import, add, list, remove against a real Redis."""

import json

import pytest
import redis
from click.testing import CliRunner

from bellhop.cli import main
from tests.factories import PUBLIC_KEY_OF_1

VOIP = {"user_id": "jane", "provider": "apns", "kind": "voip", "token": "ab" * 32, "app": "com.example"}
FCM = {"user_id": "jane", "provider": "fcm", "token": "fcm:token", "app": "project", "name": "Jane's Pixel"}


ADD = ("add", "jane", "--provider", "apns", "--token", "ab" * 32, "--app")
APPS = json.dumps([{"tenant": tenant, "api_keys": [tenant], "api_secrets": ["s"]} for tenant in ("live", "staging")])


@pytest.fixture
def bellhop(redis_url):
    def run(*args, stdin=None, status=0, **settings):
        environment = {"BELLHOP_REDIS_URL": redis_url} | {f"BELLHOP_{name}": value for name, value in settings.items()}
        result = CliRunner(env=environment).invoke(main, ["devices", *args], input=stdin)
        assert result.exit_code == status, result.output
        return result.output

    return run


def lines(*devices):
    return "\n".join(device if isinstance(device, str) else json.dumps(device) for device in devices)


def test_import_takes_the_good_lines_and_names_the_bad_ones(bellhop):
    bad = [
        "not json",
        VOIP | {"provider": "pigeon"},
        VOIP | {"token": "../3/device/evil"},
        {key: value for key, value in VOIP.items() if key != "app"},
        VOIP | {"tokn": "x"},
        "[]",
    ]
    output = bellhop("import", "-", stdin=lines(VOIP, *bad, "", FCM), status=1)
    for number in range(2, 8):
        assert f"line {number}: " in output
    assert "line 2: must be valid JSON" in output
    assert "line 3: provider: must be 'apns', 'fcm' or 'webpush'" in output
    assert "line 4: an APNs token is 16 to 400 hexadecimal digits" in output
    assert "line 5: app: is required" in output
    assert "line 6: tokn: is not a field of a device" in output
    assert "line 7: must be an object" in output
    assert "2 registered, 6 left out" in output
    listed = bellhop("list", "jane")
    assert "com.example" in listed
    assert "Jane's Pixel" in listed
    assert VOIP["token"] not in listed, "a token is a secret"


def test_a_file_may_begin_with_a_byte_order_mark(bellhop):
    assert "1 registered, 0 left out" in bellhop("import", "-", stdin="\ufeff" + lines(FCM))


@pytest.mark.parametrize("stamp", [1_700_000_000_000_000_000, 10**400, -1, 1_700_000_000_000, 1_700_000_000])
def test_a_stamp_in_another_unit_is_left_out_and_harms_nobody(bellhop, stamp):
    output = bellhop("import", "-", stdin=lines(VOIP, FCM | {"registered_at": stamp}), status=1)
    assert "line 2: registered_at: " in output
    assert "com.example" in bellhop("list", "jane")


def test_a_thousand_devices_go_in_at_once(bellhop):
    devices = (FCM | {"user_id": f"user-{n}", "token": f"token-{n}"} for n in range(1000))
    assert "1000 registered, 0 left out" in bellhop("import", "-", stdin=lines(*devices))
    assert "Jane's Pixel" in bellhop("list", "user-999")


ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\r\u202e\nforged"


def test_no_name_moves_the_cursor_or_forges_a_line(bellhop):
    """A user chooses the name of a phone, and the author of the file chooses the names of fields."""
    bellhop("import", "-", stdin=lines(FCM | {"name": f"x{ESCAPES}y"}))
    odd = bellhop("import", "-", stdin=lines(VOIP | {ESCAPES: "x"}), status=1)
    for output in (bellhop("list", "jane"), odd):
        assert "forged" in output
        assert not [line for line in output.splitlines() if line.startswith("forged") or not line.isprintable()]


def test_add_and_remove(bellhop):
    key = bellhop("add", "ben", "--provider", "apns", "--token", "cd" * 32, "--app", "com.example").split()[-1]
    assert key in bellhop("list", "ben")
    assert "removed" in bellhop("remove", "ben", key)
    assert "ben has no devices" in bellhop("list", "ben")
    assert "see `bellhop devices list ben`" in bellhop("remove", "ben", key, status=1)


def test_a_browser_is_added_at_a_known_push_service_only(bellhop):
    keys = ("--p256dh", PUBLIC_KEY_OF_1, "--auth", "A" * 22, "--app", "web", "--provider", "webpush", "--token")
    key = bellhop("add", "ben", *keys, "https://fcm.googleapis.com/fcm/send/x").split()[-1]
    assert f"browser {key[:6]}" in bellhop("list", "ben")
    assert "is not of a push service" in bellhop("add", "ben", *keys, "https://push.example.org/x", status=1)
    line = {"user_id": "ben", "provider": "webpush", "token": "https://push.example.org/x", "app": "web"}
    given = lines(line | {"p256dh": PUBLIC_KEY_OF_1, "auth": "A" * 22}, line)
    assert "line 1: token: is not of a push service" in bellhop("import", "-", stdin=given, status=1)
    output = bellhop("import", "-", stdin=given, status=1, WEB_PUSH_HOSTS="*.example.org")
    assert "line 2: a Web Push subscription has the keys" in output
    assert "1 registered, 1 left out" in output


def test_a_token_that_moves_to_another_user_leaves_the_first(bellhop):
    bellhop("import", "-", stdin=lines(FCM, FCM | {"user_id": "ben"}))
    assert "jane has no devices" in bellhop("list", "jane")
    assert "Pixel" in bellhop("list", "ben")


def test_an_old_file_takes_no_token_from_its_new_user(bellhop):
    """The phone has another user since the file was written."""
    old, new = FCM | {"registered_at": 10**15}, FCM | {"user_id": "ben", "registered_at": 2 * 10**15}
    bellhop("import", "-", stdin=lines(new))
    output = bellhop("import", "-", stdin=lines(old, VOIP))
    assert "1 registered, 0 left out, 1 registered later than the file says and not changed" in output
    assert "Pixel" in bellhop("list", "ben")
    assert "Pixel" not in bellhop("list", "jane")


@pytest.mark.parametrize("later", [10**15, 2 * 10**15])
def test_the_newest_line_of_a_token_counts_in_any_order(bellhop, later):
    """The lines of one batch are registered side by side."""
    jane, ben = FCM | {"registered_at": 2 * 10**15}, FCM | {"user_id": "ben", "registered_at": later}
    output = bellhop("import", "-", stdin=lines(jane, VOIP, ben))
    assert "2 registered, 0 left out, 1 registered later than the file says and not changed" in output
    owner, former = ("jane", "ben") if later == 10**15 else ("ben", "jane")
    assert "Pixel" in bellhop("list", owner)
    assert "Pixel" not in bellhop("list", former)


def test_the_twenty_sixth_device_makes_the_oldest_leave(bellhop):
    devices = [FCM | {"token": f"t{n}", "name": f"phone {n}", "registered_at": 10**15 + n} for n in range(26)]
    bellhop("import", "-", stdin=lines(*devices))
    listed = bellhop("list", "jane")
    assert len(listed.splitlines()) == 26, "with the headings"
    assert "phone 25" in listed
    assert not listed.splitlines()[1].endswith("phone 0")


def test_two_tenants_do_not_share_users(bellhop):
    bellhop("import", "-", "--tenant", "staging", stdin=lines(FCM))
    assert "jane has no devices" in bellhop("list", "jane")
    assert "Pixel" in bellhop("list", "jane", "--tenant", "staging")


def test_without_redis_it_says_what_to_set():
    away = {"BELLHOP_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}
    result = CliRunner(env=away).invoke(main, ["devices", "list", "jane"])
    assert result.exit_code == 1
    assert "does not answer at 127.0.0.1:1 (ConnectionError): start it, or check BELLHOP_REDIS_URL" in result.output


@pytest.mark.parametrize("command", [(*ADD, "com.example"), ("list", "jane"), ("import", "-"), ("remove", "jane", "k")])
@pytest.mark.parametrize("tenant", [(), ("--tenant", "nope")])
def test_an_unknown_tenant_is_refused_with_the_known_ones(bellhop, command, tenant):
    said = bellhop(*command, *tenant, status=2, stdin="", STREAM_APPS=APPS)
    assert "use --tenant live or --tenant staging" in said


def test_the_one_tenant_need_not_be_named(bellhop):
    one = json.dumps(json.loads(APPS)[:1])
    bellhop(*ADD, "com.example", STREAM_APPS=one)
    assert "com.example" in bellhop("list", "jane", "--tenant", "live", STREAM_APPS=one)
    assert "jane has no devices" in bellhop("list", "jane"), "without a Stream app, the tenant is default"


@pytest.fixture
def apple(tmp_path):
    (tmp_path / "key.p8").write_text("-----BEGIN PRIVATE KEY-----")
    return {"APNS_KEY_FILE": str(tmp_path / "key.p8"), "APNS_KEY_ID": "K", "APNS_TEAM_ID": "T", "APNS_TOPIC": "a.b"}


def test_an_app_without_credentials_is_warned_about(bellhop, apple):
    assert "no credentials for the apns app a.typo (configured: a.b): it will not ring" in bellhop(
        *ADD, "a.typo", **apple
    )
    said = bellhop("import", "-", stdin=lines(VOIP, VOIP | {"token": "cd" * 32}, FCM), **apple)
    assert said.count("no credentials for the apns app com.example") == 1
    assert "no credentials for the fcm app project (configured: none)" in said
    assert "3 registered" in said


def test_no_warning_if_settings_or_a_live_worker_have_the_app(bellhop, apple, redis_url):
    assert "warning" not in bellhop(*ADD, "a.b", **apple)
    assert "warning" not in bellhop(*ADD, "com.example"), "no credentials are known here"
    with redis.Redis.from_url(redis_url) as client:
        client.sadd("rq:workers:bellhop-rings", "rq:worker:w")
        client.set("bellhop:worker:w", 1)
        lanes = [{"provider": "apns", "app": "com.example"}]
        client.set("bellhop:status:w", json.dumps({"lanes": lanes, "certificates": {}}))
    assert "warning" not in bellhop(*ADD, "com.example")
    assert "warning" in bellhop(*ADD, "com.example.typo")


def test_a_google_token_has_one_kind(bellhop):
    bellhop("add", "jane", "--provider", "fcm", "--token", "one", "--app", "project")
    bellhop("import", "-", stdin=lines(FCM | {"kind": "voip"}, FCM | {"token": "two"}))
    _, *listed = bellhop("list", "jane").splitlines()
    assert [line.split()[1:3] for line in listed] == [["fcm", "-"]] * 3


def test_a_list_as_json_names_each_phone_and_no_token(bellhop):
    bellhop("import", "-", stdin=lines(VOIP | {"environment": "sandbox", "registered_at": 1_700_000_000_000_000}, FCM))
    unnamed, named = json.loads(bellhop("list", "jane", "--json"))
    assert named["phone"] == "Jane's Pixel"
    assert unnamed == {
        "key": unnamed["key"],
        "phone": f"iPhone {unnamed['key'][:6]}",
        "provider": "apns",
        "kind": "voip",
        "app": "com.example",
        "environment": "sandbox",
        "hardware_id": "",
        "registered_at": "2023-11-14T22:13:20Z",
    }
    assert unnamed["phone"] in bellhop("list", "jane"), "the table has the same name"
    assert VOIP["token"] not in bellhop("list", "jane", "--json")


def test_a_disabled_phone_stays_disabled_until_it_is_enabled(bellhop):
    """All devices of one phone are disabled together, and registering them again changes nothing."""
    phone = [
        VOIP | {"hardware_id": "iphone-1"},
        VOIP | {"hardware_id": "iphone-1", "token": "cd" * 32, "kind": "alert"},
    ]
    bellhop("import", "-", stdin=lines(*phone, FCM))
    voip, alert = (device["key"] for device in json.loads(bellhop("list", "jane", "--json")) if "com" in device["app"])
    assert sorted(bellhop("disable", "jane", voip).split()[1::2]) == sorted([voip, alert])
    rotated = VOIP | {"hardware_id": "iphone-1", "token": "ef" * 32}
    bellhop("import", "-", stdin=lines(*phone, rotated, FCM))
    shown = json.loads(bellhop("list", "jane", "--json"))
    assert [device["provider"] for device in shown if "disabled_at" not in device] == ["fcm"]
    assert bellhop("list", "jane").count("(disabled since 20") == 3
    bellhop("enable", "jane", alert)
    assert "disabled" not in bellhop("list", "jane", "--json")
    assert "jane has no device x" in bellhop("disable", "jane", "x", status=1)


def test_a_phone_that_rings_by_alerts_is_added_and_imported(bellhop):
    alert = VOIP | {"kind": "alert", "rings": "alert", "hardware_id": "phone-1"}
    refused = [FCM | {"rings": "alert"}, VOIP | {"rings": "alert"}, alert | {"hardware_id": ""}]
    output = bellhop("import", "-", stdin=lines(alert, *refused), status=1)
    assert "line 2: rings: only an APNs token of kind alert can ring by alerts" in output
    assert "line 4: rings: to ring by alerts, a hardware_id is required" in output
    assert "1 registered, 3 left out" in output
    assert json.loads(bellhop("list", "jane", "--json"))[0]["rings"] == "alert"
    assert "  rings  " in bellhop("list", "jane")
    bellhop("import", "-", stdin=lines(VOIP | {"kind": "alert"}))
    assert "rings" not in json.loads(bellhop("list", "jane", "--json"))[0]
    bellhop(*ADD, "com.example", "--kind", "alert", "--rings", "alert", "--hardware-id", "phone-1")
    assert json.loads(bellhop("list", "jane", "--json"))[0]["rings"] == "alert"
