"""The pages with sliders, in a browser: what they tell at each place equals what is counted in the scores and rows themselves."""

import re

import numpy as np
import pytest

from limen.cli import main
from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.metrics.intervals import proportion_interval
from limen.protocols import PairScores, Verification, save_results
from limen.report.quality_sheet import COLUMNS
from limen.report.review import review_pairs, review_quality, review_threshold
from limen.tables import write_csv
from numbered_images import NumberedImages

PAIRS = 3000


@pytest.fixture(scope="module")
def judged():
    """Scores of made-up pairs, whether they are mated, and the Result."""
    random = np.random.default_rng(0)
    same = np.arange(PAIRS) % 3 == 0
    first = random.integers(50, size=PAIRS) * 2
    second = np.where(same, first + 1, (first + 2 * random.integers(1, 50, size=PAIRS)) % 100)
    distance = np.clip(np.where(same, 0.8, 1.6) + 0.3 * random.normal(size=PAIRS), 0, 4)
    pairs = PairSet("made up", NumberedImages(100, (), lambda k: f"/faces/{k}.jpg"), first, second, same, np.arange(100) // 2)
    return 1 - distance / 2, same, Verification(pairs, replicates=2, far=(0.1, 0.01)).judge(PairScores(distance, {}), {}, "model")


def told(browser):
    return browser.run("document.querySelector('dl').innerText")


def test_rates_at_every_threshold_are_those_of_the_scores(browser, judged, tmp_path):
    score, same, result = judged
    save_results([result], tmp_path / "result.json")
    assert main(["review", str(tmp_path / "result.json"), "--threshold", "--out", str(tmp_path / "page.html")]) == 0
    browser.open(tmp_path / "page.html")
    assert "has to be reported on others" in browser.run("document.querySelector('main').innerText")
    last = int(browser.run("slider.max"))
    start = int(browser.run("slider.value"))
    for place in (start, 0, last // 3, last):
        browser.run(f"slider.value = {place}; slider.dispatchEvent(new Event('input'))")
        threshold = browser.run(f"DATA.results[0].points[{place}][0]")
        matches, misses = int((score[~same] >= threshold).sum()), int((score[same] < threshold).sum())
        low, high = proportion_interval(matches, (~same).sum())
        text = told(browser)
        assert f"{matches:,} of {(~same).sum():,} pairs" in text
        assert f"{misses:,} of {same.sum():,} pairs" in text
        first = re.search(r"interval ([\d.e-]+) % to ([\d.e-]+) %", text)
        assert [float(end) for end in first.groups()] == pytest.approx([100 * low, 100 * high], rel=0.01, abs=1e-9)
        assert (matches / (~same).sum() <= 1e-3) == (place >= start)  # it begins at FMR .001
    browser.run("slider.focus()")
    browser.keys("ArrowLeft")
    assert int(browser.run("slider.value")) == last - 1


def test_quality_refuses_those_below_the_slider(browser, tmp_path):
    import cv2

    rows = []
    for k in range(12):
        cv2.imwrite(str(tmp_path / f"{k}.jpg"), np.full((112, 112, 3), 20 * k, np.uint8))
        rows.append([str(tmp_path / f"{k}.jpg"), (k * 5) % 12, 8.0 * ((k * 5) % 12), 0.5 - ((k * 5) % 12) / 40, 0.1, 0.6])
    write_csv(tmp_path / "q.csv", COLUMNS, [*rows, ["gone.jpg", "", "", "", "", ""]])
    assert main(["review", str(tmp_path / "q.csv"), "--out", str(tmp_path / "page.html")]) == 0
    browser.open(tmp_path / "page.html")
    assert "0 of 12" in told(browser)
    browser.run("slider.focus()")
    browser.keys(*["ArrowRight"] * 5)
    text = told(browser)
    assert "5 of 12" in text
    assert "41.7 %" in text
    assert "40.0" in text  # the percentile of the first that passes, of quality 5
    assert "37.5 %" in text
    assert "10.0 % to 60.0 %" in text
    assert browser.run("document.querySelectorAll('.refused').length") == 5
    browser.keys("End")
    assert "none passes" in told(browser)


def test_a_quality_without_calibration_says_no_more_than_it_is(browser, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((112, 112, 3), np.uint8))
    write_csv(tmp_path / "q.csv", COLUMNS[:2], [[str(tmp_path / "a.jpg"), 1.5]])
    review_quality(tmp_path / "q.csv", tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert "not calibrated" in browser.run("document.querySelector('main').innerText")
    assert "FNMR" not in told(browser)


def test_pages_of_nothing_are_refused_in_one_line(judged, tmp_path):
    write_csv(tmp_path / "q.csv", COLUMNS[:2], [["a.jpg", ""]])
    with pytest.raises(LimenError, match="holds no quality"):
        review_quality(tmp_path / "q.csv", tmp_path / "page.html")
    write_csv(tmp_path / "q.csv", COLUMNS[:2], [["a.jpg", "1"]])
    with pytest.raises(LimenError, match="none of its images is there"):
        review_quality(tmp_path / "q.csv", tmp_path / "page.html")
    with pytest.raises(LimenError, match="none of its pairs are files"):
        review_pairs([judged[2]], tmp_path / "result.json", tmp_path / "page.html")
    with pytest.raises(LimenError, match="holds no scores"):
        review_threshold([], tmp_path / "result.json", tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["q.csv"]
