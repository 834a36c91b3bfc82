"""IJB-S as a small tree on disk: its tables, and crops as their holders make them."""

from made_up import write_face, write_lines

SEEN = {  # medium -> subjects
    "videos/9001.mp4": ["31", "32"],
    "videos/9002.mp4": ["31", "33"],
    "videos/9003.mp4": ["32"],
    "videos/9050.mp4": ["34"],
    "videos/9060.mp4": ["31", "32", "33", "34"],
    **{f"img/7000{subject}.jpg": [subject] for subject in ("31", "32", "33", "34")},
    **{f"img/8000{subject}.jpg": [subject] for subject in ("31", "32", "33", "34")},
    "img/900034.jpg": ["34"],
}
HALVES = {"g1": ["31", "32"], "g2": ["33", "34"]}
PROBES = {
    "surveillance_to_single-booking": ["videos/9001.mp4", "videos/9002.mp4", "videos/9003.mp4"],
    "surveillance_to_surveillance": ["videos/9001.mp4", "videos/9002.mp4", "videos/9003.mp4"],
    "uav_to_single-booking": ["videos/9050.mp4", "img/900034.jpg", "videos/9001.mp4"],
}
NO_CROPS = ("32", "videos/9003.mp4")


def write_tables(folder, start="ijbs", end="\n", **changed):
    rows = [f"{subject},{medium},10,12,40,44" for medium, subjects in SEEN.items() for subject in subjects for _ in range(2)]
    write_lines(folder / f"{start}_metadata.csv", *changed.get("metadata", ["SUBJECT_ID,FILENAME,X,Y,W,H", *rows]), end=end)
    for name, media in PROBES.items():
        write_lines(folder / f"{start}_{name}_probe.csv", *changed.get(name, ["FILENAME", *media]), end=end)
    for half, subjects in HALVES.items():
        media = {
            "single": [(who, f"img/7000{who}.jpg") for who in subjects],
            "booking": [(who, f"img/{kind}000{who}.jpg") for who in subjects for kind in (7, 8)],
            "surveillance": [(who, "videos/9060.mp4") for who in subjects],
        }
        for kind, pairs in media.items():
            rows = [f"{number},{who},{medium}" for number, (who, medium) in enumerate(pairs)]
            lines = changed.get(f"{kind}_{half}", ["TEMPLATE_ID,SUBJECT_ID,FILENAME", *rows])
            write_lines(folder / "galleries" / f"{start}_surveillance_to_{kind}_{half}.csv", *lines, end=end)


def write_crops(folder):
    for medium, subjects in SEEN.items():
        for who in subjects:
            kind, _, name = medium.partition("/")
            if (who, medium) != NO_CROPS:
                frames = [f"_{frame}" for frame in (5, 17)] if kind == "videos" else [""]
                for number, frame in enumerate(frames, start=1):
                    write_face(folder / who / f"{kind}_{name.rpartition('.')[0]}{frame}.jpg", int(who), number)
