"""Every network by name: shapes, memory formats, determinism, gradients, precision; and names that are not known."""

import shutil

import pytest
import torch
from torch import nn

from limen.backbones import BACKBONES, create_backbone
from limen.backbones.vit import StochasticDepth
from limen.errors import LimenError

SMALL = ["iresnet18", "ir18", "mobilefacenet", "vit_s", "tiny"]

# Parameters in millions at 512 dimensions, and residual blocks.
SIZES = {
    "iresnet18": (24.0, 8), "iresnet34": (34.1, 16), "iresnet50": (43.6, 24), "iresnet100": (65.2, 49), "iresnet200": (118.9, 98),
    "ir18": (24.0, 8), "ir34": (34.1, 16), "ir50": (43.6, 24), "ir101": (65.2, 49), "ir_se50": (43.8, 24),
    "vit_s": (60.0, 12), "vit_b": (162.4, 12),
}  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    return {name: create_backbone(name, embedding_size=24) for name in SMALL}


def images(count=2, dtype=torch.float32):
    return torch.rand(count, 3, 112, 112, dtype=dtype) * 2 - 1


@pytest.mark.parametrize("name", BACKBONES)
def test_512_dimensions_by_default(name):
    with torch.device("meta"):
        assert create_backbone(name)(images()).shape == (2, 512)


@pytest.mark.parametrize("name", SIZES)
def test_depth_and_parameters(name):
    with torch.device("meta"):
        network = create_backbone(name)
    millions, blocks = SIZES[name]
    assert len(network.blocks) == blocks
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.11)


@pytest.mark.parametrize("name", SMALL)
def test_evaluation_is_deterministic_and_free_of_the_batch(networks, name):
    network, faces = networks[name].eval(), images(3)
    with torch.inference_mode():
        together = network(faces)
        assert together.shape == (3, 24)
        assert torch.equal(together, network(faces))
        alone = torch.cat([network(face[None]) for face in faces])
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_is_the_same_network(networks, name):
    network, faces = networks[name].eval(), images()
    with torch.inference_mode():
        expected = network(faces)
        torch.testing.assert_close(network(faces.to(memory_format=torch.channels_last)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_every_free_parameter_has_a_finite_gradient(networks, name):
    network = networks[name].train()
    network.zero_grad()
    features = network(images(3))
    (features * torch.randn_like(features)).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), parameter_name
            assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", ["ir18", "tiny"])
def test_float64_equals_float32(networks, name):
    network, faces = networks[name].eval(), images()
    with torch.inference_mode():
        single = network(faces)
        double = network.double()(faces.double())
    network.float()
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_fresh_features_have_norm_sqrt_d(networks, name):
    with torch.no_grad():
        assert networks[name].train()(images(6)).norm(dim=1).mean() == pytest.approx(24**0.5, rel=0.1)


@pytest.mark.parametrize("name", SMALL)
def test_the_last_layers_stay_in_float32_under_autocast(networks, name):
    """Equal to the rest in bfloat16 and the last layers by themselves in float32."""
    network, seen = networks[name].eval(), []
    hook = network.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        features = network(images(1))
    hook.remove()
    assert features.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(features, network.head(seen[0].float()))


def test_a_transformer_takes_112_alone(networks):
    with pytest.raises(
        LimenError, match=r"^images of 96x112: a vision transformer .* takes no other size; align the faces to it .*size to 112$"
    ):
        networks["vit_s"](torch.zeros(2, 3, 112, 96))


def test_stochastic_depth_keeps_the_mean_and_is_off_in_evaluation():
    depth, x = StochasticDepth(0.25), torch.ones(4000, 2, 3)
    kept = depth(x)
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (kept == kept[:, :1, :1]).all()  # an image as a whole
    assert kept.mean() == pytest.approx(1, abs=0.03)
    assert depth.eval()(x) is x


def test_insightface_fixes_the_last_weight_and_adaface_has_none():
    last = create_backbone("iresnet18", embedding_size=8).head[-1]
    assert torch.equal(last.weight, torch.ones(8))
    assert not last.weight.requires_grad
    assert last.bias.requires_grad
    assert create_backbone("ir18", embedding_size=8).head[-1].weight is None


def test_dropout_is_an_option_of_the_residual_families():
    def rate(name, **options):
        with torch.device("meta"):
            return next(module.p for module in create_backbone(name, **options).modules() if isinstance(module, nn.Dropout))

    assert rate("iresnet50") == 0
    assert rate("ir50") == 0.4
    assert rate("iresnet50", dropout=0.4) == 0.4
    assert rate("ir50", dropout=0.0) == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("iresnet500", {}, "did you mean 'iresnet50'"),
        ("mobilfacenet", {}, "did you mean 'mobilefacenet'"),
        ("IR-SE50", {}, "did you mean 'ir_se50'"),
        ("ir18", {"drop_out": 0.1}, "backbone ir18: 'drop_out' is not one of its options; did you mean 'dropout'"),
        ("ir18", {"subsample": False}, "'subsample' is not one of its options"),
        ("tiny", {"dropout": 0.1}, "known: none"),
        ("ir18", {"dropout": 1.5}, "backbone ir18: dropout probability"),
        ("ir18", {"dropout": "much"}, "backbone ir18: "),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_known(name, options, said):
    with pytest.raises(LimenError, match=said) as caught:
        create_backbone(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch.compile needs a C++ compiler")
def test_compiled_equals_eager(networks):
    network, faces = networks["tiny"].eval(), images()
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(network)(faces), network(faces), atol=1e-4, rtol=1e-4)
