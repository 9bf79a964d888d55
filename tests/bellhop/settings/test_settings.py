"""Settings: read from the environment and a TOML file; all problems are reported at once."""

import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from bellhop.cli import main
from bellhop.settings import (
    PREFIX,
    ApnsApp,
    ConfigurationError,
    FcmApp,
    Settings,
    StreamApp,
    WebPushApp,
    load,
    removed_settings,
    soon_refused,
    warn_of_removed_settings,
)
from bellhop.settings.given import settings_by_source
from bellhop.settings.removed import REMOVED
from bellhop.settings.sources import PLATFORM_NAMES
from tests.factories import PUBLIC_KEY_OF_1


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    platform = [name for names in PLATFORM_NAMES.values() for name in names]
    for name in [name for name in os.environ if name.startswith(PREFIX) or name in platform]:
        monkeypatch.delenv(name)


@pytest.fixture
def setenv(monkeypatch):
    def set_all(**values):
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, str(value))

    return set_all


@pytest.fixture
def apple(tmp_path):
    key = tmp_path / "key.p8"
    key.write_text("-----BEGIN PRIVATE KEY-----")
    return {"APNS_TOPIC": "com.example", "APNS_KEY_FILE": key, "APNS_KEY_ID": "K", "APNS_TEAM_ID": "T"}


def problems(role):
    with pytest.raises(ConfigurationError) as caught:
        load(role)
    return caught.value.problems


def test_one_stream_app_with_two_secrets(setenv):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="old, new")
    (app,) = load("web").stream_apps
    assert app.tenant == "default"
    assert app.api_keys == ["key"]
    assert [secret.get_secret_value() for secret in app.api_secrets] == ["old", "new"]


@pytest.mark.parametrize("name", ["METRICS_TOKEN", "RECEIPT_SECRET"])
def test_a_secret_that_could_be_guessed_is_refused(setenv, name):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="secret", **{name: "short"})
    assert problems("web") == [f"BELLHOP_{name}: is too short: it must have at least 16 characters"]


def test_a_second_way_needs_receipts(setenv, apple):
    setenv(SECOND_WAY="true", **apple)
    assert problems("worker") == [
        "BELLHOP_SECOND_WAY needs BELLHOP_RECEIPT_SECRET: only receipts show which phones are silent"
    ]
    setenv(RECEIPT_SECRET="a-secret-of-no-real-app")
    assert load("worker").second_way


def test_a_badge_needs_the_lists_that_it_counts(setenv, apple):
    setenv(BADGE="true", **apple)
    assert problems("worker") == ["BELLHOP_BADGE needs BELLHOP_USER_CALLS: without it, nobody counts missed calls"]
    setenv(USER_CALLS="true")
    assert load("worker").badge


@pytest.mark.parametrize("named", [{}, {"tenant": "live"}])
def test_two_apps_are_never_one_tenant(setenv, named):
    apps = [{"api_keys": [key], "api_secrets": [f"secret of {key}"], **named} for key in ("live", "staging")]
    setenv(STREAM_APPS=json.dumps(apps))
    (problem,) = problems("web")
    assert "BELLHOP_STREAM_APPS" in problem
    assert f'"{named.get("tenant", "default")}"' in problem


def test_several_apps_from_a_toml_file(setenv, tmp_path):
    config = tmp_path / "bellhop.toml"
    config.write_text(
        """
        redis_url = "redis://elsewhere:6379/1"
        [[stream_apps]]
        tenant = "live"
        api_keys = ["k1"]
        api_secrets = ["s1"]
        [[stream_apps]]
        tenant = "staging"
        api_keys = ["k2"]
        api_secrets = ["s2", "s3"]
        """
    )
    setenv(CONFIG=config, REDIS_URL="redis://here/0")
    settings = load("web")
    assert [app.tenant for app in settings.stream_apps] == ["live", "staging"]
    assert settings.redis_url == "redis://here/0", "the environment wins over the file"


