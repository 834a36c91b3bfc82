"""Two faces compared with a model that `limen export MODEL --input uint8 --out model.onnx` wrote, without limen:

python onnxruntime_alone.py model.onnx a.jpg b.jpg
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in sys.argv[2:]])  # aligned, 112x112
feature = 0
for view in (images, np.ascontiguousarray(images[:, :, ::-1])):  # and the mirror image
    embedding, norm = session.run(["embedding", "norm"], {"image": view})
    feature = feature + embedding * norm[:, None]
vectors = feature / np.linalg.norm(feature, axis=1, keepdims=True)
print(f"{vectors[0] @ vectors[1]:.6f}")
