"""The domain and the delivery: queued -> planned -> sent -> recorded. Never imports `webhook`."""
