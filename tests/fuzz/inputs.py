"""What is fuzzed: for each kind of file from outside, how limen opens it and the undamaged files that variants are made of."""

import hashlib
import io
import json
import lzma
import pickle
import shutil
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

import blufr_tree
import ijbs_tree
import megaface_tree
import search_trees
import trees
from fuzz.mutation import mutated
from fuzz.trial import BAD, Opener
from limen.backbones import create_backbone
from limen.data import FileSource, RecordIOSource, create_augmentation, decode_image, open_pairs, write_recordio
from limen.data.decisions import read_decisions
from limen.data.pairs import with_subjects
from limen.data.readers.archive import ArchiveSource
from limen.data.readers.listed import ListSource
from limen.data.readers.raw import RawSource, pack_raw
from limen.data.source import open_source, reader_of
from limen.data.synthetic import SyntheticFaces
from limen.errors import UnreadableImage
from limen.margins import create_margin, training_options
from limen.models.bundle import _description_sha256
from limen.models.embedder import Embedder
from limen.models.graphs.embedder import GraphEmbedder
from limen.models.releases import import_release
from limen.models.releases.mobilefacenet import rename
from limen.planning.constants import Constants
from limen.protocols import load_results, read_quality_csv
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.ijbs import TESTS
from limen.protocols.runners import runner_of
from limen.quality import FaceSize
from limen.recogniser import Embeddings
from limen.tables import read_csv
from limen.training import load_recipe
from limen.training.checkpoint.load import read_class_names
from limen.training.checkpoint.save import sum_of
from limen.training.distributed import Processes
from limen.training.log import read_log
from limen.training.run import Run, sampler_of
from limen.training.settings import shipped_recipes
from limen.training.state import restore

BEFORE = Path(__file__).parents[1] / "fixtures" / "before"
CHECKPOINT = "checkpoint-00000004"
Files = dict[str, bytes]
PICTURE = cv2.resize(np.random.default_rng(0).integers(30, 220, (8, 8, 3), dtype=np.uint8), (112, 112))


@dataclass
class Kind:
    """`open_input` gives a text that tells what a folder holds. `seal` puts the checksums right that a change has made wrong, so that what
    lies behind them is tried too. Files whose names end in one of `spared` stay as they are."""

    open_input: Callable[[Path], str]
    seeds: list[Files]
    structures: dict[str, str] = field(default_factory=dict)  # suffix -> a structure of mutation.STRUCTURES
    seal: Callable[[Path], None] | None = None
    spared: tuple[str, ...] = ()

    def changed(self, files: Files) -> Files:
        return {name: content for name, content in files.items() if not name.endswith(self.spared)}


def fuzz(kind: Kind, count: int, seed: int, work: Path) -> tuple[Counter[str], list[str]]:
    """How many of `count` mutated inputs came to which outcome, and the bad ones, one text each. `work` is an empty folder."""
    found: Counter[str] = Counter()
    faults: dict[str, str] = {}
    others = [content for files in kind.seeds for content in kind.changed(files).values()]
    with Opener(kind.open_input, _put(work / "warm", kind.seeds[0])) as opener:
        expected = []
        for files in kind.seeds:
            trial = opener.open(_put(work / "in", files))
            if trial.outcome not in ("damage", "code"):  # loading a library writes and runs what it likes
                raise AssertionError(f"an undamaged input: {trial}")
            expected.append(trial.said)
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            which = int(rng.integers(len(kind.seeds)))
            files = dict(kind.seeds[which])
            names = list(kind.changed(files))
            name = names[rng.integers(len(names))]
            while files == kind.seeds[which]:
                files[name] = mutated(files[name], rng, others, kind.structures.get(Path(name).suffix, "bytes"))
            folder = _put(work / "in", files)
            if kind.seal is not None:
                with suppress(Exception):  # damaged so far that there is nothing to seal
                    kind.seal(folder)
            trial = opener.open(folder, expected[which])
            found[trial.outcome] += 1
            if trial.outcome in BAD:
                said = trial.said.strip().splitlines() or [""]
                faults.setdefault(
                    f"{trial.outcome} {said[-1][:80]}", f"input {number}, {name} of seed {which}: {trial.outcome}\n{trial.said[-1500:]}"
                )
    return found, list(faults.values())


