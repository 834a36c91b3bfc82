"""A batch computed in parts: one step of the head, the gradients of the whole batch."""

import pytest
import torch
from torch import nn

from limen import LimenError, MarginHead, margins
from limen.heads import CenterSGD, HardPrototypeMining, PartialFC
from limen.training import Recipe, train
from limen.training.accumulation import BackbonePass, check_parts
from limen.training.recipe import Backbone, Data, Margin, Optimiser
from saved_runs import assert_equal_runs

B, C, D = 12, 30, 8
SAMPLERS = {
    "all": lambda: None,
    "PartialFC": lambda: PartialFC(0.5),
    "HardPrototypeMining": lambda: HardPrototypeMining(queue=3, threshold=-1.0, subset=0.5, rebuild_every=2),
}
OPTIONS = {"SphereFace": {"scale": "norm"}, "ElasticCosFace": {"plus": True}}


class Network(nn.Module):
    """Without BatchNorm; what it counts moves at each forward pass in training."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, D))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, images):
        self.seen += len(images)
        return self.layers(images)


def three_steps(margin, sampler, parts):
    """All that three steps leave: losses, cosines, weights, buffers and centres."""
    torch.manual_seed(0)
    network = Network().double()
    head = MarginHead(C, D, margins.create_margin(margin, C, **OPTIONS.get(margin, {})), scale=30.0, sampler=sampler())
    head = head.double().train()
    step, update = BackbonePass(network, parts, lambda part: None), CenterSGD(head.centers)
    others = [parameter for parameter in head.parameters() if parameter is not head.centers.weight]
    optimiser = torch.optim.SGD([*network.parameters(), *others], lr=0.05, momentum=0.9)
    left = []
    for number in range(3):
        torch.manual_seed(1 + number)
        images, labels = 5 * torch.randn(B, 3, 2, 2, dtype=torch.float64), torch.randint(C, (B,))
        output = head(step.forward(images), labels, update=update.at(0.05))
        optimiser.zero_grad()
        output.loss.backward()
        step.backward()
        left += [*(value.detach().clone() for value in output), *(p.grad.clone() for p in network.parameters())]
        optimiser.step()
    return [*left, *network.state_dict().values(), *head.state_dict().values()]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("margin", margins.MARGINS)
def test_accumulated_equals_whole_batch(margin, sampler):
    whole = three_steps(margin, SAMPLERS[sampler], 1)
    for parts in (2, 6):
        for one, other in zip(three_steps(margin, SAMPLERS[sampler], parts), whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_dropout_is_the_same_in_both_passes_and_another_in_each_part():
    torch.manual_seed(0)
    dropout, seen = nn.Dropout(0.5), []
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, D), dropout)
    dropout.register_forward_hook(lambda module, inputs, output: seen.append(output == 0))
    step = BackbonePass(network, 2, torch.manual_seed)
    step.forward(torch.randn(8, 3, 2, 2)).square().sum().backward()
    step.backward()
    first, second, first_again, second_again = seen
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)


def test_running_statistics_move_once_for_each_part():
    images, norms = torch.randn(8, 3, 4, 4), [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    step = BackbonePass(nn.Sequential(norms[0], nn.Flatten()), 2, lambda part: None)
    step.forward(images).sum().backward()
    assert norms[0].num_batches_tracked == 0
    step.backward()
    for part in images.chunk(2):
        norms[1](part)
    for name, buffer in norms[0].state_dict().items():
        torch.testing.assert_close(buffer, norms[1].state_dict()[name])


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_a_resumed_run_in_parts_is_bit_identical(tmp_path, name):
    def recipe(out, epochs):
        return Recipe(
            out=str(tmp_path / out),
            epochs=epochs,
            batch_size=8,
            accumulate=2,
            device="cpu",
            threads=1,
            data=Data("synthetic", None, {"identities": 4, "images_per_identity": 4}, workers=0),
            backbone=Backbone("tiny", 8),
            margin=Margin("AdaMSoftmax"),  # a margin that learns
            optimiser=Optimiser(name, lr=0.01, schedule="constant", center_lr=0.05, center_weight_decay=1e-4),
        )

    train(recipe("whole", 2), quiet=True)
    train(recipe("two", 1), quiet=True)
    train(recipe("two", 2), "auto", quiet=True)
    assert_equal_runs(tmp_path / "whole", tmp_path / "two")
    changed = recipe("two", 2)
    changed.accumulate = 4
    with pytest.raises(LimenError, match="accumulate 2, not 4"):
        train(changed, "auto", quiet=True)


@pytest.mark.parametrize(("batch", "processes", "parts"), [(8, 1, 3), (8, 2, 3), (8, 2, 4), (8, 1, 16)])
def test_parts_that_do_not_divide_are_refused(batch, processes, parts):
    with pytest.raises(LimenError, match=rf"^accumulate: {parts} parts do not divide the {batch // processes} images"):
        check_parts(batch, processes, parts)
