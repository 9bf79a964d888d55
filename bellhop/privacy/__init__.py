"""A person's data: where it is, how it is exported, and how it is forgotten (docs/privacy.md)."""
