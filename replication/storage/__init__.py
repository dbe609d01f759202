"""Where objects and history live: the store contract and its back ends."""
