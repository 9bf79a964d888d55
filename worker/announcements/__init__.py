"""Announces what happens to rings, and sends these announcements."""
