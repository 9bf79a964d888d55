"""`bellhop check` of Web Push: the key pair, a TLS connection to each push service, and no message."""

import pytest

from bellhop.cli.check import devices, push_services
from bellhop.cli.check.finding import Level
from bellhop.sandbox.push_service import PushServiceStandIn
from bellhop.sandbox.tls import Authority
from bellhop.settings import Settings
from bellhop.vapid_keys import new_key_pair
from tests.factories import a_browser, a_device


@pytest.fixture
def settings(monkeypatch):
    def make(**changes):
        monkeypatch.setattr("bellhop.settings.web_push.KNOWN_SERVICES", ("*.up.example.org",))
        app = {"app": "web", "private_key": new_key_pair().private, "subject": "mailto:a@b.org"}
        return Settings(**{"redis_url": "redis://x", "web_push_apps": [app]} | changes)

    return make


async def found(settings):
    return [finding async for finding in push_services.findings(settings)]


async def test_the_key_pair_and_each_push_service_are_tried(settings, tmp_path):
    local = {"web_push_allowed_networks": ["127.0.0.1", "::1"]}
    async with PushServiceStandIn(Authority(tmp_path)) as service:
        hosts = {"web_push_hosts": [service.host, "127.0.0.1:1"], "web_push_ca_file": service.ca_file}
        key, away, reached = await found(settings(**hosts, **local))
        assert (key.level, key.subject) == (Level.OK, "Web Push web")
        assert key.sentence.startswith("the key pair signs; browsers subscribe with B")
        assert (away.level, away.subject) == (Level.WARNING, "Web Push 127.0.0.1:1")
        assert away.sentence.startswith("no connection")
        assert (reached.level, reached.sentence) == (Level.OK, f"can be reached: {service.host}")
        private = (await found(settings(**hosts)))[1]
        assert "leads to a private address" in private.sentence
        untrusted = (await found(settings(web_push_hosts=[service.host], **local)))[1]
        assert "certificate is not trusted" in untrusted.sentence
        assert not service.requests
        assert not service.received


async def test_without_a_web_app_nothing_is_tried(settings):
    assert await found(settings(web_push_apps=[])) == []


async def test_a_missing_private_key_is_a_warning(settings):
    apps = [{"app": "web", "public_key": new_key_pair().public}]
    (key,) = await found(settings(web_push_apps=apps))
    assert (key.level, "workers need it" in key.sentence) == (Level.WARNING, True)


def test_browsers_of_unknown_push_services_are_counted():
    users = {"ben": [a_browser(), a_browser(token="https://push.example.org/1"), a_device()]}
    (finding,) = devices._of_unknown_push_services(users, ["fcm.googleapis.com"])
    assert finding.sentence.startswith("1 device is at push services (push.example.org) to which Bellhop does not send")
    assert "BELLHOP_WEB_PUSH_HOSTS" in finding.sentence
