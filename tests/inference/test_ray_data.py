"""Two actors of Ray Data give the files that `limen embed --shard` gives."""

import tarfile

import numpy as np
import pytest

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.inference.ray_data import embed_on_ray
from limen.models.bundle import Architecture, Bundle, save_bundle

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'limen[ray]'")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_actors_give_the_files_of_embed(cluster, tmp_path):
    save_folder(SyntheticFaces(3, 4, difficulty=0.3), tmp_path / "people")
    (tmp_path / "shards").mkdir()
    for person in ("synthetic-00000", "synthetic-00001"):
        with tarfile.open(tmp_path / "shards" / f"{person}.tar", "w") as archive:
            archive.add(tmp_path / "people" / person, person)
    weights = Architecture("tiny", 16).build().state_dict()
    save_bundle(tmp_path / "model.safetensors", Bundle(Architecture("tiny", 16), {f"backbone.{key}": t for key, t in weights.items()}))
    assert main(["embed", f"{tmp_path}/model.safetensors", f"{tmp_path}/shards", "--shard", "0/1", "--out", f"{tmp_path}/alone"]) == 0
    words = f"{tmp_path}/model.safetensors", f"{tmp_path}/shards", f"{tmp_path}/out"
    assert embed_on_ray(*words, workers=2) == 8
    for name in ("synthetic-00000", "synthetic-00001"):
        mine, other = (parquet.read_table(tmp_path / folder / f"{name}.parquet").to_pydict() for folder in ("alone", "out"))
        assert mine["id"] == other["id"]
        np.testing.assert_allclose(mine["vector"], other["vector"], rtol=2**-10, atol=1e-6)
    assert embed_on_ray(*words, workers=2) == 0  # all are there
