"""Learning paradigms: each turns a batch into an update, and names no dataset, environment or strategy."""
