"""Beside training: memory and time of a run that has not begun."""
