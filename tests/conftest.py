"""Shared fixtures: one thread count for exact comparisons, and the real faces where they are present."""

import gc
import os
from pathlib import Path

import pytest

# Before PyTorch: the tests run side by side, and a fork of a process that has threads can wait for ever.
os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(params=["blocks", "tiles"])
def way(request, monkeypatch):
    """Both forms of the pass over the centres obey every law; that in tiles is here computed by the kernels' twins, in tiles that fit any
    block."""
    from limen.functional.margin_softmax import kernels, tiled
    from limen.functional.margin_softmax.kernels import twins

    if request.param == "tiles":
        monkeypatch.setattr(kernels, "choose", lambda *_: twins)
        for room in (tiled, twins):
            monkeypatch.setattr(room, "TILE", 1)
    return request.param


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real faces; tests that use it carry the marker `realdata` and are skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real faces at {REAL_DATA.name}/ beside the checkout")
    return REAL_DATA


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium, started once; tests that use it are skipped where there is none."""
    from browser import CHROMIUM, Browser

    if CHROMIUM is None:
        pytest.skip("no chromium")
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


# Their tests share what took many seconds. A worker steals from the end of what another has to do; of a file so divided each makes it anew.
FIRST = ("distributed/test_training.py", "docs/test_site.py", "models/export/test_export.py", "distributed/test_sharded_head.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.path.as_posix().endswith(FIRST))
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not walk through it in every test."""
    gc.collect()
    gc.freeze()
