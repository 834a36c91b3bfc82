"""One script a claim of the papers: run as `PYTHONPATH=benchmarks python -m evidence.adaface --help`."""
