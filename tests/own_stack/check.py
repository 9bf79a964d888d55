"""`make own-stack`: does Bellhop work with the tools that a team may already have? (docs/own-stack.md)

    .venv/bin/python tests/own_stack/check.py [FOLDER]

It installs the tools into FOLDER (a temporary one by default), starts a whole Bellhop, and tries each tool on it. It
needs a package index, and a C compiler for uWSGI.
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.stream_hooks import signed_headers

ROOT = Path(__file__).parents[2]
DASHBOARDS = ["rq-dashboard", "six", "rq-exporter"]  # rq-dashboard 0.9.0 needs six and does not say so
SERVERS = ["gunicorn", "waitress", "uwsgi"]
PATIENCE_S = 60


def run(*command, **environment):
    done = subprocess.run(
        [*map(str, command)], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def environment_of(folder, *packages):
    """Make a virtual environment with these packages; returns the folder of its commands."""
    commands = folder / "bin"
    if not commands.exists():
        run(sys.executable, "-m", "venv", folder)
    run(commands / "pip", "install", "--quiet", *packages)
    return commands


@contextmanager
def serving(*command, **environment):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*map(str, command)], env=os.environ | environment, **quiet)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def page(url):
    """Read a page as soon as a server answers there."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < give_up, url
            time.sleep(0.2)


def post(port, *, chunked):
    """Post a signed webhook; returns the status of the answer."""
    body = json.dumps(SampleCall().updated()).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = signed_headers(body, API_KEY, SECRET, "")
    connection.request("POST", "/webhooks/stream", iter([body]) if chunked else body, headers, encode_chunked=chunked)
    return connection.getresponse().status


def try_installers(wheel, folder):
    tools = environment_of(folder / "installers", "uv", "pipx")
    for name, command in {"uv": "uv tool install", "pipx": "pipx install"}.items():
        homes = {"UV_TOOL_DIR": "uv", "UV_TOOL_BIN_DIR": "uv-bin", "PIPX_HOME": "pipx", "PIPX_BIN_DIR": "pipx-bin"}
        places = {variable: str(folder / place) for variable, place in homes.items()}
        program, *words = command.split()
        run(tools / program, *words, "--force", wheel, **places)
        version = run(folder / f"{name}-bin" / "bellhop", "--version")
        print(f"{command}: {version.strip()}")


def try_rq_tools(here, folder):
    info = run(ROOT / ".venv" / "bin" / "rq", "info", "--url", here.redis.url)
    assert "bellhop-rings" in info, info
    assert "1 workers" in info, info
    print("rq info: names the queues and the worker")
    tools = environment_of(folder / "dashboards", *DASHBOARDS)
    port = free_port()
    with serving(tools / "rq-dashboard", "--bind", "127.0.0.1", "--port", port, "--redis-url", here.redis.url):
        queues = page(f"http://127.0.0.1:{port}/0/data/queues.json")
        assert "bellhop-rings" in queues, queues
        workers = json.loads(page(f"http://127.0.0.1:{port}/0/data/workers.json"))["workers"]
        assert workers, "the worker is listed"
    print("rq-dashboard: shows the queues and the worker")
    port = free_port()
    with serving(tools / "rq-exporter", "--host", "127.0.0.1", "-p", port, "--redis-url", here.redis.url):
        metrics = page(f"http://127.0.0.1:{port}/metrics")
        assert 'queue="bellhop-rings"' in metrics, metrics
    print("rq-exporter: counts the jobs of the queues")


def try_servers(here, wheel, folder):
    tools = environment_of(folder / "servers", wheel, *SERVERS)
    for name, chunked_status in {"gunicorn": 200, "waitress-serve": 200, "uwsgi": 503}.items():
        port = free_port()
        address = f"127.0.0.1:{port}"
        options = {
            "gunicorn": ["-k", "gthread", "-b", address, "webhook.wsgi:app"],
            "waitress-serve": [f"--listen={address}", "webhook.wsgi:app"],
            "uwsgi": [
                *("--http-socket", address, "--module", "webhook.wsgi:app"),
                *("--enable-threads", "--die-on-term", "--virtualenv", tools.parent),
            ],
        }
        with serving(tools / name, *options[name], **here.environment()):
            page(f"http://{address}/healthz")
            assert post(port, chunked=False) == 200
            assert (status := post(port, chunked=True)) == chunked_status, status
        print(f"{name}: takes a webhook, and answers a chunked one with {chunked_status}")


async def check(folder):
    wheels = folder / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    (folder / "bellhop").mkdir(exist_ok=True)
    async with Installation(folder / "bellhop") as here:
        await here.register("ben-osei", Provider.FCM, Kind.ALERT, "a-token")
        assert (await here.stream.post(SampleCall(members=("ben-osei",)).ring())).status == 200
        await asyncio.to_thread(try_rq_tools, here, folder)
        await asyncio.to_thread(try_servers, here, wheel, folder)
    try_installers(wheel, folder)


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(check(Path(sys.argv[1]).resolve()))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asyncio.run(check(Path(temporary)))
