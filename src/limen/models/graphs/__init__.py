"""Recognisers in files that hold a graph of operations, ONNX or OpenVINO's: foreign ones, and those that limen exported."""
