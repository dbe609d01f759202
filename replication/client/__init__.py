"""The client engine: a local database that is written offline and kept in step."""
