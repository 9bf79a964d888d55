"""Local stand-ins for the servers that Bellhop talks to. The demo and the tests run against them."""
