"""Events for the team's backend: signed requests to the endpoints of the settings (docs/events.md)."""
