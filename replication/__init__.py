"""Replication: objects edited offline on many devices converge through a server."""
