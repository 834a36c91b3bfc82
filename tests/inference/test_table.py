"""The one way from images to numbers: it equals the naive loop whatever reads ahead, batches or keeps them, and names what failed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

from limen.errors import LimenError, UnreadableImage
from limen.inference.reading import read_blocks
from limen.inference.table import embed_images
from limen.models.bundle import Architecture, Bundle, Preprocessing
from limen.models.embedder import Embedder
from limen.quality import FeatureNorm, LearnedQuality, QualityHead, Sharpness
from limen.recogniser import Embeddings

COUNT, BROKEN = 23, (3, 17)


def make_embedder(seed=1, **preprocessing):
    torch.manual_seed(seed)
    architecture = Architecture("tiny", 16)
    backbone = architecture.build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    return Embedder(Bundle(architecture, tensors, Preprocessing(**preprocessing)))


class Source:
    """Images at random, of which those in `broken` cannot be read and those in `black` are black."""

    def __init__(self, count=COUNT, broken=BROKEN, black=(), pause=0.0):
        self.images = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)
        self.images[list(black)] = 0
        self.broken, self.pause, self.reads, self.threads = broken, pause, [], set()

    def __len__(self):
        return len(self.images)

    def image(self, index):
        self.reads.append(index)
        self.threads.add(threading.get_ident())
        time.sleep(self.pause * (index % 3))  # so that later images are read before earlier ones
        if index in self.broken:
            raise UnreadableImage(f"{self.locate(index)}: is empty")
        return self.images[index]

    def locate(self, index):
        return f"{index}.jpg"


class Counting:
    """A model that counts the images it is asked for, and has no direction for black ones."""

    def __init__(self, model):
        self.model, self.asked = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def embed(self, images, flip=None, batch_size=64):
        self.asked += len(images)
        return self.model.embed(images, flip, batch_size)


@pytest.fixture(scope="module")
def embedder():
    return make_embedder()


@pytest.fixture
def undirected():
    """A model whose feature of a black image is zero."""
    model = make_embedder()
    bright = lambda inputs: (inputs[0] > -1).flatten(1).any(1)  # noqa: E731
    model.backbone.register_forward_hook(lambda module, inputs, output: output * bright(inputs)[:, None])
    return model


@pytest.mark.parametrize("flip", [None, False])
@pytest.mark.parametrize("options", [{}, {"workers": 0}, {"workers": 3, "batch_size": 4}, {"workers": 1, "batch_size": 1}], ids=str)
def test_equals_the_naive_loop_in_any_order_of_reading(embedder, options, flip):
    source, measures = Source(pause=0.002), [LearnedQuality(embedder), Sharpness(), FeatureNorm(make_embedder(2))]
    table = embed_images(embedder, source, flip=flip, measures=measures, **options)
    assert sorted(source.reads) == list(range(COUNT))
    assert table.failures == {number: f"{number}.jpg: is empty" for number in BROKEN}
    for number in range(COUNT):
        rows = (table.vectors[number], table.norms[number], *table.qualities[:, number])
        if number in BROKEN:
            assert all(np.isnan(row).all() for row in rows)
            continue
        image = source.images[number : number + 1]
        alone = embedder.embed(image, flip)
        np.testing.assert_allclose(rows[0], alone.vectors[0], atol=5e-6)  # another batch adds up in another order
        assert rows[1:] == pytest.approx((alone.norms[0], alone.quality[0], *(measure.score(image)[0] for measure in measures[1:])), 1e-4)


def test_workers_change_no_bit(embedder):
    plain, ahead = (embed_images(embedder, Source(pause=0.001), workers=workers, batch_size=4) for workers in (0, 3))
    np.testing.assert_array_equal(plain.vectors, ahead.vectors)
    np.testing.assert_array_equal(plain.norms, ahead.norms)


def test_only_what_is_asked_for_is_read_and_once(embedder):
    source, steps = Source(), []
    table = embed_images(embedder, source, [5, 3, 5, 9], progress=lambda *step: steps.append(step), batch_size=2)
    assert sorted(source.reads) == [3, 5, 9]
    assert steps == [(2, 3), (3, 3)]
    assert np.flatnonzero(~np.isnan(table.norms)).tolist() == [5, 9]
    assert table.failures == {3: "3.jpg: is empty"}


def test_an_image_without_direction_is_a_failure_to_acquire_named_by_file(undirected):
    """And changes no other image's numbers."""
    table = embed_images(undirected, Source(broken=(), black=(1, 4)), measures=[LearnedQuality(undirected), Sharpness()], batch_size=5)
    whole = embed_images(undirected, Source(broken=()), measures=[LearnedQuality(undirected), Sharpness()], batch_size=5)
    assert list(table.failures) == [1, 4]
    assert table.failures[4].startswith("4.jpg: its feature has length 0.0 and so no direction; look at the image")
    others = np.delete(np.arange(COUNT), [1, 4])
    np.testing.assert_array_equal(table.vectors[others], whole.vectors[others])
    np.testing.assert_array_equal(table.qualities[:, others], whole.qualities[:, others])
    assert np.isnan(table.vectors[[1, 4]]).all()
    assert np.isnan(table.qualities[:, [1, 4]]).all()
    elsewhere = embed_images(None, Source(broken=(), black=(1,)), measures=[FeatureNorm(undirected), Sharpness()])
    assert np.isnan(elsewhere.qualities).tolist() == [[number == 1 for number in range(COUNT)], [False] * COUNT]


