"""Strategies against forgetting."""
