"""Captures made to eat the machine, of any size."""
