"""For tests that read the code as a syntax tree."""

import ast
import gc
from pathlib import Path


def parse(path: Path) -> ast.Module:
    """Parse a file.

    Python 3.11 fails (SystemError) if it parses something else in between. The warning about an object that a test left
    open does that when the object is collected: its traceback is formatted. So no garbage is collected meanwhile.
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()
