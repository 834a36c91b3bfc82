"""MagFace's networks: insightface's names and shapes, with another epsilon of the batch norms, fed BGR pixels in [0, 1]."""

from limen.models.preprocessing import Preprocessing
from limen.models.releases import insightface
from limen.models.releases.release import Release

MAGFACE = Release(
    "magface",
    Preprocessing(colour="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "MagFace's weights: of an Apache-2.0 repository",
    insightface.recognise,
    insightface.rename,
    prefixes=("features.module.", "features."),  # under DistributedDataParallel; under DataParallel, whose "module." is gone by now
    heads=("fc_head",),
    options={"eps": 2e-5},
    remarks={"quality": "the norm of the raw feature (measure magface_norm)"},
)
