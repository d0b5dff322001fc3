"""The stores that a Python program would otherwise use."""
