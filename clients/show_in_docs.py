"""Show each file of clients/snippets in docs/client-code.md, below the link to it. `make docs` runs this."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "client-code.md"
SHOWN = re.compile(r"^(\[(clients/snippets/\S+)\]\(\.\./\2\):\n\n```\w+\n).*?^```$", re.DOTALL | re.MULTILINE)


def with_files(page: str) -> str:
    """Return the page with the present content of each file that it shows."""
    return SHOWN.sub(lambda match: f"{match[1]}{(ROOT / match[2]).read_text()}```", page)


if __name__ == "__main__":
    PAGE.write_text(with_files(PAGE.read_text()))
