"""Senders: a push in, an answer out. They never raise for what a provider, a connection or a DNS server does."""
