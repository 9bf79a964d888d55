"""What several end-to-end tests run against. Those that need other settings have an `installation` of their own."""

import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("installation")) as installation:
        await installation.register("ben", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone")
        await installation.register("ben", Provider.FCM, Kind.ALERT, "ben:pixel", "Ben's Pixel")
        yield installation
