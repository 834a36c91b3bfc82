"""What training runs have saved, and whether two saved the same."""

import torch

from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_rows, read_shapes


def saved_tensors(folder):
    """Every tensor of the newest checkpoint in `folder`: weights, averages, momenta and what sampling has learnt."""
    path = checkpoints(folder)[-1]
    whole = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in read_shapes(path).items() if shape}
    for name, tensor in whole.items():
        read_rows(path, name, torch.arange(len(tensor)), tensor)
    return whole


def assert_equal_runs(left, right, rtol=0.0, atol=0.0):
    """To the bit, unless told otherwise."""
    left, right = saved_tensors(left), saved_tensors(right)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")
