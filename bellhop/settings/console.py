"""Settings: who may use the console, and what each login may see and do (docs/console.md)."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from bellhop.settings.field_types import ListOf, LongSecret, Network, SettingsSection, TablesOf, repeated
from bellhop.settings.stream import unknown_tenants
from bellhop.settings.variables import variable

SHORTEST_PASSWORD = 12
CLIENT_HEADERS = frozenset({"host", "user-agent", "accept", "cookie", "authorization", "connection"})
"""Every browser sends these headers, so they do not prove a login."""
CONSOLE_PASSWORD = "console-password"  # noqa: S105 - a name
"""The name of everybody who logs in with BELLHOP_CONSOLE_PASSWORD."""


class ConsoleRole(StrEnum):
    """What a login to the console may do."""

    READER = "reader"
    """Look at everything of its Stream apps."""
    OPERATOR = "operator"
    """The same, and change things."""


def _console_password(password: SecretStr) -> SecretStr:
    if 0 < len(password.get_secret_value()) < SHORTEST_PASSWORD:
        raise ValueError(f"is too short: it must have at least {SHORTEST_PASSWORD} characters")
    return password


def _proxy_header(name: str) -> str:
    if name and (not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in CLIENT_HEADERS):
        raise ValueError("must be the name of a header that only your proxy sets, such as X-Forwarded-User")
    return name


def _login_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", name) or name == CONSOLE_PASSWORD:
        raise ValueError(f"must be 1 to 64 letters, digits and _ . @ -, and not {CONSOLE_PASSWORD}")
    return name


def _group_name(name: str) -> str:
    name = name.strip()
    if not name or "," in name or not name.isprintable():
        raise ValueError("must be the name of a group, without commas")
    return name


ConsolePassword = Annotated[SecretStr, AfterValidator(_console_password)]
ProxyHeader = Annotated[str, AfterValidator(_proxy_header)]


class ConsoleRight(BaseModel):
    """A role, and where it applies."""

    model_config = ConfigDict(extra="forbid")

    role: ConsoleRole = ConsoleRole.READER
    """reader or operator."""
    tenants: Annotated[ListOf[str], Field(min_length=1)] | None = None
    """The Stream apps; all, if it is not set."""


class ConsoleLogin(ConsoleRight):
    """A password for the console, and the right that it gives."""

    name: Annotated[str, AfterValidator(_login_name)]
    """Who logs in, for the pages and the log."""
    password: Annotated[SecretStr, Field(min_length=1), AfterValidator(_console_password)]


class ConsoleGroup(ConsoleRight):
    """A group that the proxy names, and the right that it gives."""

    group: Annotated[str, AfterValidator(_group_name)]


class ConsoleSettings(SettingsSection):
    """Who may use the console."""

    console_password: ConsolePassword = SecretStr("")
    """Password for the console at /console, at least 12 characters. A login with it may see and do everything there.
    The console is off if this, BELLHOP_CONSOLE_LOGINS and BELLHOP_CONSOLE_PROXY_HEADER are all empty."""
    console_logins: TablesOf[ConsoleLogin] = []
    """More passwords for the console, each with a name, a role and Stream apps: [[console_logins]] tables in the TOML
    file, or a JSON list in the variable (docs/console.md)."""
    console_idle_s: Annotated[int, Field(ge=60, le=43_200)] = 3_600
    """After how many seconds without a use a login to the console ends. Every login ends after 12 hours."""
    console_proxy_header: ProxyHeader = ""
    """Header in which your reverse proxy names the user it has logged in, such as X-Forwarded-User. That user may use
    the console. The proxy must remove the header from incoming requests."""
    console_groups_header: ProxyHeader = ""
    """Header in which your reverse proxy lists the user's groups, separated by commas, such as X-Forwarded-Groups.
    BELLHOP_CONSOLE_GROUPS then says what the user may do. Empty: every user of the proxy may see and do everything."""
    console_groups: TablesOf[ConsoleGroup] = []
    """The groups that may use the console, each with a role and Stream apps: [[console_groups]] tables in the TOML
    file, or a JSON list in the variable (docs/console.md)."""
    console_trusted_proxies: ListOf[Network] = ["127.0.0.1", "::1"]
    """Addresses or networks (10.0.0.0/8) of the proxies whose header is accepted; several separated by commas. Set it,
    or BELLHOP_CONSOLE_PROXY_SECRET, or both: from the next version on, the header counts only then."""
    console_proxy_secret: LongSecret = SecretStr("")
    """Secret that your proxy sends in the header X-Bellhop-Proxy-Secret with each request to the console, at least 16
    characters. If it is set, the user's header counts only together with it."""

    @field_validator("console_logins")
    @classmethod
    def _no_shared_login(cls, logins: list[ConsoleLogin]) -> list[ConsoleLogin]:
        if twice := repeated(login.name for login in logins):
            raise ValueError(f'two logins have the name "{twice[0]}": give each its own')
        if len({login.password.get_secret_value() for login in logins}) < len(logins):
            raise ValueError("two logins have the same password: give each its own, since it says who logs in")
        return logins

    @property
    def names_console_proxy(self) -> bool:
        """Whether the settings say by which address or secret the proxy is recognised."""
        return bool(self.console_proxy_secret.get_secret_value()) or "console_trusted_proxies" in self.model_fields_set

    @property
    def console_passwords(self) -> dict[str, SecretStr]:
        """The passwords of the console. The key says in which setting a password is."""
        own = {variable("console_password"): self.console_password} if self.console_password else {}
        logins = variable("console_logins")
        return own | {f'{logins}: the password of "{login.name}"': login.password for login in self.console_logins}

    @property
    def console(self) -> bool:
        """Whether there is a console."""
        return bool(self.console_passwords or self.console_proxy_header)


def unusable_rights(settings: ConsoleSettings, known_tenants: list[str]) -> Iterator[str]:
    """Yield a sentence for each right that contradicts another setting."""
    logins, groups, header = map(variable, ("console_logins", "console_groups", "console_groups_header"))
    named: list[tuple[str, ConsoleRight]] = [(f'{logins}: "{login.name}"', login) for login in settings.console_logins]
    named += [(f'{groups}: "{group.group}"', group) for group in settings.console_groups]
    for where, right in named:
        yield from unknown_tenants(where, right.tenants, known_tenants)
    own = settings.console_password.get_secret_value()
    if own and any(login.password.get_secret_value() == own for login in settings.console_logins):
        yield f"{logins}: a login has the password of {variable('console_password')}, which may see and do everything"
    if bool(settings.console_groups) != bool(settings.console_groups_header):
        yield f"{groups} and {header} need each other: set both, or neither"
    if settings.console_groups_header and not settings.console_proxy_header:
        yield f"{header} needs {variable('console_proxy_header')}, which names the user"
