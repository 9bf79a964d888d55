"""Missed-call e-mails: collected, written, handed over, and switched off by who wants none."""
