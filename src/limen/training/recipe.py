"""The recipe: everything that decides a training run, as dataclasses. `limen.training.settings` reads and checks it."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse.typing import restricted_number_type

if TYPE_CHECKING:
    AboveZero = float
    NotNegative = float
    Share = float
    Whole = int
    AtLeastOne = int
    AtLeastTwo = int
    Seed = int
else:  # the name of a type is what an error message says of it
    LARGEST_INT = 2**63 - 1
    AboveZero = restricted_number_type("number above 0", float, [(">", 0), ("<", math.inf)])
    NotNegative = restricted_number_type("number of at least 0", float, [(">=", 0), ("<", math.inf)])
    Share = restricted_number_type("number from 0 to 1", float, [(">=", 0), ("<=", 1), ("<", math.inf)])
    Whole = restricted_number_type("whole number of at least 0", int, [(">=", 0), ("<=", LARGEST_INT)])
    AtLeastOne = restricted_number_type("whole number of at least 1", int, [(">=", 1), ("<=", LARGEST_INT)])
    AtLeastTwo = restricted_number_type("whole number of at least 2", int, [(">=", 2), ("<=", LARGEST_INT)])
    Seed = restricted_number_type("whole number from 0 to 2**40", int, [(">=", 0), ("<=", 2**40)])


@dataclass
class Sampling:
    """Which images stand in a batch."""

    name: str = "shuffled"  # shuffled: every image once an epoch; adaptive: limen.data.AdaptiveDataSampler; or package.module:Class
    options: dict[str, Any] = field(default_factory=dict)  # further arguments of the order, such as period and start_epoch of adaptive


@dataclass
class Data:
    """Where the faces come from and how they are varied."""

    reader: str = "folder"  # folder, recordio, archive, lmdb, arrow, parquet, list, synthetic, or package.module:Class
    path: str | None = None  # the folder, the .rec file; not for synthetic
    options: dict[str, Any] = field(default_factory=dict)  # further arguments of the reader
    augment: str = "flip"  # none, flip, adaface
    augment_on: Literal["workers", "device"] = (
        "workers"  # who computes it, from the same draws: workers, image by image; the training device
    )
    workers: Whole = 2  # processes that read images ahead of the training step
    max_unreadable: Share = 0.01  # share of the images that may be unreadable before the run stops; they are replaced and counted
    sampling: Sampling = field(default_factory=Sampling)
    sources: list[dict[str, Any]] = field(default_factory=list)  # in place of path: each with path, name, reader, options, weight


@dataclass
class Backbone:
    """The network: see limen.create_backbone."""

    name: str = "iresnet50"  # a network of limen.backbones
    embedding_size: AtLeastOne = 512  # numbers in an embedding
    options: dict[str, Any] = field(default_factory=dict)  # dropout and the like; see limen.create_backbone
    compile: bool = False  # torch.compile, which needs a C++ compiler on a CPU
    sync_batch_norm: bool = False  # BatchNorm's mean and variance over the images of all processes, on GPUs


@dataclass
class Margin:
    """The margin: a name of limen.margins, or package.module:Class."""

    name: str = "AdaFace"  # a margin of limen.margins, or package.module:Class
    options: dict[str, Any] = field(default_factory=dict)  # such as m; an angular margin's gradient is straight_through if not given


@dataclass
class Sampler:
    """Which class centres take part in a step."""

    name: str = "all"  # all, PartialFC, HardPrototypeMining, or package.module:Class
    options: dict[str, Any] = field(default_factory=dict)  # of the class sampler, such as rate of PartialFC


@dataclass
class Head:
    """The class-centre head: see limen.MarginHead."""

    scale: AboveZero = 64.0  # the s of the papers: cosines are multiplied by it before the softmax
    implementation: Literal["auto", "dense", "chunked"] = "auto"  # dense: all logits at once; chunked: by block; auto: what fits
    dtype: Literal["float32", "bf16"] = "float32"  # of the class centres
    precision: Literal["float32", "tf32", "bf16"] = "float32"  # of the head's products, whose sums are float32; tf32 and bf16 are for GPUs
    sampler: Sampler = field(default_factory=Sampler)


@dataclass
class Quality:
    """The quality head of CR-FIQA, trained beside any margin: see limen.quality."""

    weight: AboveZero | None = None  # of its loss, 10 in the paper; where it is not set there is no quality head
    ratio: Literal["paper", "released"] = "paper"  # of the target
    lr: AboveZero = 0.002  # its own, on optimiser's schedule; above about 2 / (weight * largest eigenvalue of E[z z^T]) the head swings


@dataclass
class Optimiser:
    """The optimiser of the network, with the papers' schedules. Class centres always move by SGD. Epochs may be fractions."""

    name: Literal["SGD", "AdamW"] = "SGD"  # AdamW needs center_lr and center_weight_decay too
    lr: AboveZero = 0.1  # learning rate at the start
    momentum: Share = 0.9  # of SGD: of class centres also under AdamW
    weight_decay: NotNegative = (
        5e-4  # on weights of two or more dimensions and class centres: not on BatchNorm, biases, PReLU, class margins
    )
    betas: list[Share] = field(default_factory=lambda: [0.9, 0.999])  # of AdamW: decays of its averages of the gradient and its square
    eps: AboveZero = 1e-8  # of AdamW
    center_lr: AboveZero | None = None  # of class centres, on the same schedule; lr where it is not set
    center_weight_decay: NotNegative | None = None  # of class centres; weight_decay where it is not set
    schedule: Literal["milestones", "cosine", "constant"] = "milestones"  # how the learning rate falls
    milestones: list[NotNegative] = field(default_factory=list)  # epochs after which lr is multiplied by `factor`
    factor: AboveZero = 0.1  # what the learning rate is multiplied by at each milestone
    warmup_epochs: NotNegative = 0.0  # lr rises linearly from 0
    margin_lr: AboveZero | None = None  # of learnable class margins; lr where it is not set
    clip_norm: AboveZero | None = None  # largest norm of the backbone's gradient
    ema: Share | None = None  # decay of a moving average of backbone and quality head, which is then evaluated and kept


