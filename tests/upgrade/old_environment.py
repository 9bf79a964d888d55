"""The Python environment for a checkout: this one if it has what the checkout pins, else a new one."""

import re
import subprocess
import sys
import tempfile
import venv
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

LOCK = "requirements-runtime.lock"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;\s*([^\\\n]+))?", re.MULTILINE)


def has_all(root):
    """Whether this environment has exactly what the checkout pins."""
    pins = PINNED.findall((root / LOCK).read_text())
    return all(installed(name) == version for name, version, marker in pins if not marker or Marker(marker).evaluate())


def installed(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@contextmanager
def python_for(root):
    """The Python that can run the checkout. A new environment is made in a temporary folder, from the package index."""
    if has_all(root):
        yield sys.executable
        return
    print("This version needs other packages: they are installed into a temporary environment …", flush=True)
    with tempfile.TemporaryDirectory(prefix="bellhop-old-venv-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", str(root / LOCK)], check=True)
        yield python
