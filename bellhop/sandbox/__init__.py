"""Local stand-ins for the servers Bellhop talks to. The demo and the tests run against these."""
