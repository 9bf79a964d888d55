"""Where webhooks come from: Stream itself, or a queue or topic of Amazon."""
