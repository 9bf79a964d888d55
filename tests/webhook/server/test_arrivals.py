"""Which request is dropped if too many bodies, or too many bytes, are arriving."""

from webhook.server.arrivals import Arrivals, RequestLimits
from webhook.server.http_request import HttpRequest


class Sender:
    """A connection. The test sends its body in pieces."""

    def __init__(self, arrivals, client="192.0.2.1"):
        self.arrivals, self.client, self.request, self.dropped = arrivals, client, HttpRequest(), False
        arrivals.begin(self.request, self)

    def client_of(self, request):
        return self.client

    def drop(self):
        self.dropped = True

    def send(self, chunk):
        self.arrivals.add(self.request, chunk)

    def complete(self):
        self.arrivals.complete(self.request)

    def answered(self):
        self.arrivals.end(self.request)


def arrivals(most=10, most_bytes=1000):
    return Arrivals(RequestLimits(100, 60.0, 100, 60.0, most, most_bytes, 10))


def test_a_body_in_pieces_is_whole():
    sender = Sender(arrivals())
    sender.send(b"one")
    sender.send(b"two")
    sender.complete()
    assert (sender.request.body, sender.dropped) == (b"onetwo", False)


def test_with_too_many_on_their_way_the_first_goes():
    here = arrivals(most=2)
    senders = [Sender(here) for _ in range(3)]
    assert [sender.dropped for sender in senders] == [True, False, False]


def test_with_too_many_bytes_the_oldest_bodies_are_dropped():
    here = arrivals(most_bytes=200)
    senders = [Sender(here) for _ in range(3)]
    for sender in senders:
        sender.send(b"x" * 80)
    assert [sender.dropped for sender in senders] == [True, False, False]
    assert senders[0].request.body == b""


def test_with_too_many_bytes_the_largest_client_loses_bodies():
    here = arrivals(most=100, most_bytes=1_000)
    honest = Sender(here, "192.0.2.1")
    honest.send(b"x" * 80)
    greedy = [Sender(here, "192.0.2.2") for _ in range(20)]
    for sender in greedy:
        sender.send(b"x" * 90)
    assert not honest.dropped
    assert [sender.dropped for sender in greedy] == [True] * 10 + [False] * 10


def test_an_inflated_body_counts_until_it_is_answered():
    here = arrivals(most_bytes=200)
    inflated, other = Sender(here), Sender(here, "192.0.2.2")
    inflated.send(b"x" * 10)
    inflated.complete()
    other.send(b"x" * 80)
    here.grow(inflated.request, 150)
    assert other.dropped
    inflated.answered()
    here.grow(inflated.request, 150)
    again = Sender(here)
    again.send(b"x" * 190)
    assert not again.dropped, "a client that has left holds nothing"


def test_bodies_that_are_being_answered_count_and_stay():
    here = arrivals(most_bytes=200)
    answered = [Sender(here) for _ in range(2)]
    for sender in answered:
        sender.send(b"x" * 90)
        sender.complete()
    late = Sender(here)
    late.send(b"x" * 80)
    assert late.dropped and not any(sender.dropped for sender in answered)
    for sender in answered:
        sender.answered()
    again = Sender(here)
    again.send(b"x" * 80)
    assert not again.dropped, "what has been answered counts no longer"
