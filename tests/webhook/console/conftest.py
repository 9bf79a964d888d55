"""A whole installation with a console, a dozen varied calls that it has seen, and a real browser to look at them."""

import pytest
import pytest_asyncio

from bellhop.sandbox.installation import Installation
from tests.factories import web_settings
from tests.webhook.console.played_calls import PASSWORD, log_in, play, token, window
from webhook.app import create_app


@pytest.fixture
def browser(redis_url):
    """Flask's client, logged in: for what is in a page, without a real browser."""
    return logged_in(redis_url)


def logged_in(redis_url, **settings):
    """Make such a client, with these settings of the web process."""
    client = create_app(web_settings(redis_url, console_password=PASSWORD, **settings)).test_client()
    client.post("/console/login", data={"token": token(client.get("/console/login")), "password": PASSWORD})
    return client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(tmp_path_factory):
    settings = {"CONSOLE_PASSWORD": PASSWORD, "MISSED_GRACE_S": "30", "API_PAGE": "true"}
    async with Installation(tmp_path_factory.mktemp("console"), settings) as installation:
        installation.calls = await play(installation)
        yield installation


@pytest_asyncio.fixture(loop_scope="session")
async def logged_out_page(chromium, installation):
    """A window of somebody who is not logged in."""
    async with window(chromium, installation) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def page(logged_out_page):
    """A window of somebody who is."""
    await log_in(logged_out_page)
    await logged_out_page.get_by_role("heading", name="Latest calls").wait_for()
    return logged_out_page
