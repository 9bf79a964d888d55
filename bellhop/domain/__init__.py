"""The domain: calls, rounds, users, devices, pushes and outcomes as values, and the decisions about them. Pure."""
