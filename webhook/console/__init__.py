"""The console at /console: what happened to each call, for support people in a browser (docs/console.md)."""
