"""Simulation: devices and a server in one process, reproducible from their input."""
