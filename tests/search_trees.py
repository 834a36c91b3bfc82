"""The one-to-many benchmarks as small trees on disk. Each writer makes a folder and gives what its lists say.

That is, for each gallery by name, the entries and the probes as {path: person}, None for somebody in no other image.
"""

import numpy as np
from scipy.io import savemat

import trees
from made_up import NAMES, write_face, write_lines


def cells(names):
    column = np.empty((len(names), 1), object)
    column[:, 0] = names
    return column


def write_lists(path, names_variable, ids_variable, people, dtype=np.uint16):
    """`people`: image -> id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {names_variable: cells(list(people)), ids_variable: np.array(list(people.values()), dtype)[:, None]})


def write_all(folder, images, person_of=lambda image: int(image.split("_")[0]), suffix=".jpg"):
    for place, image in enumerate(images):
        write_face(folder / (image.removesuffix(".jpg") + suffix), person_of(image), place + 1)


def folders(root):
    for side, people, numbers in (("gallery", NAMES[:3], (1, 2)), ("probe", [*NAMES[:3], NAMES[4]], (3, 4))):
        for name in people:
            for number in numbers:
                write_face(root / side / name / f"{number}.jpg", NAMES.index(name), number)
    for place in range(3):
        write_face(root / "distractors" / f"{place}.jpg", 5 + place, 1)
    entries = {f"gallery/{name}": name for name in NAMES[:3]}  # one template of both images
    probes = {f"probe/{name}/{number}.jpg": name for name in [*NAMES[:3], NAMES[4]] for number in (3, 4)}
    return {"": (entries | dict.fromkeys((f"distractors/{place}.jpg" for place in range(3)), None), probes)}


def tinyface(root, suffix=".jpg"):
    """The ids are not the numbers of file names: 7 is 1, 9 is 2."""
    gallery, probe, others = {"7_1.jpg": 1, "7_2.jpg": 1, "9_1.jpg": 2}, {"7_3.jpg": 1, "9_2.jpg": 2}, [f"{k}.jpg" for k in range(4)]
    lists, images = root / "tinyface" / "Testing_Set", root / "aligned_pad_0.1_pad_high"
    write_lists(lists / "gallery_match_img_ID_pairs.mat", "gallery_set", "gallery_ids", gallery)
    write_lists(lists / "probe_img_ID_pairs.mat", "probe_set", "probe_ids", probe, float)
    write_all(images / "Gallery_Match", gallery, suffix=suffix)
    write_all(images / "Probe", probe, suffix=suffix)
    write_all(images / "Gallery_Distractor", others, lambda image: int(image[0]), suffix)
    named = {f"Gallery_Match/{image}": person for image, person in gallery.items()}
    named |= {f"Gallery_Distractor/{image}": None for image in others}
    return {"": (named, {f"Probe/{image}": person for image, person in probe.items()})}


def scface(flat=False):
    def write(root):
        base = root / "SCface_database"
        mugshots = {f"mugshot_frontal_cropped_all/{person:03d}_frontal.JPG": person for person in (1, 2, 3)}
        for image, person in mugshots.items():
            write_face(base / image, person, 1)
        said = {}
        for distance in (1, 2, 3):
            probes = {}
            for person in (1, 2, 3):
                for camera in range(1, 8):
                    folder = "surveillance_cameras_all" if flat else f"surveillance_cameras_distance_{distance}/cam_{camera}"
                    image = f"{folder}/{person:03d}_cam{camera}_{distance}.jpg"
                    write_face(base / image, person, 1 + camera)
                    probes |= {image: person} if camera <= 5 else {}
            said[f"distance {distance}"] = (mugshots, probes)
        if flat:
            write_face(base / "surveillance_cameras_all" / "001_cam8.jpg", 1, 6)
        return said

    return write


def survface(root):
    gallery = {"10002_cam1_1.jpg": 1, "10007_cam2_1.jpg": 2, "10007_cam2_2.jpg": 2}
    mated, unmated = {"10002_cam3_1.jpg": 1, "10007_cam1_3.jpg": 2}, ["10009_cam1_1.jpg", "distractors_1.jpg", "distractors_2.jpg"]
    base = root / "QMUL-SurvFace" / "Face_Identification_Test_Set"
    write_lists(base / "gallery_img_ID_pairs.mat", "gallery_set", "gallery_ids", gallery)
    write_lists(base / "mated_probe_img_ID_pairs.mat", "mated_probe_set", "mated_probe_ids", mated)
    write_all(base / "gallery", gallery)
    write_all(base / "mated_probe", mated)
    write_all(base / "unmated_probe", unmated, len)
    probes = {f"mated_probe/{image}": person for image, person in mated.items()} | {f"unmated_probe/{image}": None for image in unmated}
    return {"": ({f"gallery/{image}": person for image, person in gallery.items()}, probes)}


def write_survface_pairs(root, mated=(("10002_cam1_1", "10002_cam3_2"), ("10007_cam1_1", "10007_cam1_2"))):
    other = [("10002_cam1_1", "10007_cam1_1"), ("10009_cam1_1", "10002_cam3_2")]
    base = root / "Face_Verification_Test_Set"
    for kind, pairs in (("positive", mated), ("negative", other)):
        base.mkdir(parents=True, exist_ok=True)
        listed = np.array([[f"{image}.jpg" for image in pair] for pair in pairs], object)
        savemat(base / f"{kind}_pairs_names.mat", {f"{kind}_pairs_names": listed})
    write_all(base / "verification_images", sorted({f"{image}.jpg" for pair in [*mated, *other] for image in pair}))
    return [(f"{a}.jpg", f"{b}.jpg", True) for a, b in mated] + [(f"{a}.jpg", f"{b}.jpg", False) for a, b in other]


def ijb_suite(letter, galleries):
    """The templates of the one-to-one suite: 31 is in the first gallery, 32 in the second, 33 in none; 34 is in the first without image."""

    def write(root):
        trees.ijb_suite(letter)(root)
        tables = {f"gallery_{galleries[0]}": {11: 31, 99: 34}, f"gallery_{galleries[1]}": {21: 32}, "probe_mixed": {12: 31, 22: 32, 32: 33}}
        for name, people in tables.items():
            rows = [f"{template},{person},img/{image}.jpg" for template, person in people.items() for image in (1, 2)]
            write_lines(root / "meta" / f"ijb{letter}_1N_{name}.csv", "TEMPLATE_ID,SUBJECT_ID,FILENAME", *rows)
        first, second, probes = ({f"template {template}": person for template, person in people.items()} for people in tables.values())
        return {galleries[0]: (first, probes), galleries[1]: (second, probes)}

    return write


def ijb_original(newer=False):
    """The templates 1 and 2 are in the first gallery, 3 in the second; 506 has no crop."""

    def write(root):
        trees.ijb_original(root)
        if newer:
            for old, new in (("gallery_G1", "gallery_G1"), ("gallery_G2", "gallery_G2"), ("probe_mixed", "probes")):
                (root / "protocols/test4").mkdir(exist_ok=True)
                (root / f"protocols/ijbc_1N_{old}.csv").rename(root / f"protocols/test4/{new}.csv")
        probes = {f"template {number}": person for number, person in zip(range(501, 507), (31, 32, 33) * 2, strict=True)}
        return {"G1": ({"template 1": 31, "template 2": 32}, probes), "G2": ({"template 3": 33}, probes)}

    return write


TREES = {"folders": folders, "tinyface": tinyface, "scface": scface(), "scface flat": scface(True), "survface": survface}
TREES |= {"ijbb-search": ijb_suite("b", ("S1", "S2")), "ijbc-search": ijb_suite("c", ("G1", "G2"))}
TREES |= {"ijbc-search original": ijb_original(), "ijbc-search newer original": ijb_original(newer=True)}
