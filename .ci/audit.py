"""`make audit`: asks OSV, else PyPI, for known holes in what the locks pin; run by the Python that has pip-audit.

pip-audit itself ends with 1 for a hole and for a service that it did not reach: here the two are told apart.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-audit.lock", "requirements-clients.lock")
"""The other locks are parts of the first."""
SERVICES = ("osv", "pypi")
ACCEPTED: dict[str, str] = {}
"""Holes that we live with: id -> why."""


class NoAnswerError(Exception):
    """The service did not tell of every package."""


def ask(service: str, seconds: float) -> list[dict[str, Any]]:
    """What a service knows of each package. Raises NoAnswerError when that is not all."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"]
    command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    for lock in LOCKS:
        command += ["--requirement", str(ROOT / lock)]
    for hole in ACCEPTED:
        command += ["--ignore-vuln", hole]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"no answer within {seconds:g} s") from None
    except json.JSONDecodeError:
        raise NoAnswerError((asked.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    unknown = [package["name"] for package in packages if "vulns" not in package]
    if unknown and not any(package.get("vulns") for package in packages):
        raise NoAnswerError(f"knows nothing of {len(unknown)} of {len(packages)} packages, {unknown[0]} first")
    return packages


def main() -> int:
    """Returns 0 when every package is without a known hole, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unless-unreachable", action="store_true", help="succeed when no service answers, but say so")
    parser.add_argument("--seconds", type=float, default=30, help="how long to wait for each of the services")
    arguments = parser.parse_args()
    silent = []
    for service in SERVICES:
        try:
            packages = ask(service, arguments.seconds)
        except NoAnswerError as error:
            silent.append(f"{service}: {error}")
            continue
        holes = [(package, hole) for package in packages for hole in package.get("vulns", [])]
        for package, hole in holes:
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            print(f"HOLE: {package['name']} {package['version']}: {hole['id']}, fixed in {fixed}")
        print(f"audit: {len(holes) or 'no'} known hole(s) in {len(packages)} packages, by {service}")
        return 1 if holes else 0
    print(
        "!" * 100, "NOT AUDITED: no advisory service told of every package. Holes may be in what is pinned.", sep="\n"
    )
    print(*silent, "!" * 100, sep="\n")
    return 0 if arguments.unless_unreachable else 1


if __name__ == "__main__":
    sys.exit(main())
