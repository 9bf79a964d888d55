"""The trail of a call, and what it tells: why a phone did not ring."""
