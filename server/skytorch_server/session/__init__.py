"""A session: one process with its own tensors, random state and torch settings."""
