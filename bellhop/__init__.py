"""The command line, outermost: it starts the door, the worker and the demo."""

__version__ = "0.1.0"