def _put(folder: Path, files: Files) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _hash(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _tensors(state: dict[str, torch.Tensor]) -> bytes:
    return _hash(
        *(
            name + tensor.numpy().tobytes().hex() if tensor.numel() < 9 else name.encode() + tensor.numpy().tobytes()
            for name, tensor in state.items()
        )
    ).encode()


def _pixels(source: Any) -> list[str]:
    """A hash of each of the first images."""
    hashes = []
    for index in range(min(len(source), 50)):
        try:
            hashes.append(_hash(source.image(index).tobytes()))
        except UnreadableImage:
            hashes.append("unreadable")
    return hashes


def encoded(kind: str, **options: Any) -> bytes:
    Image.fromarray(PICTURE).save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


# ---- images, records, pairs ----


def images() -> Kind:
    forms: list[tuple[str, dict[str, Any]]] = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("BMP", {})]
    forms += [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {}), ("JPEG2000", {}), ("AVIF", {}), ("PPM", {})]
    seeds = []
    for form, options in forms:
        try:
            seeds.append({"image": encoded(form, **options)})
        except (KeyError, OSError):  # Pillow was built without it
            continue
    return Kind(lambda folder: _hash(decode_image((folder / "image").read_bytes(), "image").tobytes()), seeds)


def records(work: Path) -> Kind:
    write_recordio(work / "records", [encoded("JPEG"), encoded("PNG"), encoded("JPEG"), encoded("JPEG")], [0, 0, 1, 2])
    files = {name: (work / "records" / name).read_bytes() for name in ("train.rec", "train.idx")}

    def read(folder: Path) -> str:
        source = RecordIOSource(folder / "train.rec")
        return _hash(source.labels.tolist(), source.class_names, _pixels(source))

    return Kind(read, [files, {"train.rec": files["train.rec"]}])


def raw_shards(work: Path) -> Kind:
    pack_raw(SyntheticFaces(2, 2), work / "raw", a_shard=3)

    def read(folder: Path) -> str:
        source = RawSource(folder)
        return _hash(source.labels.tolist(), source.class_names, _pixels(source))

    return Kind(read, [{path.name: path.read_bytes() for path in (work / "raw").iterdir()}])


def archives(work: Path) -> Kind:
    files = [("Ann/1.jpg", encoded("JPEG")), ("Ann/2.png", encoded("PNG")), ("Bo/1.jpg", encoded("JPEG"))]
    shard = [(f"{k}{suffix}", data) for k, (_, image) in enumerate(files) for suffix, data in ((".jpg", image), (".cls", b"%d" % k))]
    seeds = []
    for members in (files, shard):
        with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        seeds.append({"faces.tar": file.getvalue()})
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(file := io.BytesIO(), "w", method) as packed:
            for name, data in files:
                packed.writestr(name, data)
        seeds.append({"faces.zip": file.getvalue()})

    def read(folder: Path) -> str:
        source = ArchiveSource(next(folder.iterdir()))
        return _hash(source.labels.tolist(), source.class_names, _pixels(source))

    return Kind(read, seeds)


def tables_of_images(work: Path) -> Kind:
    """LMDB, Arrow and Parquet files; their libraries are only asked for here, to write them."""
    import lmdb
    import msgspec
    import pyarrow
    import pyarrow.parquet

    (work / "tables").mkdir()
    pictures, labels = [encoded("JPEG"), encoded("PNG"), encoded("JPEG")], [0, 3, 3]
    with (
        lmdb.open(str(work / "tables" / "faces.lmdb"), subdir=False, lock=False, map_size=1 << 18) as env,
        env.begin(write=True) as entries,
    ):
        for key, value in {"__len__": 3, **dict(enumerate(zip(pictures, labels, strict=True)))}.items():
            entries.put(str(key).encode(), msgspec.msgpack.encode(value))
    names = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["Ann", "Bo", "Cy", "Di"]}}}})}
    cells = pyarrow.array([{"bytes": one} for one in pictures])
    table = pyarrow.table({"image": cells, "label": labels}).replace_schema_metadata(names)
    texts = pyarrow.table({"image": pictures, "label": ["Ann", "Bo", "Bo"]})
    for name, new, content in (("stream", pyarrow.ipc.new_stream, table), ("index", pyarrow.ipc.new_file, texts)):
        with new(work / "tables" / f"{name}.arrow", content.schema) as writer:
            writer.write_table(content, max_chunksize=2)
    pyarrow.parquet.write_table(table, work / "tables" / "groups.parquet", row_group_size=2)

    def read(folder: Path) -> str:
        (path,) = folder.iterdir()
        source = open_source(reader_of(path), path)
        return _hash(source.labels.tolist(), source.class_names, _pixels(source))

    return Kind(read, [{path.name: path.read_bytes()} for path in sorted((work / "tables").iterdir())])


