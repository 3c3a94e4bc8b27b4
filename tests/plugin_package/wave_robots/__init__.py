"""A user's own package: a paradigm, a dataset and a head."""
