"""The address of `bellhop web`: a new version starts beside the old one, on the same port."""

import socket

import click
import pytest

from webhook.server.serve import _bind

HOST = "127.0.0.1"


def test_a_second_web_can_start_on_the_port_of_the_first():
    with _bind(HOST, 0) as first, _bind(HOST, first.getsockname()[1]) as second:
        assert first.getsockname() == second.getsockname()


def test_no_connection_waits_for_a_web_that_still_starts():
    with _bind(HOST, 0) as starting, pytest.raises(ConnectionRefusedError):
        socket.create_connection(starting.getsockname(), timeout=5)


def test_another_programs_port_is_reported():
    with socket.create_server((HOST, 0)) as other, pytest.raises(click.ClickException, match="is in use"):
        _bind(HOST, other.getsockname()[1])
