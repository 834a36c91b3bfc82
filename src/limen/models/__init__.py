"""Floor 3: everything about a model file."""
