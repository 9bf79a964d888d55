"""A stand-in for the desktop: it shows the notifications of browsers, and presses their buttons.

On Linux, browsers send notifications to the owner of org.freedesktop.Notifications on D-Bus, with a window or without.
For the browser, the signal of a pressed button is a real click.
"""

import asyncio
import subprocess
from pathlib import Path
from typing import NamedTuple

from jeepney import DBusAddress, HeaderFields, MessageType, message_bus, new_method_return, new_signal
from jeepney.io.asyncio import open_dbus_connection

from bellhop.sandbox.child_process import end_with_parent

NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
BUS = """<busconfig>
  <type>session</type>
  <listen>unix:path={}/bus</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"""
"""A bus that starts no services: a browser would wait for those that cannot start here."""
CLOSED_BY_USER, CLOSED_BY_CALL = 2, 3
ANSWERS = {
    "GetCapabilities": ("as", (["actions", "body", "persistence"],)),
    "GetServerInformation": ("ssss", ("desktop", "tests", "1", "1.2")),
}
"""The answers that are always the same, with their signatures."""


class Notification(NamedTuple):
    """What a user reads, and the keys of the buttons by their labels."""

    title: str
    body: str
    buttons: dict[str, str]


class Desktop:
    """One user's desktop with a D-Bus of its own (`async with`). `shown` is what is on the screen, by id."""

    def __init__(self, folder: Path):
        self.folder, self.address = folder, f"unix:path={folder}/bus"
        self.shown: dict[int, Notification] = {}
        self.history: list[str] = []
        """All titles so far."""
        self._last_id = 0
        self._daemon = None
        self._serving = None

    async def __aenter__(self):
        config = self.folder / "bus.conf"
        config.write_text(BUS.format(self.folder))
        command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
        self._daemon = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes only one system call
        )
        await asyncio.to_thread(self._daemon.stdout.readline)  # it is written when the daemon listens
        self._bus = await open_dbus_connection(self.address)
        await self._bus.send(message_bus.RequestName(NAME))
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_):
        self._serving.cancel()
        await self._bus.close()
        self._daemon.terminate()
        self._daemon.communicate()

    def titles(self):
        return [notification.title for _, notification in sorted(self.shown.items())]

    async def press(self, label):
        """Press the button on the newest notification that has it; the notification closes."""
        number = max(number for number, notification in self.shown.items() if label in notification.buttons)
        await self._signal("ActionInvoked", "us", number, self.shown[number].buttons[label])
        await self._close(number, CLOSED_BY_USER)

    async def dismiss(self):
        """Close the newest notification, as its user does."""
        await self._close(max(self.shown), CLOSED_BY_USER)

    async def _close(self, number, reason):
        if self.shown.pop(number, None) is not None:
            await self._signal("NotificationClosed", "uu", number, reason)

    async def _signal(self, signal, signature, *values):
        await self._bus.send(new_signal(DBusAddress(PATH, NAME, NAME), signal, signature, values))

    async def _serve(self):
        while True:
            message = await self._bus.receive()
            if message.header.message_type is MessageType.method_call:
                member = message.header.fields.get(HeaderFields.member)
                signature, values = await self._answer(member, message.body)
                await self._bus.send(new_method_return(message, signature, values))

    async def _answer(self, member, values):
        if member == "Notify":
            return "u", (self._show(*values),)
        if member == "CloseNotification":
            await self._close(values[0], CLOSED_BY_CALL)
        return ANSWERS.get(member, ("", ()))

    def _show(self, _app, replaces, _icon, title, body, actions, _hints, _expires):
        if replaces in self.shown:
            number = replaces
        else:
            number = self._last_id = self._last_id + 1
        self.history.append(title)
        self.shown[number] = Notification(title, body, dict(zip(actions[1::2], actions[::2], strict=True)))
        return number
