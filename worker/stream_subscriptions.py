"""Which events Stream sends to Bellhop, read from the settings of each Stream app every few hours."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from bellhop.clock import Seconds
from bellhop.settings import StreamApp
from bellhop.stream_api import StreamApi, StreamRefused
from bellhop.stream_hooks import Hook, hooks_for_bellhop

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReadingTimes:
    """How often settings are read."""

    again_s: Seconds = Seconds(6 * 3600.0)
    after_failure_s: Seconds = Seconds(600.0)


class StreamSubscriptions:
    """The hooks of the Stream apps, as far as they are known."""

    def __init__(
        self, apis: Mapping[str, StreamApi], apps: Iterable[StreamApp], times: ReadingTimes | None = None
    ) -> None:
        """`apis`: by tenant."""
        self._apis, self._apps, self._times = apis, tuple(apps), times or ReadingTimes()
        self._hooks: dict[str, list[Hook]] = {}
        """By tenant. An app without a hook for Bellhop may send its events by a proxy. Their types are not known."""

    def may_send(self, tenant: str, event_type: str) -> bool:
        """Tell whether Stream may send events of this type. False only if the app's settings say that it does not."""
        hooks = self._hooks.get(tenant)
        return not hooks or any(hook.sends(event_type) for hook in hooks)

    async def keep_reading(self) -> None:
        """Read the settings of every app, again and again."""
        await asyncio.gather(*map(self._keep_reading, self._apps))

    async def _keep_reading(self, app: StreamApp) -> None:
        while True:
            again_s = await self._read(app)
            await asyncio.sleep(again_s)

    async def _read(self, app: StreamApp) -> Seconds:
        """Read the settings of an app once; returns when to read them again."""
        try:
            self._hooks[app.tenant] = await hooks_for_bellhop(self._apis[app.tenant], app)
        except StreamRefused as refused:
            self._hooks.pop(app.tenant, None)
            log.warning("stream_settings_not_read", tenant=app.tenant, reason=str(refused))
            return self._times.after_failure_s
        return self._times.again_s