@dataclass
class Evaluation:
    """Verification while training."""

    pairs: list[str] = field(default_factory=list)  # .bin files or pairs.txt
    images: str | None = None  # the folder behind pairs.txt
    every: AtLeastOne | None = None  # steps between two evaluations; there is one at the end in any case
    best: str | None = None  # name of one of the pairs: the model of the highest accuracy on it is kept as OUT/best.safetensors


@dataclass
class Recipe:
    """A training run. `limen train --config recipe.yaml --optimiser.lr .05`; any key can be given on the command line.

    >>> from limen.training import Recipe
    >>> recipe = Recipe(out="runs/first", batch_size=128)
    >>> recipe.margin.name, recipe.head.scale
    ('AdaFace', 64.0)
    """

    out: str = "runs/limen"  # folder of the log, the checkpoints and the bundle
    epochs: AboveZero = 26.0  # passes over the images; may be a fraction
    batch_size: AtLeastTwo = 512  # images of a step, of all processes together; at least 2, for BatchNorm
    accumulate: AtLeastOne = 1  # parts in which the backbone computes a batch, to need less memory; the head takes one step over the whole
    seed: Seed = 0  # of weights, order of images and augmentation
    device: str = "auto"  # auto: cuda where there is one
    precision: Literal["float32", "bf16"] = "float32"  # bf16: autocast of the backbone; the head has head.precision
    graph: Literal["none", "head", "step"] = "none"  # what a CUDA graph records, in a run of one process without a class sampler
    threads: AtLeastOne | None = None  # of the training process on a CPU
    log_every: AtLeastOne = 20  # steps between two lines of log.jsonl
    checkpoint_every: AtLeastOne = 1000  # steps between two checkpoints
    tensorboard: bool = False  # also write TensorBoard events, which needs limen[tensorboard]
    licence: str = "not stated"  # of the trained weights, kept in the bundle
    init: str | None = None  # a model.safetensors to start from, and the centres of people it knows from the checkpoint beside it
    allow_collapse: bool = False  # train on, and mark the model, where the features have turned away from all centres
    freeze: list[Literal["backbone"]] = field(default_factory=list)  # [backbone]: only class centres, margin and quality head learn
    data: Data = field(default_factory=Data)
    backbone: Backbone = field(default_factory=Backbone)
    margin: Margin = field(default_factory=Margin)
    head: Head = field(default_factory=Head)
    quality: Quality = field(default_factory=Quality)
    optimiser: Optimiser = field(default_factory=Optimiser)
    evaluation: Evaluation = field(default_factory=Evaluation)