def test_a_toml_file_that_is_not_there_is_a_problem(setenv, tmp_path):
    setenv(CONFIG=tmp_path / "absent.toml")
    assert "BELLHOP_CONFIG" in problems(None)[0]


def test_web_and_worker_need_only_their_own_secrets(setenv, apple):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="secret")
    assert load("web")
    setenv(**apple)
    assert load("worker")


@pytest.mark.parametrize("secret", ["", " ", "good,", ",", '["good", ""]'])
def test_an_empty_secret_is_refused(setenv, secret):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET=secret)
    (problem,) = problems("web")
    assert problem.startswith("BELLHOP_STREAM_API_SECRET: is ")


def test_all_problems_are_reported_at_once_with_the_variable(setenv):
    setenv(
        STREAM_API_KEY="key", WEB_PORT="many", REDIS_ULR="redis://x", LOG_LEVEL="loud", APNS_TOPIC="com.example.voip"
    )
    said = problems("web")
    assert [problem.split(":")[0].split(" ")[0] for problem in said] == [
        "BELLHOP_REDIS_ULR",
        "BELLHOP_STREAM_API_SECRET",
        "BELLHOP_APNS_TOPIC",
        "BELLHOP_WEB_PORT",
        "BELLHOP_LOG_LEVEL",
    ]
    assert "did you mean BELLHOP_REDIS_URL?" in said[0]


def test_nothing_configured_says_what_to_set():
    assert "BELLHOP_STREAM_API_KEY and BELLHOP_STREAM_API_SECRET" in problems("web")[0]
    assert "BELLHOP_APNS_TOPIC" in problems("worker")[0]


def test_a_key_without_its_ids_names_them(setenv, apple):
    setenv(APNS_TOPIC="com.example", APNS_KEY_FILE=apple["APNS_KEY_FILE"])
    assert "BELLHOP_APNS_KEY_ID" in problems("worker")[0]
    assert "BELLHOP_APNS_TEAM_ID" in problems("worker")[0]


def test_credential_files_that_are_not_there_are_named(setenv, apple):
    setenv(**apple | {"APNS_KEY_FILE": "/nowhere/key.p8"}, FCM_SERVICE_ACCOUNT_FILE="/nowhere/account.json")
    said = problems("worker")
    assert any(problem.startswith("BELLHOP_APNS_KEY_FILE") and "/nowhere/key.p8" in problem for problem in said)
    assert any(problem.startswith("BELLHOP_FCM_SERVICE_ACCOUNT_FILE") for problem in said)


def test_a_service_account_file_of_another_kind_is_refused(setenv, tmp_path):
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"type": "authorized_user"}))
    setenv(FCM_SERVICE_ACCOUNT_FILE=path)
    assert "project_id" in problems("worker")[0]


def test_a_removed_setting_is_accepted_and_named(setenv, tmp_path):
    assert removed_settings() == []
    setenv(FCM_WITHOUT_VIDEO="calls")
    load()
    (sentence,) = removed_settings()
    assert sentence.startswith("BELLHOP_FCM_WITHOUT_VIDEO has no effect any more: ")
    with capture_logs() as lines:
        warn_of_removed_settings()
    assert lines == [{"event": "setting_removed", "log_level": "warning", "problem": sentence}]
    setenv(FCM_WITHOUT_VIDEO="")
    assert removed_settings() == []


@pytest.mark.parametrize("place", ["a TOML file", "a secret file"])
def test_a_removed_setting_is_found_in_a_file(setenv, tmp_path, monkeypatch, place):
    (tmp_path / "fcm_without_video").write_text("calls")
    (tmp_path / "bellhop.toml").write_text('fcm_without_video = ["calls"]')
    if place == "a TOML file":
        setenv(CONFIG=tmp_path / "bellhop.toml")
    else:
        setenv(SECRETS_DIR=tmp_path)
    load()
    assert len(removed_settings()) == 1


def test_a_removed_setting_is_no_setting():
    assert not REMOVED.keys() & Settings.model_fields.keys()


