"""The protocol: messages, their bytes, and the two session state machines, without any I/O."""
