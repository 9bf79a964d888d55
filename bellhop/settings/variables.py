"""The names of environment variables. Pure."""

PREFIX = "BELLHOP_"
CONFIG = PREFIX + "CONFIG"
"""The variable that names the TOML file."""
SECRETS_DIR = PREFIX + "SECRETS_DIR"
"""The variable that names the folder of secret files."""


def variable(setting: str) -> str:
    """Return the environment variable of a setting: "redis_url" gives "BELLHOP_REDIS_URL"."""
    return PREFIX + setting.upper()