def test_the_project_id_is_read_from_its_file_only_once(tmp_path):
    path = tmp_path / "account.json"
    path.write_text(json.dumps(dict.fromkeys(("project_id", "client_email", "private_key", "token_uri"), "calls")))
    settings = Settings(fcm_apps=[{"service_account_file": path}])
    path.unlink()
    assert settings.push_apps == {("fcm", "calls")}, "every registration of a device asks for it"


def test_one_app_twice_is_refused(setenv):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="s", STREAM_APPS='[{"api_keys": ["k"], "api_secrets": ["s"]}]')
    assert "not both" in problems("web")[0]


@pytest.mark.parametrize("provider", ["APNS", "FCM", "WEB_PUSH"])
def test_credentials_twice_for_one_app_are_warned_of(setenv, tmp_path, provider):
    """Only the last ones are used, and an operator who rotates a key by adding another would not learn of that."""
    account = tmp_path / "account.json"
    account.write_text(json.dumps(dict.fromkeys(("project_id", "client_email", "private_key", "token_uri"), "calls")))
    app = {
        "APNS": {"topic": "calls", "certificate_file": str(account)},
        "FCM": {"service_account_file": str(account)},
        "WEB_PUSH": {"app": "calls", "public_key": PUBLIC_KEY_OF_1},
    }[provider]
    setenv(**{f"{provider}_APPS": json.dumps([app, app])})
    (sentence,) = soon_refused(load())
    assert sentence.startswith(f"BELLHOP_{provider}_APPS has several credentials for calls, and only the last ones")


def test_no_problem_shows_a_secret(setenv):
    setenv(STREAM_API_KEY="key", STREAM_APPS='[{"api_keys": "k", "api_secrets": {"oops": "hunter2"}}]')
    assert "hunter2" not in "\n".join(problems("web"))
    setenv(STREAM_APPS="[hunter2")
    assert "hunter2" not in "\n".join(problems("web"))


@pytest.mark.parametrize("setting", ["APNS", "FCM", "SMTP", "WEB_PUSH", "EVENT"])
def test_a_ca_file_without_a_certificate_is_refused(setenv, tmp_path, setting):
    (tmp_path / "ca.pem").write_text("not a certificate")
    setenv(**{f"{setting}_CA_FILE": tmp_path / "ca.pem"})
    assert problems(None) == [f"BELLHOP_{setting}_CA_FILE: {tmp_path}/ca.pem contains no certificate in PEM"]


@pytest.mark.parametrize("setting", ["APNS_URL", "APNS_SANDBOX_URL", "FCM_URL", "STREAM_API_URL"])
@pytest.mark.parametrize(
    "url", ["api.example.com", "https://x:99999", "https://[x", "https://x..y", "ftp://x", "https://"]
)
def test_a_url_that_cannot_be_used_is_refused(setenv, setting, url):
    setenv(**{setting: url})
    assert problems(None) == [f"BELLHOP_{setting}: must be a URL, such as https://api.example.com"]


@pytest.mark.parametrize("setting", ["APNS_PROXY", "FCM_PROXY", "WEB_PUSH_PROXY"])
@pytest.mark.parametrize("url", ["proxy:3128", "http://proxy:99999", "http://[proxy"])
def test_a_proxy_that_cannot_be_used_is_refused(setenv, setting, url):
    setenv(**{setting: url})
    assert problems(None) == [f"BELLHOP_{setting}: must be the URL of a proxy, such as http://proxy.example.com:3128"]


def test_redis_urls_of_another_kind_are_refused(setenv):
    setenv(REDIS_URL="http://localhost")
    assert problems(None)[0].startswith("BELLHOP_REDIS_URL")


@pytest.mark.parametrize("url", ["redis://redis..internal/0", "redis+cluster://one,two..internal"])
def test_a_host_of_redis_that_cannot_be_used_is_refused(setenv, url):
    setenv(REDIS_URL=url)
    assert problems(None) == ["BELLHOP_REDIS_URL: has a host that is not a host name"]


