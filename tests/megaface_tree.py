"""MegaFace as a small tree on disk: lists, noise lists and images, as in insightface's test pack."""

from made_up import write_face, write_lines

PROBES = {
    f"{person}/{person}_{number}.png": place
    for place, person in enumerate(["Ann_Example", "Bo_O'Sample", "C.J._Made-Up_Jr."])
    for number in (101, 103, 7)
}
DISTRACTORS = [f"{folder:03d}/{folder}1111111@N00/22222222{folder}_{k}.jpg" for folder in (12, 13) for k in range(4)]
NOISY_PROBE, NOISY_DISTRACTOR = "Ann_Example_103", DISTRACTORS[2]


def write_tree(root, noise=True, end="\n", suffix=".png"):
    write_lines(root / "facescrub_lst", *PROBES, end=end)
    write_lines(root / "megaface_lst", *DISTRACTORS, end=end)
    write_lines(root / "facescrub_lst_all", *PROBES, "More/More_1.png", end=end)
    if noise:
        write_lines(root / "facescrub_noises.txt", "#comment", f"{NOISY_PROBE}.png", "Zed_Elsewhere_9.png", end=end)
        write_lines(root / "megaface_noises.txt", "#comment", NOISY_DISTRACTOR, end=end)
    write_images(root / "facescrub_images", root / "megaface_images", suffix)


def write_images(probes, distractors, suffix=".png"):
    for number, (path, person) in enumerate(PROBES.items()):
        write_face(probes / (path.removesuffix(".png") + suffix), person, number + 1)
    for number, path in enumerate(DISTRACTORS):
        write_face(distractors / path, 4 + number, 1)
