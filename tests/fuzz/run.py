"""Coverage-guided fuzzing of one target: python tests/fuzz/run.py reading --seconds 300 (or --runs 5000)

A crash leaves its input beside the corpus, where `tests/fuzz/test_fuzz.py` runs it again for ever after. Nothing new is
written to the corpus unless --grow is given.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["webhook", "worker", "json"]):
    from targets import CORPUS, TARGETS

LONGEST_INPUT = 8192
LIMIT_S = 10
"""A single input that takes longer is a finding; so is one that takes more memory than LIMIT_MB."""
LIMIT_MB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grow", action="store_true", help="keep inputs that reach something new")
    options = parser.parse_args()
    kept = CORPUS / options.target
    with tempfile.TemporaryDirectory() as scratch:
        corpora = [str(kept)] if options.grow else [scratch, str(kept)]
        limits = [f"-timeout={LIMIT_S}", f"-rss_limit_mb={LIMIT_MB}", f"-max_len={LONGEST_INPUT}"]
        amount = [f"-max_total_time={options.seconds}", f"-runs={options.runs}", f"-seed={options.seed}"]
        crash = f"-artifact_prefix={kept / 'found-'}"
        words = f"-dict={Path(__file__).parent / 'words.dict'}"
        atheris.Setup(
            [sys.argv[0], *limits, *amount, crash, words, "-print_final_stats=1", *corpora], TARGETS[options.target]
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
