"""Synthetic faces a second on one core, beside the 300 that the demo counts on; people already met, and new ones.

python benchmarks/synthetic.py
"""

import time

import cv2
from machine import append_row

from limen.data import SyntheticFaces
from limen.data.synthetic.sitter import sitter

WANTED = 300


def main() -> None:
    cv2.setNumThreads(1)
    source = SyntheticFaces(identities=20, images_per_identity=20)
    for what in ("new people, 20 images each", "people already met"):
        best = 0.0
        for _ in range(5):
            if what.startswith("new"):
                sitter.cache_clear()
            start = time.process_time()
            for index in range(len(source)):
                source.image(index)
            best = max(best, len(source) / (time.process_time() - start))
        print(f"{what}: {best:.0f} images a second, {best / WANTED:.2f} of {WANTED}")
        append_row("synthetic", {"what": what, "images_per_second": round(best), "ratio": round(best / WANTED, 2)})


if __name__ == "__main__":
    main()
