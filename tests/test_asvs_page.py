"""docs/asvs.md has a verdict for each requirement of levels 1 and 2, and evidence or a reason for each verdict."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "asvs.md").read_text()
LISTED = (ROOT / "docs" / "security.md").read_text().partition("## Level 2 of OWASP ASVS 5.0")[2]
ROWS = re.findall(r"^\| ([\d., to]+) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
LARGEST = {
    **{"1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1},
    **{"3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4},
    **{"5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4},
    **{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1},
    **{"9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3},
    **{"11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4},
    **{"13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7},
    **{"16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2},
}
"""The last requirement of level 1 or 2 in each section of ASVS 5.0.0. Those of level 3 follow it."""
ALL = {f"{section}.{number}" for section, last in LARGEST.items() for number in range(1, last + 1)}


def numbers(text):
    for section, first, last in re.findall(r"\b(\d+\.\d+)\.(\d+)(?: to (\d+))?", text):
        yield from (f"{section}.{number}" for number in range(int(first), int(last or first) + 1))


def with_verdict(*verdicts):
    return [number for cell, verdict, _ in ROWS if verdict in verdicts for number in numbers(cell)]


def test_each_requirement_has_one_verdict():
    assert Counter(with_verdict("holds", "n/a", "operator", "no")) == Counter(ALL)


def test_the_page_counts_its_verdicts():
    told = dict(re.findall(r"^\| (holds|n/a|operator|no) \| .* \| (\d+) \|$", PAGE, re.MULTILINE))
    assert told == {verdict: str(len(with_verdict(verdict))) for verdict in ("holds", "n/a", "operator", "no")}


def test_what_holds_names_where_that_is_shown():
    # test_documentation.py checks that these paths and links exist.
    for cell, verdict, why in ROWS:
        if verdict == "holds":
            assert re.search(r"`(bellhop|deploy|tests|webhook|worker)/|\]\(", why), cell


def test_security_lists_what_does_not_hold_with_its_reason():
    reasons, _, duties = LISTED.partition("### What the operator must do")
    for verdict, text in (("no", reasons), ("operator", duties)):
        listed = [number for cell in re.findall(r"^\| ([\d., to]+)", text, re.MULTILINE) for number in numbers(cell)]
        assert sorted(listed) == sorted(with_verdict(verdict)), verdict
