"""What the web process and the worker share: the domain, the queue, Redis, settings, explanations, and the commands."""

__version__ = "0.1.0"