def pairs(work: Path) -> Kind:
    faces(work)
    small = [cv2.imencode(".jpg", np.full((112, 112, 3), 9 * k, np.uint8))[1].tobytes() for k in range(6)]
    arrays = np.empty(6, object)
    arrays[:] = [np.frombuffer(one, np.uint8) for one in small]
    bins = [pickle.dumps((small, [True, False, True]), protocol) for protocol in (0, 2, 4)]
    bins.append(pickle.dumps((arrays, np.array([1, 0, 1], bool)), 2))
    lists = [
        b"Ann\t1\t2\nAnn\t1\tBo\t2\n",
        b"1 1\nAnn 1 2\nAnn 1 Bo 3\n",
        b"Ann/Ann_0001.png Bo/Bo_0001.png 0\nAnn/Ann_0001.png Ann/Ann_0002.png 1\n",
    ]

    def read(folder: Path) -> str:
        (path,) = (path for path in folder.iterdir() if path.stem == "pairs")
        found = open_pairs(path, work / "faces")
        return _hash(found.first.tolist(), found.second.tolist(), found.same.tolist(), _pixels(found.source))

    return Kind(read, [{"pairs.bin": content} for content in bins] + [{"pairs.txt": content} for content in lists])


def faces(work: Path) -> list[Path]:
    files = [work / "faces" / person / f"{person}_{k:04d}.png" for person in ("Ann", "Bo") for k in (1, 2, 3)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded("PNG"))
    return files


# ---- models and checkpoints ----


def bundles(sealed: bool) -> Kind:
    def read(folder: Path) -> str:
        embedder = Embedder.load(folder / "model.safetensors")
        vector = embedder.embed(PICTURE[None]).vectors
        return _hash(vector.shape, embedder.bundle.weights_sha256, embedder.bundle.facts)

    def seal(folder: Path) -> None:
        path = folder / "model.safetensors"
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        stated = json.loads(header["__metadata__"]["limen"])
        digest = hashlib.sha256()
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode() + b"\0" + tensor.numpy().tobytes())
        stated["weights_sha256"] = digest.hexdigest()
        stated["description_sha256"] = _description_sha256(json.dumps(stated), tensors)
        header["__metadata__"]["limen"] = json.dumps(stated)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    return Kind(read, [{"model.safetensors": _bundle()}], {".safetensors": "safetensors"}, seal if sealed else None)


