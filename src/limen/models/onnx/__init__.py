"""Recognisers in ONNX files."""
