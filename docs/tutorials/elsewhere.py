r"""
Take the model elsewhere
========================

A trained model need not run in limen. Export it to one ONNX file. limen sends images through both and writes nothing
unless they agree.

This page needs ``pip install 'limen[export]'``.
"""

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from limen.cli import main


def limen(line):
    """What you type in a shell after `limen`."""
    assert main(line.split()) == 0


if not Path("held_out").exists():
    limen("data synthesize --identities 80 --images 16 --difficulty 0.5 --out faces")
    limen("data synthesize --identities 60 --images 10 --difficulty 0.5 --first 1000 --out held_out")
if not Path("runs/ada/model.safetensors").exists():
    settings = "--data.path faces --data.workers 0 --threads 1 --epochs 5 --quality.weight 10 --checkpoint_every 50"
    limen(f"train --config small/synthetic --data.reader folder --data.options {{}} {settings} --out runs/ada")

# %%
# Export
# ------
# ``--input uint8`` puts the preprocessing into the graph. Nobody has to remember mean, standard deviation or the order
# of colours: pixels go in.

limen("export runs/ada/model.safetensors --out model.onnx --input uint8 --images held_out --threads 1")

# %%
# The largest difference between the two is printed, and so is the tolerance that it had to meet.
#
# Use it without limen
# --------------------
# ONNX Runtime and OpenCV are enough. A vector is the normalised sum of those of the image and of its mirror image, as
# limen makes it.


session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
print("in:", [(port.name, port.shape, port.type) for port in session.get_inputs()])
print("out:", [(port.name, port.shape) for port in session.get_outputs()])


def vector(path):
    image = cv2.imread(str(path))[..., ::-1]  # RGB
    both = np.stack([image, image[:, ::-1]])
    embedding, norm = session.run(["embedding", "norm"], {session.get_inputs()[0].name: both})
    summed = (embedding * norm.reshape(-1, 1)).sum(0)
    return summed / np.linalg.norm(summed)


person, other = sorted(path for path in Path("held_out").iterdir() if path.is_dir())[:2]
pairs = {"one person": (person / "0001.png", person / "0002.png"), "two people": (person / "0001.png", other / "0001.png")}
figure, axes = plt.subplots(1, 2, figsize=(6, 2))
for axis, (said, (one, two)) in zip(axes, pairs.items(), strict=True):
    axis.imshow(np.hstack([cv2.imread(str(path))[..., ::-1] for path in (one, two)]))
    axis.set_title(f"{said}: {vector(one) @ vector(two):.4f}")
    axis.axis("off")
plt.show()

# %%
# The first pair in limen, with the ONNX file and with the bundle:

for model in ("model.onnx", "runs/ada/model.safetensors"):
    limen(f"compare {model} {person}/0001.png {person}/0002.png --threads 1")

# %%
# Every command takes ``model.onnx`` as it takes the bundle. ``--precision int8`` makes a smaller and faster file and,
# with ``--pairs``, says what that costs in accuracy. ``--format openvino --out model.xml`` writes for OpenVINO.
