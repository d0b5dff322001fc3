"""aiokv beside the stores that a Python program would otherwise use: `make bench-peers`."""
