"""Redis: the connections, the scripts, and what is kept there of people."""