def _bundle() -> bytes:
    """A bundle of the present format, with a quality head and a calibration."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(lzma.decompress((BEFORE / "model.safetensors.xz").read_bytes()))
        Embedder.load(path).save(path)
        return path.read_bytes()


def checkpoints(sealed: bool) -> Kind:
    with tarfile.open(BEFORE / f"{CHECKPOINT}.tar.xz") as archive:
        members = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        files = {name: file.read() for name, file in members.items() if file is not None}

    recipe = load_recipe(BEFORE / "recipe.yaml")

    def read(folder: Path) -> str:
        run = Run(recipe, Processes(), folder / CHECKPOINT)
        restore(run)
        order = run.order.state_dict()
        learnt = {name: value for name, value in order.items() if isinstance(value, torch.Tensor)}
        plain = {name: value for name, value in order.items() if name not in learnt}
        return _hash(
            *(_tensors(part) for part in (run.backbone.state_dict(), run.head.state_dict(), learnt)),
            *(run.step, run.seconds, run.unreadable, run.collapsed, plain, read_class_names(folder / CHECKPOINT)),
        )

    def seal(folder: Path) -> None:
        path = folder / CHECKPOINT / "state.json"
        state = json.loads(path.read_bytes())
        state.pop("own_crc32", None)
        state["crc32"] = {name: zlib.crc32((path.parent / name).read_bytes()) for name in state["crc32"]}
        path.write_text(json.dumps(state | {"own_crc32": sum_of(state)}))

    return Kind(read, [files], {".safetensors": "safetensors", ".json": "json"}, seal if sealed else None)


def onnx_files() -> Kind:
    import onnx

    weight = np.random.default_rng(1).normal(size=(147, 4)).astype(np.float32)
    node = onnx.helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        node("Flatten", ["cells"], ["flat"]),
        node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ("batch", 3, 112, 112))
    result = onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ("batch", 4))
    inside = onnx.numpy_helper.from_array(weight, "weight")
    beside = onnx.numpy_helper.from_array(weight, "weight")
    onnx.external_data_helper.set_external_data(beside, "weights.bin")
    beside.ClearField("raw_data")
    beside.data_location = onnx.TensorProto.EXTERNAL
    models = []
    for tensor in (inside, beside):
        graph = onnx.helper.make_graph(nodes, "network", [image], [result], [tensor])
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        models.append(made.SerializeToString())
    sidecar = {"size": 112, "colour": "RGB", "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2], "alignment": "none", "flip": True}
    sidecar |= {"fusion": "sum of raw features of image and mirror, then L2", "pixels": "0..1", "licence": "CC0-1.0"}
    text = json.dumps(sidecar, indent=1).encode()

    def read(folder: Path) -> str:
        embedder = GraphEmbedder(folder / "model.onnx", threads=1)
        return _hash(
            embedder.embed(np.zeros((1, *[embedder.preprocessing.size] * 2, 3), np.uint8) + 99).vectors.tobytes(),
            embedder.preprocessing,
            embedder.licence,
        )

    seeds = [{"model.onnx": models[0], "model.onnx.json": text}]
    seeds.append({"model.onnx": models[1], "model.onnx.json": text, "weights.bin": weight.tobytes()})
    return Kind(read, seeds, {".json": "json"})


def releases() -> Kind:
    """A MobileFaceNet, the smallest published network, under its release's names; as PyTorch writes it today, and as it once did."""
    torch.manual_seed(0)
    ours = create_backbone("mobilefacenet_relu6", 8).state_dict()
    layers = ["conv1.0", "conv1.1", "conv2.0", "conv2.1", "dw_conv.depthwise", "dw_conv.bn1", "dw_conv.pointwise", "dw_conv.bn2"]
    layers += ["gdconv.depthwise", "gdconv.bn", "conv3", "bn"]
    layers += [f"features.{block}.conv.{inner}" for block in range(15) for inner in ("0.0", "0.1", "1.0", "1.1", "2", "3")]
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    theirs = {f"{layer}.{kind}": rename(f"{layer}.{kind}", {}) for layer in layers for kind in kinds}
    state = {name: ours[known] for name, known in theirs.items() if known in ours}
    seeds = []
    for stored, zipped in (({"state_dict": state, "epoch": 3}, True), (state, False)):
        torch.save(stored, file := io.BytesIO(), _use_new_zipfile_serialization=zipped)
        seeds.append({"weights.pth": file.getvalue()})

    def read(folder: Path) -> str:
        bundle = import_release(folder / "weights.pth", "mobilefacenet").bundle
        return _hash(_tensors(bundle.tensors), bundle.architecture, bundle.preprocessing)

    return Kind(read, seeds, {".pth": "zip"})


# ---- tables, recipes, results, logs ----


