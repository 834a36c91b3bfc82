"""What a sampler says of itself before a run."""

import pytest
import torch

from limen.heads import ClassCenters, ClassSampler, HardPrototypeMining, PartialFC


@pytest.mark.parametrize("sampler", [PartialFC(0.3), HardPrototypeMining(2, subset=0.3)])
def test_the_share_is_that_of_the_classes_it_chooses(sampler):
    centers = ClassCenters(100, 4)
    sampler.prepare(centers)
    assert len(sampler.select(torch.tensor([1, 2]), centers)) == sampler.share * 100


def test_a_sampler_of_ones_own_need_not_know_its_share():
    assert ClassSampler().share is None
