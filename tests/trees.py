"""The one-to-one benchmarks as small trees on disk. Each writer makes a folder and gives the pairs of its lists: (image, image, same)."""

import lzma
import pickle

import cv2
import numpy as np
from scipy.io import savemat

from limen.align import TEMPLATE
from made_up import NAMES, face, write_face, write_image, write_lines

ENDS = {"unix": "\n", "dos": "\r\n"}
MATED = [(name, 1, name, 2) for name in NAMES[:4]]
OTHER = [(NAMES[k], 1, NAMES[k + 1], 3) for k in range(4)]
SCALE, SHIFT = 2.0, 20  # a loose crop: the face twice as large, away from the corner


def write_loose(path, person, number):
    """A face that its five points move back onto the template, to the pixel but for interpolation and JPEG."""
    large = cv2.resize(face(person, number), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    write_image(path, np.pad(large, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))))


def loose_points():
    """The centre of a pixel lies half a pixel from its corner."""
    return (TEMPLATE + 0.5) * SCALE - 0.5 + SHIFT


def pack(root, name, suffix=".bin"):
    pairs = [*MATED, *OTHER] * 2
    images = [cv2.imencode(".png", face(NAMES.index(p), n)[..., ::-1])[1].tobytes() for a, i, b, j in pairs for p, n in ((a, i), (b, j))]
    packed = pickle.dumps((images, [a == b for a, _, b, _ in pairs]))
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}{suffix}").write_bytes(lzma.compress(packed) if suffix.endswith("xz") else packed)
    first = [images.index(image) for image in images]  # equal images are one
    return [(f"image {first[2 * k]}", f"image {first[2 * k + 1]}", a == b) for k, (a, _, b, _) in enumerate(pairs)]


def vgg2(root, end="\n"):
    return pack(root, "vgg2_fp")


def cfp(protocol):
    def write(root, end="\n"):
        base = root / "cfp-dataset"
        for person in (1, 2, 3, 4):
            for pose in ("frontal", "profile"):
                for number in (1, 2):
                    write_face(base / f"Data/Images/{person:03d}/{pose}/{number:02d}.jpg", person, number + 2 * (pose == "profile"))
        for letter, pose in (("F", "frontal"), ("P", "profile")):
            lines = [f"{2 * p + n - 2} ../Data/Images/{p:03d}/{pose}/{n:02d}.jpg" for p in (1, 2, 3, 4) for n in (1, 2)]
            write_lines(base / f"Protocol/Pair_list_{letter}.txt", *lines, end=end)
        split, pairs = base / f"Protocol/Split/{protocol}", []
        for fold, people in ((1, (1, 2)), (2, (3, 4))):
            one, other = (2 * p - 1 for p in people)
            same = [(one, one + 1), (other, other + 1)]
            different = [(one, other), (other, one + 1)]
            for name, rows in (("same", same), ("diff", different)):
                write_lines(split / f"{fold:02d}/{name}.txt", *[f"{a},{b}" for a, b in rows], end=end)
                second = "profile" if protocol == "FP" else "frontal"
                pairs += [(path_of(a, "frontal"), path_of(b, second), name == "same") for a, b in rows]
        return pairs

    def path_of(number, pose):
        return f"Data/Images/{(number + 1) // 2:03d}/{pose}/{2 - number % 2:02d}.jpg"

    return write


def agedb(root, end="\n"):
    pairs = [(f"{10 + k}_{a.replace('_', '')}_{20 + k}_f", f"{20 + k}_{b.replace('_', '')}_{50 + k}_f", a == b) for k, (a, _, b, _) in
             enumerate([*MATED[:2], *OTHER[:2], *MATED[2:], *OTHER[2:]])]  # fmt: skip
    for k, (one, other, _) in enumerate(pairs):
        write_face(root / f"03_Protocol_Images/03_Protocol_Images/{one}.jpg", k, 1)
        write_face(root / f"03_Protocol_Images/03_Protocol_Images/{other}.jpg", k, 2)
    splits = np.empty((2, 1), object)
    for fold in range(2):
        rows = pairs[4 * fold : 4 * fold + 4]
        cells = np.empty((2, 4), object)
        for side in (0, 1):
            for k, row in enumerate(rows):
                cells[side, k] = {"stem": row[side], "age": 20.0 + k}
        splits[fold, 0] = {"pairs": cells, "labels": np.array([[1 if row[2] else -1 for row in rows]])}
    savemat(root / "04_FINAL_protocol_30_years.mat", {"splits": splits})
    return [(f"{one}.jpg", f"{other}.jpg", same) for one, other, same in pairs]


