"""`make audit` fails for a known hole, and says loudly when nobody could be asked. A stand-in speaks OSV's language."""

import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bellhop.sandbox.child_process import free_port

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "audit" / "bin" / "python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make audit` has not installed pip-audit yet")

HOLE = {
    "id": "PYSEC-0000-1",
    "summary": "Lets anybody in",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    holes = ()
    slow = False

    def do_POST(self):
        package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        if self.slow:
            time.sleep(60)
        body = json.dumps({"vulns": [HOLE]} if package in self.holes else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def audit(request, tmp_path):
    """Runs the audit against a stand-in for OSV; PyPI is out of reach."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisOsv", (Osv,), getattr(request, "param", {})))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(*options, port=server.server_port):
        nowhere = f"http://127.0.0.1:{free_port()}"
        environment = os.environ | {
            "PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{port}/v1/query",
            "HTTPS_PROXY": nowhere,
            "https_proxy": nowhere,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "XDG_CACHE_HOME": str(tmp_path),
            "HOME": str(tmp_path),
        }
        command = [PYTHON, ROOT / ".ci" / "audit.py", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    yield run
    server.shutdown()
    server.server_close()


def test_nothing_known_is_a_success(audit):
    asked = audit()
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "audit: no known hole(s) in 1" in asked.stdout
    assert "NOT AUDITED" not in asked.stdout


@pytest.mark.parametrize("audit", [{"holes": ["flask"]}], indirect=True)
def test_a_vulnerability_fails_where_an_outage_does_not(audit):
    asked = audit("--unless-unreachable")
    assert asked.returncode == 1, asked.stdout + asked.stderr
    assert "HOLE: flask 3." in asked.stdout
    assert "PYSEC-0000-1, fixed in 99.1" in asked.stdout


def test_an_outage_of_the_service_is_shown_and_may_fail(audit):
    nowhere = free_port()
    for options, status in ([], 1), (["--unless-unreachable"], 0):
        asked = audit(*options, port=nowhere)
        assert asked.returncode == status, asked.stdout + asked.stderr
        assert "NOT AUDITED: no advisory service" in asked.stdout


@pytest.mark.parametrize("audit", [{"slow": True}], indirect=True)
def test_a_service_that_hangs_does_not_hold_up(audit):
    began = time.monotonic()
    asked = audit("--unless-unreachable", "--seconds", "2")
    assert (asked.returncode, time.monotonic() - began < 50) == (0, True), asked.stdout + asked.stderr
    assert "osv: no answer within 2 s" in asked.stdout
