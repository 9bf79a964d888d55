"""Missed-call e-mails: calls are collected, the e-mail is written, and it is sent."""
