"""What a login to the console may see and do: a role for each Stream app. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from bellhop.settings.console import ConsoleGroup, ConsoleRight, ConsoleRole

MAX_NAME = 100
"""Characters of a name that a proxy gives."""


class LoginWay(StrEnum):
    """How a person has logged in."""

    PASSWORD = "password"  # noqa: S105 - a word
    PROXY = "proxy"


class Login(NamedTuple):
    """Who uses the console, and what that login may see and do."""

    name: str
    way: LoginWay
    roles: Mapping[str, ConsoleRole]
    """By Stream app (tenant), in the order of the settings. It may not see other apps."""
    sees_all: bool
    """Whether it may see all Stream apps, and so what concerns the whole installation."""

    @property
    def tenants(self) -> list[str]:
        """The Stream apps that it may see."""
        return list(self.roles)

    @property
    def operates_some(self) -> bool:
        """Whether it may change things of at least one Stream app."""
        return ConsoleRole.OPERATOR in self.roles.values()

    @property
    def operates_all(self) -> bool:
        """Whether it may change what concerns the whole installation."""
        return self.sees_all and set(self.roles.values()) == {ConsoleRole.OPERATOR}

    def operates(self, tenant: str) -> bool:
        """Return whether it may change things of this Stream app."""
        return self.roles.get(tenant) is ConsoleRole.OPERATOR

    @property
    def role(self) -> str:
        """The role for people to read."""
        if self.operates_some and not all(map(self.operates, self.roles)):
            return "operator of some apps"
        return ConsoleRole.OPERATOR if self.operates_some else ConsoleRole.READER


def new_login(name: str, way: LoginWay, rights: Sequence[ConsoleRight], tenants: Sequence[str]) -> Login:
    """Return a login with these rights. If several apply to a Stream app, the higher role counts."""
    roles: dict[str, ConsoleRole] = {}
    for tenant in tenants:
        given = {right.role for right in rights if right.tenants is None or tenant in right.tenants}
        if given:
            roles[tenant] = ConsoleRole.OPERATOR if ConsoleRole.OPERATOR in given else ConsoleRole.READER
    return Login(name, way, roles, len(roles) == len(tenants))


FULL_RIGHT = ConsoleRight(role=ConsoleRole.OPERATOR)
"""The right of BELLHOP_CONSOLE_PASSWORD, and of all users of a proxy if Bellhop does not read their groups."""


def rights_of_groups(header: str, groups: Sequence[ConsoleGroup]) -> list[ConsoleGroup]:
    """Return the rights of the groups that a proxy lists, separated by commas."""
    named = {name.strip() for name in header.split(",")}
    return [group for group in groups if group.group in named]


def proxy_name(header: str) -> str:
    """Return the user that a proxy names; empty if the header has no usable name.

    A comma means two headers: the client sent one, and the proxy added its own.
    """
    name = header.strip()
    return name[:MAX_NAME] if name.isprintable() and "," not in name else ""
