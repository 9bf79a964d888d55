"""A real browser without a window, with a profile of its own that may show notifications."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bellhop.sandbox.browser_site import BrowserSite
from bellhop.sandbox.child_process import end_with_parent

FIREFOX = ("firefox-esr", "firefox")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
"""The names of the programs on PATH."""
END_S = 10
FIREFOX_PREFERENCES = {
    "dom.push.testing.allowInsecureServerURL": True,
    "permissions.default.desktop-notification": 1,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "app.normandy.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.newtabpage.activity-stream.feeds.topsites": False,
    "browser.startup.page": 0,
    "browser.backup.enabled": False,
    "toolkit.telemetry.server": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
CHROMIUM_PREFERENCES = {"profile": {"default_content_setting_values": {"notifications": 1}}}
CHROMIUM_SWITCHES = (
    *(
        "--headless=new",
        "--no-first-run",
        "--disable-sync",
        "--disable-component-update",
        "--disable-gpu",
        "--password-store=basic",
    ),
    *("--ignore-certificate-errors", "--enable-features=SystemNotifications"),
)


class HeadlessBrowser:
    """Opens a page of `site` in a browser whose push service is the site's. `folder` is for this browser alone."""

    def __init__(self, program: str, folder: Path, site: BrowserSite, environment: Mapping[str, str]) -> None:
        self.program, self.folder, self.site = program, folder, site
        self.environment = dict(environment) | {"HOME": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None

    def open(self, page: str) -> None:
        """Start the browser with this page."""
        command = self._firefox() if Path(self.program).name in FIREFOX else self._chromium()
        with (self.folder / "browser.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, *command, page],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that `close` can end the processes that it starts
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes only one system call
            )

    def runs(self) -> bool:
        """Return whether the browser has started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def close(self) -> None:
        """End the browser, and its processes that still write to the profile."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _firefox(self) -> list[str]:
        preferences = FIREFOX_PREFERENCES | {
            "dom.push.serverURL": f"ws://127.0.0.1:{self.site.port}/mozilla",
            "alerts.useSystemBackend": "DBUS_SESSION_BUS_ADDRESS" in self.environment,
        }
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items())
        (self.folder / "user.js").write_text("".join(lines))
        return ["--headless", "--no-remote", "--profile", str(self.folder)]

    def _chromium(self) -> list[str]:
        profile = self.folder / "Default"
        profile.mkdir(exist_ok=True)
        (profile / "Preferences").write_text(json.dumps(CHROMIUM_PREFERENCES))
        google = f"{self.site.url}/google"
        return [
            *CHROMIUM_SWITCHES,
            *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # Chromium refuses to run as root with it
            f"--user-data-dir={self.folder}",
            f"--gcm-checkin-url={google}/check-in",
            f"--gcm-registration-url={google}/register",
            f"--gcm-mcs-endpoint=https://127.0.0.1:{self.site.google.port}",
        ]


def find(*programs: str) -> str | None:
    """Return the first of these programs that is on PATH."""
    return next(filter(None, map(shutil.which, programs)), None)
