"""How much work a function does, counted: the same on an idle machine and on a busy one."""

import gc
import sys


def work_of(function, *args):
    """Call a function, and count the steps of the Python interpreter (bytecode instructions) until it returns.

    No garbage is collected meanwhile: the steps that the garbage of other tests takes would count too.
    """
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


def growth(function, small, large):
    """Return how many times more work a function does for `large` than for `small`, after once for each."""
    function(small), function(large)
    return work_of(function, large) / work_of(function, small)