def test_none_that_can_be_used_is_an_error(undirected):
    with pytest.raises(LimenError, match=r"none of the 23 images can be used \(first: 0.jpg: its feature has length 0.0"):
        embed_images(undirected, Source(broken=(3,), black=range(COUNT)))


def test_a_network_that_several_look_at_sees_each_image_once():
    model = Counting(make_embedder())
    embed_images(model, Source(broken=()), measures=[LearnedQuality(model), FeatureNorm(model)])
    assert model.asked == COUNT


def test_an_own_recogniser_needs_no_more_than_embed():
    class Own:
        description = {}  # noqa: RUF012

        def embed(self, images, flip=None):
            return Embeddings(images.reshape(len(images), -1)[:, :4].astype(np.float32), np.ones(len(images)))

    source = Source()
    np.testing.assert_array_equal(embed_images(Own(), source).vectors[5], source.images[5].ravel()[:4])
    with pytest.raises(LimenError, match="no `identity`"):
        embed_images(Own(), source, cache="/nowhere")


def test_reading_ahead_is_bounded_and_ends_with_its_reader():
    source = Source(count=64, broken=())
    blocks = read_blocks(source, np.arange(64), block=4, workers=2)
    next(blocks)
    time.sleep(0.2)
    assert len(source.reads) <= 4 * 3  # the block given and two ahead
    assert source.threads.isdisjoint({threading.get_ident()})
    blocks.close()
    before = len(source.reads)
    time.sleep(0.1)
    assert len(source.reads) == before


def test_settings_without_sense_are_refused(embedder):
    for options in ({"workers": -1}, {"batch_size": 0}):
        with pytest.raises(LimenError, match="1 image or more"):
            embed_images(embedder, Source(), **options)


# ---- the cache


def same(one, other):
    for name in ("vectors", "norms", "qualities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_is_kept_is_what_was_computed_and_is_not_computed_again(tmp_path):
    model = Counting(make_embedder())
    source, measures = Source(), [LearnedQuality(model)]
    first = embed_images(model, source, measures=measures, cache=tmp_path, batch_size=5)
    assert model.asked == COUNT - len(BROKEN)
    again = Counting(make_embedder())
    same(embed_images(again, source, measures=[LearnedQuality(again)], cache=tmp_path), first)
    assert again.asked == 0
    same(first, embed_images(make_embedder(), source, measures=[LearnedQuality(make_embedder())], batch_size=5))


@pytest.mark.parametrize("other", ["weights", "preprocessing", "flip", "precision"])
def test_another_network_or_flip_shares_nothing(tmp_path, other):
    embed_images(make_embedder(), Source(), cache=tmp_path)
    model = Counting(make_embedder(seed=2 if other == "weights" else 1, colour="BGR" if other == "preprocessing" else "RGB"))
    model.model.precision = "bf16" if other == "precision" else "float32"
    embed_images(model, Source(), cache=tmp_path, flip=False if other == "flip" else None)
    assert model.asked == COUNT - len(BROKEN)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_image_that_changed_is_computed_again(tmp_path):
    embed_images(make_embedder(), Source(), cache=tmp_path)
    source, model = Source(), Counting(make_embedder())
    source.images[5, 0, 0, 0] ^= 1
    found = embed_images(model, source, cache=tmp_path)
    assert model.asked == 1
    np.testing.assert_allclose(found.vectors[5], make_embedder().embed(source.images[5:6]).vectors[0], atol=5e-6)


DAMAGES = {
    "byte": lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    "cut short": lambda content: content[:-7],
    "empty": lambda content: b"",
    "other": lambda content: b"a text that is no block at all",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_computed_again(tmp_path, damage):
    first = embed_images(make_embedder(), Source(), cache=tmp_path, batch_size=5)
    (folder,) = tmp_path.iterdir()
    block = sorted(folder.iterdir())[1]
    lost = len(np.load(block))
    block.write_bytes(DAMAGES[damage](block.read_bytes()))
    model = Counting(make_embedder())
    found = embed_images(model, Source(), cache=tmp_path, batch_size=5)
    assert model.asked == lost
    np.testing.assert_allclose(found.vectors, first.vectors, atol=5e-6)


def test_what_has_no_direction_is_not_kept(undirected, tmp_path):
    first = embed_images(undirected, Source(black=(1, 2)), cache=tmp_path)
    model = Counting(undirected)
    found = embed_images(model, Source(black=(1, 2)), cache=tmp_path)
    assert model.asked == 2
    assert found.failures == first.failures
    same(found, first)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill")
def test_a_killed_run_leaves_what_it_had_computed(tmp_path):
    """Killed while it embeds the fourth block; the next one embeds what was not kept, and nothing else."""
    file, cache = tmp_path / "model.safetensors", tmp_path / "cache"
    make_embedder().save(file)
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_table import Source, Counting, Embedder, embed_images
        class Killed(Counting):
            def embed(self, images, flip=None, batch_size=64):
                if self.asked >= 12:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().embed(images, flip, batch_size)
        embed_images(Killed(Embedder.load({str(file)!r})), Source(broken=()), cache={str(cache)!r}, batch_size=4)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert killed.returncode == -signal.SIGKILL
    model = Counting(Embedder.load(file))
    found = embed_images(model, Source(broken=()), cache=cache, batch_size=4)
    assert model.asked == COUNT - 12
    np.testing.assert_allclose(found.vectors, embed_images(Embedder.load(file), Source(broken=())).vectors, atol=5e-6)
