"""The door: bytes in over HTTP -> verified -> read as an event -> queued."""