def tables(work: Path) -> Kind:
    """A CSV of each kind that limen reads, and the suspects that training leaves, as whoever reads them after would."""
    files = faces(work)
    (work / "pairs.txt").write_text("Ann\t1\t2\nAnn\t1\tBo\t1\n")
    named = [(path, f"{path},{k}") for k, path in enumerate(files)]
    quality = "\n".join(["file,quality", *(f"{line}.5" for _, line in named), ""]).encode()
    subjects = "\n".join(["file,subject", *(f"{path},{path.parent.name}" for path in files), ""]).encode()
    boxes = "\n".join(["file,width,height", *(f"{path},{k + 20},{k + 30.5}" for k, path in enumerate(files)), ""]).encode()
    suspects = "\n".join(
        ["index,file,person,score,weight,looks", *(f"{k},{path},Ann,-0.25,0.2,3" for k, path in enumerate(files)), ""]
    ).encode()
    listed = "\n".join(["file,person", *(f"{path},{path.parent.name}" for path in files), ""]).encode()
    decided = "\n".join(
        ["file,person,decision,new_person,reviewer,time,model", *(f"{path},{path.parent.name},wrong,,me,now,f" for path in files), ""]
    ).encode()
    source, names = FileSource(files), [str(file) for file in files]

    def read(folder: Path) -> str:
        (path,) = folder.glob("*.csv")
        if path.stem == "quality":
            return repr(read_quality_csv(path, source).tolist())
        if path.stem == "subjects":
            return repr(with_subjects(open_pairs(work / "pairs.txt", work / "faces"), path).subject.tolist())
        if path.stem == "boxes":
            return repr(FaceSize(path).score(np.zeros((len(names), 112, 112, 3), np.uint8), names).tolist())
        if path.stem == "list":
            return _hash(*_pixels(found := ListSource(path)), found.labels.tolist(), found.class_names)
        if path.stem == "decisions":
            return repr(read_decisions([path]))
        return repr(list(read_csv(path, ["index", "file", "person", "score", "weight", "looks"])))

    seeds = {
        "quality.csv": quality,
        "subjects.csv": subjects,
        "boxes.csv": boxes,
        "suspects.csv": suspects,
        "list.csv": listed,
        "decisions.csv": decided,
    }
    return Kind(read, [{name: content} for name, content in seeds.items()], {".csv": "csv"})


def recipes() -> Kind:
    def read(folder: Path) -> str:
        recipe = load_recipe(folder / "recipe.yaml")
        create_margin(recipe.margin.name, 10, **training_options(recipe.margin.name, recipe.margin.options))
        sampler_of(recipe, 10)
        create_augmentation(recipe.data.augment)
        with torch.device("meta"):
            create_backbone(recipe.backbone.name, recipe.backbone.embedding_size, **recipe.backbone.options)
        return repr(recipe)

    shipped = shipped_recipes().values()
    return Kind(read, [{"recipe.yaml": path.read_bytes()} for path in (BEFORE / "recipe.yaml", *shipped)], {".yaml": "yaml"})


def results() -> Kind:
    def read(folder: Path) -> str:
        return repr(load_results(folder / "result.json"))

    seeds = [
        (BEFORE / "result.json").read_bytes(),
        (BEFORE / "evaluation.json").read_bytes(),
        lzma.decompress((BEFORE / "result_edc.json.xz").read_bytes()),
    ]
    return Kind(read, [{"result.json": content} for content in seeds], {".json": "json"})


def logs() -> Kind:
    """The log of a run, and the constants of a plan."""
    constants = Constants("a machine", "cpu", 8, 4, True, None, "tiny", "float32", 1e-9, 2e-9, 0.0, 1e-3)

    def read(folder: Path) -> str:
        (path,) = folder.iterdir()
        return repr(read_log(path) if path.suffix == ".jsonl" else Constants.load(path))

    text = json.dumps(vars(constants)).encode()
    return Kind(read, [{"log.jsonl": (BEFORE / "log.jsonl").read_bytes()}, {"constants.json": text}], {".json": "json"})


# ---- benchmarks ----


def benchmarks(work: Path, writers: Mapping[str, Callable[[Path], Any]]) -> Kind:
    """The lists of benchmarks over images that stay whole; each is opened and judged, as `limen evaluate --on` does."""

    def read(folder: Path) -> str:
        (path,) = folder.iterdir()
        task = open_benchmark(f"{path.name.split()[0]}:{path}")
        runner_of(task, {"replicates": 2}).run(Brightness())
        return told(task, path)

    seeds = []
    for name, write in writers.items():
        write(work / "trees" / name)
        files = sorted(path for path in (work / "trees").rglob("*") if path.is_file())
        seeds.append({path.relative_to(work / "trees").as_posix(): path.read_bytes() for path in files})
        shutil.rmtree(work / "trees")
    return Kind(
        read, seeds, {".csv": "csv", ".txt": "list", "": "list", ".mat": "matlab", ".json": "json"}, spared=(".jpg", ".JPG", ".png", ".npy")
    )