def two_lines_a_pair(name, digits, loose=False):
    def write(root, end="\n"):
        pairs = [(f"{a}_{i:0{digits}d}.jpg", f"{b}_{j:0{digits}d}.jpg", a == b) for a, i, b, j in [*MATED, *OTHER]]
        tokens = [str(1 + k // 2) if same and name == "CALFW" else str(int(same)) for k, (_, _, same) in enumerate(pairs)]
        lines = [f"{image} {token}" for (one, other, _), token in zip(pairs, tokens, strict=True) for image in (one, other)]
        write_lines(root / f"pairs_{name}.txt", *lines, end=end)
        folder = root / ("images&landmarks/images&landmarks" if loose else ".")
        for a, i, b, j in [*MATED, *OTHER]:
            for person, number in ((a, i), (b, j)):
                file = folder / f"images/{person}_{number:0{digits}d}.jpg"
                (write_loose if loose else write_face)(file, NAMES.index(person), number)
                if loose:
                    points = [f"{x:.3f} {y:.3f}" for x, y in loose_points()]
                    write_lines(folder / f"CA_landmarks/{file.stem}_5loc_attri.txt", *points, end=end)
        return pairs

    return write


def named_list(header, order):
    return [header] * bool(header) + ["\t".join(map(str, (a, i, j) if a == b else (a, i, b, j))) for a, i, b, j in order]


def xqlfw(root, end="\n"):
    order = [*MATED[:2], *OTHER[:2], *MATED[2:], *OTHER[2:]]
    write_lines(root / "xqlfw_pairs.txt", *[line.replace("\t", " ") for line in named_list("2 2", order)], end=end)
    for a, i, b, j in order:
        for person, number in ((a, i), (b, j)):
            write_face(root / f"xqlfw_aligned_112/{person}/{person}_{number:04d}.jpg", NAMES.index(person), number)
    write_face(root / "lfw/Ann_Example/Ann_Example_0001.jpg", 5, 5)  # LFW's own, which is not to be taken
    return [(f"{a}/{a}_{i:04d}.jpg", f"{b}/{b}_{j:04d}.jpg", a == b) for a, i, b, j in order]


GROUPS = ("African", "Asian", "Caucasian", "Indian")


def rfw(loose=False):
    def write(root, end="\n"):
        pairs = []
        for number, group in enumerate(GROUPS):
            people = [f"m.0{group[:2].lower()}{k}x" for k in range(4)]
            order = [(name, 1, name, 2) for name in people] + [(people[k], 1, people[(k + 1) % 4], 3) for k in range(4)]
            write_lines(root / f"txts/{group}/{group}_pairs.txt", *named_list("", order), end=end)
            marks = []
            for name in people:
                for image in (1, 2, 3):
                    path = f"{group}/{name}/{name}_{image:04d}.jpg"
                    (write_loose if loose else write_face)(root / "data" / path, number * 3 + people.index(name), image)
                    marks.append("\t".join([f"/test/data/{path}", "0", *(f"{value:.3f}" for value in loose_points().ravel())]))
            if loose:
                write_lines(root / f"txts/{group}/{group}_lmk.txt", *marks, end=end)
            pairs += [(f"{group}/{a}/{a}_{i:04d}.jpg", f"{group}/{b}/{b}_{j:04d}.jpg", a == b) for a, i, b, j in order]
        return pairs

    return write


def bfw(root, end="\n"):
    header = ",fold,p1,p2,label,id1,id2,att1,att2,vgg16,a1,a2,g1,g2,e1,e2"
    rows, pairs = [], []
    for group, (folder, letters) in enumerate((("asian_females", "AF"), ("black_males", "BM"))):
        people = [f"{folder}/n90000{k}" for k in range(4)]
        for k in range(8):
            one, other = f"{people[k % 4]}/001{k}_01.jpg", f"{people[k % 4 if k < 4 else (k + 1) % 4]}/002{k}_02.jpg"
            for image, (name, person) in enumerate(((one, k), (other, k + 1))):
                write_face(root / f"bfw-cropped-aligned/{name}", group * 4 + person % 4, image + 1)
            rows.append(f"{len(rows)},{1 + k % 2},{one},{other},{int(k < 4)},0,0,{folder},{folder},0.5,{letters},{letters},F,F,A,A")
            pairs.append((one, other, k < 4))
    write_lines(root / "bfw-v0.1.5-datatable.csv", header, *rows, end=end)
    return pairs


def adience(root, end="\n"):
    images = [(person, image) for person in range(3) for image in range(3)]
    names = [f"p_{person}_img_{index}" for index, (person, _) in enumerate(images)]
    for name, (person, image) in zip(names, images, strict=True):
        write_face(root / f"images/{name}.jpg", person, image + 1)
    pairs = [(a, b, images[a][0] == images[b][0]) for a in range(9) for b in range(a + 1, 9)]
    write_lines(root / "pair_list.txt", *[f"{names[a]} {names[b]} {int(same)}" for a, b, same in pairs], end=end)
    return [(f"{names[a]}.jpg", f"{names[b]}.jpg", same) for a, b, same in pairs]


def ijb_suite(letter):
    """Three people; person p has the templates 10p + 1 of two media and 10p + 2 of one image. Template 99 has no image."""

    def write(root, end="\n"):
        rows, points = [], []
        where = " ".join(f"{value:.3f}" for value in loose_points().ravel())
        for person in (1, 2, 3):
            for image, (template, medium) in enumerate(((1, 1), (1, 1), (1, 2), (2, 3))):
                name = f"{len(rows) + 1}.jpg"
                write_loose(root / f"loose_crop/{name}", person, image + 1)
                rows.append(f"{name} {10 * person + template} {100 * person + medium}")
                points.append(f"{name} {where} 0.{9 - image}5")
        meta = root / "meta"
        write_lines(meta / f"ijb{letter}_face_tid_mid.txt", *rows, end=end)
        write_lines(meta / f"ijb{letter}_name_5pts_score.txt", *points, end=end)
        pairs = [(10 * p + 1, 10 * q + 2, int(p == q)) for p in (1, 2, 3) for q in (1, 2, 3)] + [(11, 99, 0), (21, 99, 1)]
        write_lines(meta / f"ijb{letter}_template_pair_label.txt", *[f"{a} {b} {label}" for a, b, label in pairs], end=end)
        return [(f"template {a}", f"template {b}", bool(label)) for a, b, label in pairs]

    return write


def ijb_original(root, end="\n"):
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM"
    protocols, pairs = root / "protocols", []
    gallery, probes = [], []
    for person in (1, 2, 3):
        gallery.append(f"{person},3{person},img/1{person}.jpg,5,10,20,88,91,0")
        write_face(root / f"aligned/img/1{person}.jpg", person, 1)
        for frame in (1, 2):
            probes.append(f"50{person},3{person},frames/2{person}_{frame}.png,6,,,,,{frame}")
            write_face(root / f"aligned/frames/2{person}_{frame}.jpg", person, 1 + frame)
    probes += ["504,31,img/40.jpg,7,1,2,30,40,0", "505,32,img/40.jpg,8,50,2,30,40,0"]  # two faces in one photo
    write_face(root / "aligned/img/40_1_2_30_40.jpg", 1, 4)
    write_face(root / "aligned/img/40_50_2_30_40.jpg", 2, 4)
    probes.append("506,33,img/41.jpg,9,1,2,30,40,0")  # without a crop
    write_lines(protocols / "ijbc_1N_gallery_G1.csv", header, *gallery[:2], end=end)
    write_lines(protocols / "ijbc_1N_gallery_G2.csv", header, *gallery[2:], end=end)
    write_lines(protocols / "ijbc_1N_probe_mixed.csv", header, *probes, end=end)
    matches = [(p, 500 + q) for p in (1, 2, 3) for q in range(1, 7)]
    subject = {501: 1, 502: 2, 503: 3, 504: 1, 505: 2, 506: 3}
    write_lines(protocols / "ijbc_11_G1_G2_matches.csv", *[f"{a},{b}" for a, b in matches], end=end)
    pairs += [(f"template {a}", f"template {b}", a == subject[b]) for a, b in matches]
    return pairs


TREES = {
    "vgg2-fp": vgg2,
    "cfp-fp": cfp("FP"),
    "cfp-ff": cfp("FF"),
    "agedb-30": agedb,
    "calfw": two_lines_a_pair("CALFW", 4),
    "calfw raw": two_lines_a_pair("CALFW", 4, loose=True),
    "cplfw": two_lines_a_pair("CPLFW", 1),
    "xqlfw": xqlfw,
    "rfw": rfw(),
    "rfw raw": rfw(loose=True),
    "bfw": bfw,
    "adience": adience,
    "ijbb": ijb_suite("b"),
    "ijbc": ijb_suite("c"),
    "ijbc original": ijb_original,
}
