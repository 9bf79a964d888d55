"""Runs a command of Bellhop as an operator does."""

import asyncio
import subprocess
import sys


async def run_bellhop(installation, *arguments, **settings):
    """Run a command to its end, in the environment of an installation with further settings."""
    environment = installation.environment() | {f"BELLHOP_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "bellhop", *arguments]
    return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)


async def bellhop(installation, *arguments, **settings):
    """Run a command in the same way; returns its exit status and what it printed."""
    done = await run_bellhop(installation, *arguments, **settings)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr
