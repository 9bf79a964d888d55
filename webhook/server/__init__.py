"""How granian serves the web process."""
