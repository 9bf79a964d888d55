"""The HTTP server of `bellhop web`."""
