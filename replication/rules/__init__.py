"""Rules: who may read and write what, decided by roles; see `spec/rules.md`."""
