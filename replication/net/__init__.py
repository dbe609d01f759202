"""The network shell: WebSocket over Trio streams, timers, back-off, tokens. Decides nothing."""
