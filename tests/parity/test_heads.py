"""The heads of the papers' releases, figure by figure: loss, both gradients, statistics, CR-FIQA's two similarities. float64."""

from pathlib import Path

import numpy as np
import pytest
import torch

from limen import MarginHead, margins
from limen.functional.margin_softmax import blocks

GOLDEN = Path(__file__).parents[1] / "golden" / "heads.npz"
CASES = {  # golden name -> margin, and the drawn margins where the release drew them
    "arcface": (lambda: margins.ArcFace(), None),
    "cosface": (lambda: margins.CosFace(), None),
    "adaface_talpha001": (lambda: margins.AdaFace(), None),
    "adaface_talpha1": (lambda: margins.AdaFace(t_alpha=1.0), None),
    "elastic_arc_given": (lambda: margins.ElasticArcFace(), "elastic_arc_margins"),
    "elastic_cos_given": (lambda: margins.ElasticCosFace(), "elastic_cos_margins"),
    "elastic_arc_plus_released": (lambda: margins.ElasticArcFace(plus=True, assignment="released"), "elastic_arc_margins"),
    "elastic_cos_plus_released": (lambda: margins.ElasticCosFace(plus=True, assignment="released"), "elastic_cos_margins"),
    "crfiqa_arc": (lambda: margins.ArcFace(), None),
}


@pytest.mark.parametrize("implementation", ["dense", "chunked"])
@pytest.mark.parametrize("name", CASES)
def test_released_head(monkeypatch, name, implementation):
    monkeypatch.setattr(blocks, "CPU_BLOCK", 16)
    golden = np.load(GOLDEN)
    make, draws = CASES[name]
    head = MarginHead(60, 32, make(), implementation=implementation).double()
    head.centers.weight.data = torch.tensor(golden["kernel"].T)
    for step in range(3):
        if draws:
            monkeypatch.setattr(head.margin, "sample", lambda *_, step=step: torch.tensor(golden[draws][step]))
        features = torch.tensor(golden["embeddings"][step], requires_grad=True)
        head.zero_grad()
        out = head(features, torch.tensor(golden["labels"][step]))
        out.loss.backward()
        np.testing.assert_allclose(out.loss.item(), golden[f"{name}_loss"][step], rtol=1e-9)
        np.testing.assert_allclose(features.grad, golden[f"{name}_grad_e"][step], atol=1e-9)
        np.testing.assert_allclose(head.centers.weight.grad.T, golden[f"{name}_grad_k"][step], atol=1e-8)
        if name == "crfiqa_arc":
            np.testing.assert_allclose(out.target_cosine, golden["crfiqa_ccs"][step], atol=1e-12)
            np.testing.assert_allclose(out.nearest_negative.clamp_min(-1e-12), golden["crfiqa_nnccs"][step], atol=1e-12)
    if f"{name}_mean_std" in golden:
        statistics = [head.margin.norm_mean.item(), head.margin.norm_std.item()]
        np.testing.assert_allclose(statistics, golden[f"{name}_mean_std"], rtol=1e-9)
