"""Alignment of photos whose longer side has 640 pixels, by `limen data align` with one worker, beside the bare detector on the same
pixels already decoded. Times are CPU seconds of one core: a disk or a neighbour that makes the process wait is not counted. Appends a row
to benchmarks/results/alignment.csv.

    python benchmarks/alignment.py --photos PHOTOS --detector yunet.onnx
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
from machine import append_row

from limen.align import SIDE, FaceSearch, open_detector
from limen.data import align_folder, list_images
from limen.data.images import read_photo


def shrink(photos, folder):
    """Writes the photos with a longer side of SIDE pixels, as JPEG; smaller ones are left out."""
    count = 0
    for file in list_images([photos]):
        photo = read_photo(file)
        scale = SIDE / max(photo.shape[:2])
        if scale <= 1:
            size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
            cv2.imwrite(str(folder / f"{count:04d}.jpg"), cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[..., ::-1])
            count += 1


def cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, metavar="DIR")
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    detector = open_detector(options.detector)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as made:
        photos = Path(made) / "photos"
        photos.mkdir()
        shrink(options.photos, photos)
        decoded = [read_photo(file) for file in list_images([photos])]
        whole, bare = [], []
        for number in range(options.rounds + 1):  # the first warms up
            bare.append(cpu_seconds(lambda: [detector.detect(photo) for photo in decoded]))
            out = Path(made) / str(number)
            whole.append(cpu_seconds(lambda out=out: align_folder(photos, out, FaceSearch(detector), workers=1)))
    share = statistics.median(one / other for one, other in zip(bare[1:], whole[1:], strict=True))
    rate = len(decoded) / statistics.median(whole[1:])
    print(f"{len(decoded)} photos: {rate:.1f} photos a second of one core; the bare detector takes {share:.3f} of that time")
    print("  of each round", ", ".join(f"{one / other:.3f}" for one, other in zip(bare[1:], whole[1:], strict=True)))
    row = {"photos": len(decoded), "side": SIDE, "rounds": options.rounds, "photos_a_core_second": round(rate, 1)}
    append_row("alignment", row | {"detector_share": round(share, 3), "opencv": cv2.__version__})


if __name__ == "__main__":
    main()
