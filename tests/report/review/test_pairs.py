"""The page of an evaluation's worst pairs, in a browser: what stands on it, its keys, and decisions that no image is blamed for."""

from pathlib import Path

import cv2
import numpy as np

from limen.cli import main
from limen.data import FileSource, FolderSource
from limen.data.decisions import read_decisions
from limen.data.pairs import PairSet
from limen.protocols import PairScores, Verification, save_results
from limen.tables import read_csv

COLUMNS = ["file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with"]


def test_the_worst_pairs_are_shown_decided_and_blame_no_image(browser, tmp_path, capsys):
    files = [tmp_path / "faces" / name / f"{k}.png" for name in ("Ann", "Bo", "Cy") for k in range(2)]
    for shade, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((112, 112, 3), 40 * shade, np.uint8))
    first, second = np.triu_indices(6, 1)
    same, score = first // 2 == second // 2, np.linspace(0.9, -0.5, 15)
    score[same] = (0.1, 0.8, 0.7)  # Ann's two images are unlike; the first pair of two people, of images 0 and 2, is the most alike
    pairs = PairSet("own", FileSource(files), first, second, same, np.arange(6) // 2)
    result = Verification(pairs, replicates=2, far=(0.1,)).judge(PairScores(2 - 2 * score, {}), {"model_sha256": "a" * 64}, "model")
    save_results([result], tmp_path / "result.json")
    assert main(["review", str(tmp_path / "result.json"), "--out", str(tmp_path / "page.html")]) == 0
    browser.open(tmp_path / "page.html")
    card = "document.querySelector('.card').innerText"
    assert "labelled as two people: Ann and Bo" in browser.run(card)
    assert browser.run("[...document.querySelectorAll('.doubt img')].every((image) => image.naturalWidth === 112)")
    browser.keys("w", "r", "m", "y")  # the last two are no keys of this page
    mated = browser.run("items.findIndex((item) => item.title === 'labelled as one person')")
    browser.run(f"show({mated})")
    assert "labelled as one person: Ann" in browser.run(card)
    assert "false non-match of model on own · score 0.1000" in browser.run(card)
    browser.keys("u", "s")
    (tmp_path / "d.csv").write_bytes(browser.downloaded("decisions.csv"))
    rows = [row for _, row in read_csv(tmp_path / "d.csv", COLUMNS)]
    place = {(row["file"], row["pair_with"]): row["decision"] for row in rows}
    assert place[str(files[0]), str(files[2])] == "wrong"
    assert place[str(files[0]), str(files[1])] == "unsure"
    assert len(rows) == 3
    assert {row["model"] for row in rows} == {result.switches.get("model_sha256", "model")}
    browser.open(tmp_path / "page.html")  # reloaded: all is there
    assert f"{len(result.hard_pairs) - 3} undecided" in browser.run("document.body.innerText")
    assert read_decisions([tmp_path / "d.csv"])[1:] == ([], 3)
    assert main(["data", "apply", str(tmp_path / "d.csv"), "--data", str(tmp_path / "faces"), "--out", str(tmp_path / "new.csv")]) == 0
    assert "3 decisions on pairs are passed over" in capsys.readouterr().out
    assert len(FolderSource(tmp_path / "faces")) == len(Path(tmp_path / "new.csv").read_text().splitlines()) - 1
