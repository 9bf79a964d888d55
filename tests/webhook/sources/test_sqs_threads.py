"""`bellhop sqs` has a connection to Redis for each of its threads."""

import threading

import pytest

from tests.factories import web_settings
from webhook.sources.amazon import sqs


@pytest.mark.parametrize("queues", [1, 5])
def test_every_thread_of_every_queue_has_a_connection(redis_url, queues):
    """Without one, redis-py raises an error that looks as if Redis were away."""
    apps = [
        {
            "tenant": f"app-{number}",
            "api_keys": [f"key-{number}"],
            "api_secrets": ["secret"],
            "sqs_queue_url": f"https://sqs.eu-west-1.amazonaws.com/123456789012/{number}",
        }
        for number in range(queues)
    ]
    settings = web_settings(redis_url, stream_api_key=[], stream_api_secret=[], stream_apps=apps)
    context, answers = sqs.context_of(settings), []
    all_wait = threading.Barrier(queues * sqs.THREADS_PER_QUEUE)

    def use_redis():
        all_wait.wait(10)
        try:
            answers.append(context.redis.blpop("nothing", timeout=0.3))
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=use_redis) for _ in range(all_wait.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [None] * len(threads)
