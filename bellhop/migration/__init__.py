"""Copies what must not be lost from one Redis to another, while the service keeps running (docs/moving-redis.md)."""
