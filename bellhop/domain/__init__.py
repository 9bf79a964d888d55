"""The domain: calls, people, devices, pushes and their outcomes as values, and what follows from them. Pure."""
