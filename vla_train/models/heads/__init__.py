"""Heads turn fused features into a chunk of actions, and say what a chunk costs. All work in normalized units."""
