"""The training feed: which images stand in which batch, and reading them."""
