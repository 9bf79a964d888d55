"""The log's writer: in order, without waiting, within limits."""

import os
import select
import subprocess
import sys
import time

import pytest
from structlog.testing import capture_logs

from bellhop.telemetry import background_writer
from bellhop.telemetry.background_writer import BackgroundWriter


class Pipe:
    """The writing end of a pipe."""

    def __init__(self):
        self.reads, self.writes = os.pipe()

    def fileno(self):
        return self.writes

    def isatty(self):
        return False

    def read_until(self, text):
        said = b""
        while text not in said:
            said += os.read(self.reads, 1_000_000)
        return said


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    os.close(pipe.reads)
    os.close(pipe.writes)


def test_lines_are_written_in_order(pipe):
    writer = BackgroundWriter(pipe)
    for number in range(1000):
        writer.write(f"{number}\n")
    assert pipe.read_until(b"999\n").split() == [b"%d" % number for number in range(1000)]


def test_while_nobody_reads_nobody_waits_and_lines_are_counted(pipe, monkeypatch):
    monkeypatch.setattr(background_writer, "MOST_CHARACTERS", 200_000)
    writer = BackgroundWriter(pipe)
    line = "x" * 999 + "\n"
    began = time.monotonic()
    for _ in range(10):  # the pipe takes 64 KB; what waits is bounded
        for _ in range(100):
            writer.write(line)
        time.sleep(2 * background_writer.GATHER_S)
    assert time.monotonic() - began < 10
    said = b""
    with capture_logs() as logs:
        while not logs or said.count(b"\n") < 1000 - logs[0]["lines"]:
            if select.select([pipe.reads], [], [], 0.01)[0]:
                said += os.read(pipe.reads, 1_000_000)
    assert (logs[0]["event"], logs[0]["lines"] > 0) == ("log_lines_dropped", True)


def test_lines_that_could_not_be_written_come_with_the_next(pipe):
    """The log is a pipe that does not block, and its reader is slow: the kernel takes a part, then answers EAGAIN."""
    os.set_blocking(pipe.writes, False)
    writer = BackgroundWriter(pipe)
    lines = [b"%05d" % number + b"x" * 994 + b"\n" for number in range(200)]
    for line in lines:
        writer.write(line.decode())
    time.sleep(3 * background_writer.GATHER_S)
    said = b""
    while not said.endswith(b"last\n"):
        if select.select([pipe.reads], [], [], 0.05)[0]:
            said += os.read(pipe.reads, 1_000_000)
        elif not said.endswith(b"last\n"):
            writer.write("next\n" if len(said) < 150_000 else "last\n")
    kept = said.splitlines(keepends=True)
    assert [line for line in kept if line not in (b"next\n", b"last\n")] == lines


def test_the_last_lines_are_written_at_the_end():
    code = (
        "import sys; from bellhop.telemetry.background_writer import BackgroundWriter as W; W(sys.stderr).write('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "end"


def test_a_logger_of_before_the_fork_writes_there_too():
    code = (
        "import io, sys, structlog; from bellhop.telemetry import logs; logs.configure('json', 'info');"
        "log = structlog.get_logger(); log.info('before'); sys.stderr = io.StringIO(); log.info('after');"
        "print(sys.stderr.getvalue())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("before" in done.stderr, "after" in done.stdout, "after" in done.stderr) == (True, True, False)
