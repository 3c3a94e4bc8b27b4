"""Worlds that a policy can act in."""
