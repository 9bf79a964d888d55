"""An asyncio worker on RQ's data model; README.md in this folder describes it."""
