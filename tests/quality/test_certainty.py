"""CR-FIQA's target, head and loss equal their formulas, and the released similarities."""

import numpy as np
import pytest
import torch

from golden_weights import GOLDEN as FOLDER
from golden_weights import golden_weights
from limen.quality import QualityHead, certainty_ratio, quality_loss

GOLDEN = np.load(FOLDER / "heads.npz")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ratio_is_that_of_the_paper(dtype):
    target, nearest = torch.rand(2, 50, dtype=dtype) * 2 - 1
    expected = [t / (n + 1 + 1e-9) for t, n in zip(target.tolist(), nearest.tolist(), strict=True)]
    found = certainty_ratio(target, nearest)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == torch.float32 else 1e-12)


def test_the_released_ratio_fills_the_target_column():
    """Equals the ratio over a row of cosines whose target entry was set to -1e-12 before its maximum was taken."""
    cosines = torch.rand(40, 3, dtype=torch.float64) * 2 - 1
    labels = torch.randint(3, (40,))
    target = cosines[torch.arange(40), labels]
    filled = cosines.clone()
    filled[torch.arange(40), labels] = -1e-12
    others = cosines.clone()
    others[torch.arange(40), labels] = -torch.inf
    assert (filled.amax(1) != others.amax(1)).any()  # rows without a positive negative, which make the two differ
    assert torch.equal(certainty_ratio(target, others.amax(1), "released"), target / filled.amax(1))


@pytest.mark.parametrize("step", range(3))
def test_the_ratios_of_the_released_heads_similarities(step):
    """From the golden embeddings and kernel alone: the ratio that the release's CCS and NNCCS give."""
    unit = [torch.nn.functional.normalize(torch.tensor(GOLDEN[name]), dim=dim) for name, dim in (("embeddings", 2), ("kernel", 0))]
    cosines, labels = unit[0][step] @ unit[1], torch.tensor(GOLDEN["labels"][step])
    target = cosines.gather(1, labels[:, None])[:, 0]
    nearest = cosines.scatter(1, labels[:, None], -torch.inf).amax(1)
    ccs, nnccs = GOLDEN["crfiqa_ccs"][step], GOLDEN["crfiqa_nnccs"][step]
    np.testing.assert_allclose(certainty_ratio(target, nearest, "released"), ccs / nnccs, rtol=1e-9)
    np.testing.assert_allclose(certainty_ratio(target, nearest), ccs / (nnccs + 1 + 1e-9), rtol=1e-9)


def test_the_ratio_stays_finite_and_has_no_gradient():
    for nearest in (-1.0, -1.0 - 1e-7, 0.1, 1.0):
        for form in ("paper", "released"):
            target = torch.tensor([0.5], requires_grad=True)
            found = certainty_ratio(target, torch.tensor([nearest], requires_grad=True), form)
            assert found.isfinite().all()
            assert not found.requires_grad
    with pytest.raises(ValueError, match="papers"):
        certainty_ratio(torch.zeros(1), torch.zeros(1), "papers")


def test_the_head_is_a_linear_map_of_the_raw_feature():
    head = QualityHead(8)
    assert {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()} == {"weight": (1, 8), "bias": (1,)}
    features = torch.randn(5, 8) * 30
    expected = [sum(w * z for w, z in zip(head.weight[0].tolist(), row, strict=True)) + head.bias.item() for row in features.tolist()]
    assert head(features).shape == (5,)
    np.testing.assert_allclose(head(features).detach(), expected, rtol=1e-4, atol=1e-4)


def test_the_released_head_gives_the_released_quality():
    weights, released = golden_weights("crfiqa_iresnet50"), np.load(FOLDER / "out_crfiqa_iresnet50.npz")
    head = QualityHead(512)
    head.load_state_dict({name: weights[f"qs.{name}"] for name in ("weight", "bias")})
    np.testing.assert_allclose(head(torch.tensor(released["o0"])).detach(), released["o1"][:, 0], rtol=1e-5)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_loss_is_smooth_l1(beta):
    predicted = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    target = torch.full_like(predicted, 0.25)
    distances = [abs(p - 0.25) for p in predicted.tolist()]
    expected = sum(d * d / (2 * beta) if d < beta else d - beta / 2 for d in distances) / 41
    loss = quality_loss(predicted, target, beta)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    slope = [max(-1.0, min(1.0, (p - 0.25) / beta)) / 41 for p in predicted.tolist()]
    np.testing.assert_allclose(predicted.grad, slope, atol=1e-12)
