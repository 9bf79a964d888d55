"""A Bellhop whose processes log in to Redis as the users that docs/redis.md gives."""

import re
from pathlib import Path

from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from tests.e2e.bellhop_command import run_bellhop

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"


class Guarded(Installation):
    """Each process logs in under its own name; with an `authority`, over TLS."""

    def __init__(self, folder, settings=None, authority=None):
        super().__init__(folder, settings)
        acl = folder / "users.acl"
        [rules] = re.findall(r"```acl\n(.*?)```", PAGE.read_text(), re.DOTALL)
        acl.write_text(f"user default on nopass ~* &* +@all\n{rules}")
        self.redis = RedisServer(folder, "--aclfile", str(acl), authority=authority)

    def start(self, command, name=""):
        self.log_in(command)
        super().start(command, name)

    def log_in(self, user):
        """Have what is started from now on log in as `user`."""
        self.settings["REDIS_URL"] = self.url_of(user)

    def url_of(self, user):
        scheme, _, place = self.redis.url.partition("?")[0].partition("://")
        return f"{scheme}://{user}:{user}-password@{place}"

    async def bellhop(self, *arguments, **settings):
        """Run a command to its end."""
        return await run_bellhop(self, *arguments, **settings)
