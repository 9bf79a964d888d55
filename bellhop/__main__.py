"""`bellhop` and `python -m bellhop`: the command line."""

import sys

from bellhop import stop_signals

if sys.argv[1:2] in (["web"], ["worker"], ["sqs"]):
    stop_signals.end_with_0()  # before the commands are imported, which takes most of the start

try:
    from bellhop.cli import main
except KeyboardInterrupt:  # click, which ends the commands at Ctrl-C, is being imported
    sys.exit(130)

if __name__ == "__main__":
    main(prog_name="bellhop")
