"""HTTP/2 connections: kept open, shared by many requests. Apple and the push services of browsers speak it."""
