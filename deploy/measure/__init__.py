"""Latency of a network on devices, and on this machine in comparison with other runtimes."""
