"""Sends announcements to those who are told about rings."""
