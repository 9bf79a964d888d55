"""Redis: the clients, the keys, the Lua scripts, and the registry of users and their devices."""
