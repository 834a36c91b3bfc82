"""One file a format: sources of labelled faces."""
