"""`bellhop scripts` names what MONITOR shows."""

from click.testing import CliRunner

from bellhop.cli import main
from bellhop.store.scripts import names, source


def test_redis_knows_each_script_by_the_sha_that_is_listed(redis_client):
    printed = CliRunner().invoke(main, ["scripts"], catch_exceptions=False).output
    listed = dict(reversed(line.split()) for line in printed.splitlines())
    assert listed == {name: redis_client.script_load(source(name)) for name in names()}
