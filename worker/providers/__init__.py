"""Senders: each makes one attempt and returns its result. A failure of a provider or of the network never raises."""
