"""The context: bytes in over HTTP -> verified -> read as an event -> queued."""