@pytest.mark.parametrize("scheme", ["redis", "rediss", "rediss+sentinel", "redis+cluster"])
@pytest.mark.parametrize("option", ["ssl_ca_cert=/ca.pem", "ssl_cert_reqs=CERT_NONE", "timeout=5"])
def test_an_option_that_redis_cannot_have_is_refused(setenv, scheme, option):
    setenv(REDIS_URL=f"{scheme}://:hunter2@one/{'service' if 'sentinel' in scheme else ''}?{option}")
    sentence = "has an option behind the ? that does not exist, or a value that it cannot have"
    assert problems(None) == [f"BELLHOP_REDIS_URL: {sentence}"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://one:6379/0?max_connections=9&socket_keepalive=yes&health_check_interval=5",
        "rediss://one?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:6379/0",
        "redis+sentinel://one,two/service/0?sentinel_username=u&sentinel_password=p",
    ],
)
def test_an_option_that_redis_can_have_is_accepted(setenv, url):
    setenv(REDIS_URL=url)
    assert load().redis_url == url


def test_the_ca_of_redis_becomes_part_of_its_url(setenv, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    setenv(REDIS_URL="rediss://redis.internal:6380/0", REDIS_CA_FILE=str(ca))
    assert load().redis_url == f"rediss://redis.internal:6380/0?ssl_ca_certs={str(ca).replace('/', '%2F')}"
    setenv(REDIS_URL="redis://redis.internal:6380/0")
    assert problems(None) == [
        "BELLHOP_REDIS_CA_FILE has no effect: BELLHOP_REDIS_URL must begin with rediss://, rediss+sentinel:// or "
        "rediss+cluster://"
    ]


def test_the_former_redis_is_another_one(setenv, tmp_path):
    (tmp_path / "ca.pem").touch()
    setenv(REDIS_URL="rediss://one", REDIS_CA_FILE=str(tmp_path / "ca.pem"), REDIS_FORMER_URL="rediss://two")
    assert load().redis_former_url == "rediss://two", "the CA of the own Redis is not for the former one"
    for former in ("rediss://one:6379/0", "redis://somebody:hunter2@one"):
        setenv(REDIS_FORMER_URL=former)
        assert problems(None) == ["BELLHOP_REDIS_FORMER_URL and BELLHOP_REDIS_URL name the same Redis"]
    setenv(REDIS_FORMER_URL="rediss://one/1")
    assert load().redis_former_url == "rediss://one/1"
    setenv(REDIS_FORMER_URL="http://two")
    assert problems(None)[0].startswith("BELLHOP_REDIS_FORMER_URL: must begin with redis://")


def test_the_former_number_of_partitions_must_be_given(setenv):
    setenv(REDIS_URL="redis+cluster://one,two", REDIS_PARTITIONS="32", REDIS_FORMER_URL="redis+cluster://one,two")
    sentence = "must say how many partitions the former installation has, such as ?partitions=16"
    assert problems(None) == [f"BELLHOP_REDIS_FORMER_URL: {sentence}"]
    setenv(REDIS_FORMER_URL="redis+cluster://one,two?partitions=16")
    assert load().redis_former_url == "redis+cluster://one,two?partitions=16"
    setenv(REDIS_FORMER_URL="redis+cluster://one,two?partitions=32")
    assert problems(None) == ["BELLHOP_REDIS_FORMER_URL and BELLHOP_REDIS_URL name the same Redis"]


def test_the_number_of_partitions_becomes_part_of_the_url(setenv):
    setenv(REDIS_URL="redis+cluster://one,two", REDIS_PARTITIONS="32")
    assert load().redis_url == "redis+cluster://one,two?partitions=32"
    setenv(REDIS_URL="redis+cluster://one,two?partitions=32")
    assert load().redis_url == "redis+cluster://one,two?partitions=32"
    setenv(REDIS_PARTITIONS="16")
    assert problems(None) == [
        "BELLHOP_REDIS_PARTITIONS is not the number behind partitions= in BELLHOP_REDIS_URL",
    ]
    setenv(REDIS_URL="redis://one")
    assert problems(None) == [
        "BELLHOP_REDIS_PARTITIONS has no effect: BELLHOP_REDIS_URL must begin with redis+cluster:// or "
        "rediss+cluster://"
    ]


def test_secrets_come_from_files_of_their_own(setenv, tmp_path):
    (tmp_path / "stream_api_secret").write_text("from a file\n")
    (tmp_path / "metrics_token").write_text("a token in a file")
    (tmp_path / "apns.p8").write_text("a key may lie there too")
    (tmp_path / "..data").symlink_to(tmp_path)
    setenv(SECRETS_DIR=tmp_path, STREAM_API_KEY="key", METRICS_TOKEN="from the environment")
    settings = load("web")
    assert [secret.get_secret_value() for secret in settings.stream_apps[0].api_secrets] == ["from a file"]
    assert settings.metrics_token.get_secret_value() == "from the environment", "the environment wins"


def test_a_secret_file_of_apps_wins_over_the_toml_file(setenv, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    apps = [{"tenant": name, "api_keys": [f"key-{name}"], "api_secrets": ["s"]} for name in ("live", "staging")]
    (folder / "stream_apps").write_text(json.dumps(apps))
    config = tmp_path / "bellhop.toml"
    config.write_text('trail_days = 3\nmetrics_token = "it is in the clear"\n')
    (folder / "metrics_token").write_text("hidden in a file")
    setenv(SECRETS_DIR=folder, CONFIG=config)
    settings = load("web")
    assert [app.tenant for app in settings.stream_apps] == ["live", "staging"]
    assert (settings.trail_days, settings.metrics_token.get_secret_value()) == (3, "hidden in a file")


def test_unknown_secret_files_and_a_missing_folder_are_reported(setenv, tmp_path):
    (tmp_path / "stream_api_secert").write_text("hunter2")
    setenv(SECRETS_DIR=tmp_path)
    assert problems("web")[0] == (
        "BELLHOP_SECRETS_DIR: stream_api_secert is not a setting; did you mean stream_api_secret?"
    )
    assert "hunter2" not in "\n".join(problems("web"))
    setenv(SECRETS_DIR=tmp_path / "absent")
    assert problems(None)[0].startswith("BELLHOP_SECRETS_DIR: ")


@contextmanager
def without_roots_rights():
    """Root may read every file, so act as another user."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_secret_that_may_not_be_read_is_named(setenv):
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, where nobody else may look
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "stream_apps").touch(mode=0)
        setenv(SECRETS_DIR=folder)
        with without_roots_rights():
            assert problems("web") == ["BELLHOP_SECRETS_DIR: stream_apps cannot be read: Permission denied"]
        folder.chmod(0)
        with without_roots_rights():
            assert problems("web") == [f"BELLHOP_SECRETS_DIR: {folder} cannot be read: Permission denied"]
        folder.chmod(0o700)


@pytest.mark.parametrize("source", ["environment", "secret"])
def test_a_list_that_is_not_json_says_where(setenv, tmp_path, source):
    broken = '[{"tenant": "live", "api_secrets": ["hunter2"]'
    if source == "secret":
        (tmp_path / "stream_apps").write_text(broken)
        setenv(SECRETS_DIR=tmp_path)
    else:
        setenv(STREAM_APPS=broken)
    where = "BELLHOP_STREAM_APPS" if source == "environment" else f"{tmp_path / 'stream_apps'}, stream_apps"
    assert problems("web") == [f'{where}: must be a JSON list, such as [{{"…": "…"}}]']


PUBLIC = {
    "stream_api_key": "names the app; Stream's clients carry it",
    "apns_key_file": "a path",
    "apns_key_id": "names the key",
    "api_keys": "name the app",
    "key_file": "a path",
    "key_id": "names the key",
    "web_push_public_key": "browsers get it",
    "public_key": "browsers get it",
}
"""Settings with a name like a secret that are not secret, each with its reason."""


@pytest.mark.parametrize("model", [Settings, StreamApp, ApnsApp, FcmApp, WebPushApp])
def test_every_secret_is_kept_out_of_what_is_printed(model):
    for name, field in model.model_fields.items():
        if re.search("secret|password|token|key", name) and name not in PUBLIC:
            assert "SecretStr" in repr(field.annotation), name


def test_settings_that_are_printed_show_no_secret(setenv):
    setenv(
        STREAM_API_KEY="key",
        STREAM_API_SECRET="hunter2",
        METRICS_TOKEN="hunter2, hunter2, hunter2",
        REDIS_URL="redis://bellhop:hunter2@localhost/0",
    )
    assert "hunter2" not in repr(load("web")) + str(load("web"))


def test_a_queue_and_topics_belong_to_the_one_stream_app(setenv):
    topic = "arn:aws:sns:eu-west-1:123456789012:calls"
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="secret", SQS_QUEUE_URL="https://sqs.eu-west-1.amazonaws.com/1/q")
    setenv(SNS_TOPICS=topic)
    [app] = load("sqs").stream_apps
    assert (app.sqs_queue_url, app.sns_topics) == ("https://sqs.eu-west-1.amazonaws.com/1/q", [topic])
    setenv(SNS_TOPICS="calls", SQS_QUEUE_URL="calls")
    assert problems("sqs") == [
        "BELLHOP_SQS_QUEUE_URL: must be the queue's URL, https://sqs.…",
        "BELLHOP_SNS_TOPICS[0]: must be a topic's ARN, arn:aws:sns:<region>:<account>:<name>",
    ]


@pytest.mark.parametrize("text", ["[]", "null", '"a text"', "{}", "no JSON"])
def test_another_file_is_not_taken_for_a_service_account(tmp_path, text):
    path = tmp_path / "account.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a service account file"):
        FcmApp(service_account_file=path)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('redis_urll = "x"', "redis_urll: is not a setting; did you mean redis_url?"),
        ("redis_url = ", "is not valid TOML: "),
        (
            "web_port = true\n[[apns_apps]]\ntopic = 'a'\nkeyid = 'K'",
            "number 1, keyid: is not a setting; did you mean key_id?",
        ),
        ("[[apns_apps]]\ntopic = 'a.b'\nkey_id = 'K'", "[[apns_apps]] number 1: key_file, team_id missing"),
        (
            "[[fcm_apps]]\nservice_account_file = 'absent.json'",
            "[[fcm_apps]] number 1, service_account_file: absent.json cannot be read",
        ),
        ("[[stream_apps]]\napi_keys = ['k']", "[[stream_apps]] number 1, api_secrets: is not set"),
        ("[stream_apps]\napi_keys = ['k']", "stream_apps: must be written [[stream_apps]], with two brackets"),
        ("[[stream_apps]]\ntenant = 'a b'\napi_keys = ['k']\napi_secrets = ['s']", "tenant: must be 1 to 64 letters"),
        ("trail_days = 'many'", "trail_days: must be an integer"),
        ("trail_days = 1000", "trail_days: must be 365 or less"),
        ("ring_default_s = 200", "ring_default_s: must be 180 or less"),
        ("smtp_timeout_s = 0.01", "smtp_timeout_s: must be 0.1 or more"),
    ],
)
def test_a_mistake_in_the_toml_file_is_reported_with_its_place(setenv, tmp_path, toml, said):
    config = tmp_path / "bellhop.toml"
    config.write_text(toml)
    setenv(CONFIG=config)
    problem = next(problem for problem in problems(None) if said in problem)
    assert str(config) in problem
    assert "BELLHOP_APNS" not in problem, "a variable that nobody set"


def test_a_mistake_in_a_secret_file_is_named_with_the_file(setenv, tmp_path):
    (tmp_path / "stream_apps").write_text("hunter2")
    setenv(SECRETS_DIR=tmp_path)
    assert problems(None) == [f'{tmp_path}/stream_apps, stream_apps: must be a JSON list, such as [{{"…": "…"}}]']


def test_a_mistake_in_a_variable_is_reported_plainly(setenv):
    setenv(STREAM_APPS="nojson", WEB_PORT="many", LOG_FORMAT="text", WEB_HOST="localhost", TYPO="1")
    assert problems(None) == [
        "BELLHOP_TYPO is not a setting",
        'BELLHOP_STREAM_APPS: must be a JSON list, such as [{"…": "…"}]',
        "BELLHOP_WEB_HOST: must be an IP address: 127.0.0.1 for this machine, 0.0.0.0 for every interface",
        "BELLHOP_WEB_PORT: must be an integer",
        "BELLHOP_LOG_FORMAT: must be 'json', 'ecs' or 'console'",
    ]


@pytest.mark.parametrize("keys", ["k, k", "k,other,k "])
def test_an_api_key_is_one_apps(setenv, keys):
    setenv(STREAM_API_KEY=keys, STREAM_API_SECRET="s")
    assert problems("web") == ["BELLHOP_STREAM_API_KEY: the API key k is listed twice: a key must belong to one app"]


def test_an_api_key_of_two_apps_is_named(setenv):
    apps = [{"tenant": tenant, "api_keys": ["k"], "api_secrets": ["s"]} for tenant in ("live", "staging")]
    setenv(STREAM_APPS=json.dumps(apps))
    assert problems("web") == ["BELLHOP_STREAM_APPS: the API key k is listed twice: a key must belong to one app"]


def test_variables_that_kubernetes_sets_are_ignored(setenv):
    setenv(
        WEB_SERVICE_HOST="10.0.0.1",
        WEB_SERVICE_PORT="80",
        WEB_SERVICE_PORT_HTTP="80",
        WEB_PORT_80_TCP="tcp://10.0.0.1:80",
        WEB_PORT_80_TCP_ADDR="10.0.0.1",
        WORKER_PORT="tcp://10.0.0.2:80",
    )
    assert load()
    setenv(WEB_PORT="tcp://10.0.0.1:80")
    (problem,) = problems(None)
    assert "set by Kubernetes for the Service bellhop-web: set enableServiceLinks: false" in problem


PLATFORM = {
    "PORT": "5005",
    "REDIS_URL": "redis://plain:6379",
    "REDIS_TLS_URL": "rediss://tls:6380",
    "WEB_CONCURRENCY": "3",
}


def test_the_variables_of_a_platform_are_read(monkeypatch):
    for name, value in PLATFORM.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.web_port, settings.redis_url, settings.web_processes) == (5005, "rediss://tls:6380", 3)
    monkeypatch.setenv("REDIS_TLS_URL", "")
    assert load().redis_url == "redis://plain:6379"


def test_what_bellhop_is_told_wins_over_the_platform(setenv, monkeypatch, tmp_path):
    for name, value in PLATFORM.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bellhop.toml").write_text('redis_url = "redis://ours:6379"')
    setenv(WEB_PORT=8081, CONFIG=tmp_path / "bellhop.toml")
    settings = load()
    assert (settings.web_port, settings.redis_url, settings.web_processes) == (8081, "redis://ours:6379", 3)
    assert settings_by_source() == {
        str(tmp_path / "bellhop.toml"): ["redis_url"],
        "variables": ["BELLHOP_WEB_PORT"],
        "WEB_CONCURRENCY": ["web_processes"],
    }


def test_a_wrong_value_of_the_platform_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("PORT", "many")
    (problem,) = problems(None)
    assert problem.startswith("PORT: ")


def test_only_workers_need_the_file_of_own_pushes(setenv, apple, tmp_path):
    setenv(**apple, STREAM_API_KEY="key", STREAM_API_SECRET="secret", PUSHES_FILE=tmp_path / "pushes.toml")
    load("web")
    assert [problem for problem in problems("worker") if "BELLHOP_PUSHES_FILE" in problem]
    (tmp_path / "pushes.toml").write_text('[[pushes]]\nkind = "ring"\nprovider = "apns"\napp = "com.exampel"\n')
    assert problems("worker") == [
        f"{tmp_path}/pushes.toml, line 4, app: there is no apns app com.exampel; available are com.example"
    ]


KEY_1 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
WEB_PUSH = {"WEB_PUSH_APP": "app.example.com", "WEB_PUSH_PRIVATE_KEY": KEY_1, "WEB_PUSH_SUBJECT": "mailto:ops@a.org"}


def test_a_web_app_alone_is_work_for_a_worker(setenv):
    setenv(**WEB_PUSH, WEB_PUSH_HOSTS="push.example.org, *.up.example.org:8443")
    settings = load("worker")
    assert settings.push_apps == {("webpush", "app.example.com")}
    assert settings.web_push_apps[0].public_key == PUBLIC_KEY_OF_1
    assert settings.web_push_services[-2:] == ("push.example.org", "*.up.example.org:8443")
    assert KEY_1 not in repr(settings)


def test_a_pair_of_the_command_is_taken_as_it_is_printed(monkeypatch):
    printed = CliRunner().invoke(main, ["web-push", "keys"]).output
    for line in printed.splitlines():
        monkeypatch.setenv(*line.split("="))
    monkeypatch.setenv("BELLHOP_WEB_PUSH_APP", "web")
    monkeypatch.setenv("BELLHOP_WEB_PUSH_SUBJECT", "https://example.org/contact")
    assert load("worker").web_push_apps[0].public_key == os.environ["BELLHOP_WEB_PUSH_PUBLIC_KEY"]


def test_a_web_process_needs_no_private_key_a_worker_does(setenv):
    setenv(STREAM_API_KEY="key", STREAM_API_SECRET="s", WEB_PUSH_APP="web", WEB_PUSH_PUBLIC_KEY=PUBLIC_KEY_OF_1)
    assert load("web").push_apps == {("webpush", "web")}
    assert problems("worker") == [
        "the web app web has no private key: set BELLHOP_WEB_PUSH_PRIVATE_KEY and BELLHOP_WEB_PUSH_SUBJECT"
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"WEB_PUSH_PRIVATE_KEY": ""}, "BELLHOP_WEB_PUSH_PUBLIC_KEY or BELLHOP_WEB_PUSH_PRIVATE_KEY must be set"),
        ({"WEB_PUSH_PRIVATE_KEY": KEY_1[1:]}, "PRIVATE_KEY must be one that `bellhop web-push keys` makes"),
        ({"WEB_PUSH_PRIVATE_KEY": "A" * 43}, "PRIVATE_KEY must be one that"),
        ({"WEB_PUSH_PRIVATE_KEY": "_" * 43}, "PRIVATE_KEY must be one that"),
        ({"WEB_PUSH_PUBLIC_KEY": "A" * 87}, "PUBLIC_KEY must be one that"),
        ({"WEB_PUSH_PRIVATE_KEY": "B" * 43, "WEB_PUSH_PUBLIC_KEY": PUBLIC_KEY_OF_1}, "does not belong to"),
        ({"WEB_PUSH_SUBJECT": "ops@a.org"}, "BELLHOP_WEB_PUSH_SUBJECT must be mailto: with an e-mail address"),
        ({"WEB_PUSH_APP": ""}, "BELLHOP_WEB_PUSH_APP: is not set"),
        ({"WEB_PUSH_HOSTS": "https://push.example.org"}, "must be the host of a push service"),
        ({"WEB_PUSH_HOSTS": "*"}, "must be the host of a push service"),
        ({"WEB_PUSH_ALLOWED_NETWORKS": "10.0.0.1/8"}, "must be an IP address, or a network"),
    ],
)
def test_a_mistake_about_web_push_is_named(setenv, changes, sentence):
    setenv(**WEB_PUSH | changes)
    (problem,) = problems("worker")
    assert sentence in problem
    assert KEY_1 not in problem


@pytest.mark.parametrize(
    "origin", ["*", "https://app.example.com/", "app.example.com", "https://App.example.com", "null"]
)
def test_an_origin_is_a_scheme_and_a_host(setenv, origin):
    setenv(WEB_ORIGINS=f"https://app.example.com,{origin}", STREAM_API_KEY="key", STREAM_API_SECRET="s")
    (problem,) = problems("web")
    assert "must be an origin, such as https://app.example.com" in problem
