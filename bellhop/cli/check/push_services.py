"""`bellhop check`: Web Push. Does the key pair sign, and can each push service be reached? Nothing is sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from bellhop.cli.check.finding import Finding, Level
from bellhop.clock import Seconds
from bellhop.domain.outcomes import ADVICE_BY_REASON, NO_CONNECTION, NOT_TRUSTED
from bellhop.public_address import is_public, parse_networks
from bellhop.settings import Settings, WebPushApp

TIMEOUT_S = Seconds(10.0)
ONE_OF = {"*.push.apple.com": "web.push.apple.com", "*.notify.windows.com": "wns2-by3p.notify.windows.com"}
"""A host of each known push service that has several."""
WHOSE = {
    "fcm.googleapis.com": "Chrome",
    "*.push.apple.com": "Safari",
    "updates.push.services.mozilla.com": "Firefox",
    "*.notify.windows.com": "Edge",
    "jmt17.google.com": "Debian's Chromium",
}


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check the key pairs, and open a TLS connection to each push service."""
    if not settings.web_push_apps:
        return
    for app in settings.web_push_apps:
        yield _key_pair(app)
    tried = [service for service in settings.web_push_services if not service.startswith("*.") or service in ONE_OF]
    results = await asyncio.gather(*(_fault(ONE_OF.get(service, service), settings) for service in tried))
    for finding in _of_services(dict(zip(tried, results, strict=True))):
        yield finding


def _key_pair(app: WebPushApp) -> Finding:
    from worker.providers.web_push.vapid import VapidHeaders  # noqa: PLC0415 - see tests/test_architecture.py

    subject, secret = f"Web Push {app.app}", app.private_key.get_secret_value()
    if not secret:
        return Finding(Level.WARNING, subject, "there is no private key in these settings: workers need it")
    VapidHeaders(secret, app.public_key, app.subject).of("https://push.example.org/")
    return Finding(Level.OK, subject, f"the key pair signs; browsers subscribe with {app.public_key[:12]}…")


def _of_services(faults: dict[str, str]) -> Iterator[Finding]:
    for service, fault in faults.items():
        if fault:
            browsers = f"browsers ({WHOSE[service]})" if service in WHOSE else "devices"
            yield Finding(Level.WARNING, f"Web Push {service}", f"{fault}. Its {browsers} do not ring")
    if reached := [service for service, fault in faults.items() if not fault]:
        yield Finding(Level.OK, "Web Push", f"can be reached: {', '.join(reached)}")


async def _fault(service: str, settings: Settings) -> str:
    """Return why there is no connection to a push service; empty if there is one."""
    host, _, port = service.partition(":")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            address = await _address_of(host, int(port or 443), settings)
    except ssl.SSLCertVerificationError:
        return NOT_TRUSTED
    except (OSError, TimeoutError):
        return NO_CONNECTION
    networks = parse_networks(tuple(settings.web_push_allowed_networks))
    return "" if settings.web_push_proxy or is_public(address, networks) else ADVICE_BY_REASON["ADDRESS_NOT_PUBLIC"]


async def _address_of(host: str, port: int, settings: Settings) -> str:
    """Open a TLS connection, close it, and return the address that it led to. Raises OSError."""
    from worker.providers.client_tls import client_tls  # noqa: PLC0415
    from worker.providers.http2.proxy_tunnel import open_tunnel  # noqa: PLC0415 - see tests/test_architecture.py

    proxy = urlsplit(settings.web_push_proxy)
    target = {"sock": await open_tunnel(proxy, host, port)} if proxy.hostname else {"host": host, "port": port}
    tls = client_tls(settings.web_push_ca_file)
    _, writer = await asyncio.open_connection(**target, ssl=tls, server_hostname=host)
    address = str(writer.get_extra_info("peername")[0])
    writer.close()
    return address
