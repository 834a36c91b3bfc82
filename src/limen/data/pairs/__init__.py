"""Pairs of faces for verification."""
