"""Fuzzing of every kind of file that limen reads: tests here, thousands of inputs in benchmarks/fuzz.py."""
