"""Changesets and the server's log: what was written, by whom, in which order."""
