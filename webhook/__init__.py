"""The web process: receives Stream's webhooks, queues jobs for the worker, and serves the API and the console."""