class Brightness:
    """A recogniser that knows nobody."""

    description: Mapping[str, Any] = {}

    def embed(self, images: np.ndarray, flip: bool | None = None) -> Embeddings:
        feature = images[:, ::28, ::28].reshape(len(images), -1).astype(np.float32) - 99.5
        norms = np.linalg.norm(feature, axis=1)
        return Embeddings(feature / norms[:, None], norms)


def told(value: Any, folder: Path) -> str:
    """A hash of all that a task holds but the hashes of its files, and the path of its folder."""
    if isinstance(value, np.ndarray):
        return _hash(value.tolist())
    if is_dataclass(value):
        return _hash(*(told(getattr(value, one.name), folder) for one in fields(value)))
    if isinstance(value, Mapping):
        return _hash(*(f"{key} {told(one, folder)}" for key, one in value.items() if not str(key).endswith("sha256")))
    if isinstance(value, list | tuple):
        return _hash(*(told(one, folder) for one in value))
    if hasattr(value, "locate"):
        return _hash([value.locate(index).replace(str(folder), "") for index in range(len(value))])
    return _hash(value)


def one_to_one() -> dict[str, Callable[[Path], Any]]:
    """Those whose pairs stand in text lists and tables."""

    def lfw(root: Path) -> None:
        trees.xqlfw(root)
        shutil.rmtree(root / "lfw")
        (root / "xqlfw_aligned_112").rename(root / "lfw")
        (root / "xqlfw_pairs.txt").rename(root / "pairs.txt")

    return {"lfw": lfw} | {name: write for name, write in trees.TREES.items() if name not in ("vgg2-fp", "agedb-30")}


def one_to_many() -> dict[str, Callable[[Path], Any]]:
    def megaface(root: Path) -> None:
        megaface_tree.write_tree(root)
        for name in ("facescrub_lst", "facescrub_lst_all"):
            (root / name).unlink()
        record = {"path": list(megaface_tree.PROBES), "id": list(megaface_tree.PROBES.values())}
        (root / "facescrub_features_list.json").write_text(json.dumps(record))

    def blufr(root: Path) -> None:
        blufr_tree.write_lists(root)
        blufr_tree.write_tree(root / "lfw")

    def ijbs(root: Path) -> None:
        ijbs_tree.write_tables(root / "protocols")
        ijbs_tree.write_crops(root / "crops")

    found: dict[str, Callable[[Path], Any]] = {"megaface": megaface_tree.write_tree, "megaface devkit": megaface, "lfw-blufr": blufr}
    return (
        found
        | {f"ijbs-{test}": ijbs for test in TESTS}
        | {name: search_trees.TREES[name] for name in search_trees.TREES if name.startswith("ijb")}
    )


def matlab() -> dict[str, Callable[[Path], Any]]:
    """Those with lists of MATLAB."""

    def blufr(root: Path) -> None:
        blufr_tree.write_mat(root / "blufr_lfw_config.mat")
        blufr_tree.write_tree(root / "lfw")

    others = {name: search_trees.TREES[name] for name in ("tinyface", "survface")}
    return {"lfw-blufr": blufr, "agedb-30": trees.agedb, "survface-pairs": search_trees.write_survface_pairs} | others


KINDS: dict[str, Callable[[Path], Kind]] = {
    "images": lambda work: images(),
    "records": records,
    "archives": archives,
    "tables of images": tables_of_images,
    "raw shards": raw_shards,
    "pair files and lists": pairs,
    "bundles": lambda work: bundles(sealed=False),
    "bundles, hashes made right": lambda work: bundles(sealed=True),
    "checkpoints": lambda work: checkpoints(sealed=False),
    "checkpoints, sums made right": lambda work: checkpoints(sealed=True),
    "ONNX and sidecars": lambda work: onnx_files(),
    "published weights": lambda work: releases(),
    "CSV": tables,
    "recipes": lambda work: recipes(),
    "results": lambda work: results(),
    "logs and constants": lambda work: logs(),
    "benchmarks one to one": lambda work: benchmarks(work, one_to_one()),
    "benchmarks one to many": lambda work: benchmarks(work, one_to_many()),
    "benchmarks of MATLAB lists": lambda work: benchmarks(work, matlab()),
}
