"""A server that does not pass a chunked body on, as uWSGI: Stream must post the webhook again."""

import pytest

from tests.factories import web_settings
from webhook.app import create_app


@pytest.mark.parametrize(("terminated", "status"), [(False, 503), (True, 401)])
def test_a_chunked_body_that_is_not_there_is_asked_for_again(redis_url, terminated, status):
    client = create_app(web_settings(redis_url)).test_client()
    headers = {"X-Signature": "0" * 64, "X-Api-Key": "key", "Transfer-Encoding": "chunked"}
    overrides = {"wsgi.input_terminated": terminated}
    answer = client.post("/webhooks/stream", headers=headers, environ_overrides=overrides)
    assert answer.status_code == status
    assert ("gave it no body of this chunked request" in answer.json["error"]) == (status == 503)
