"""Demonstrations made by an environment's own expert."""
