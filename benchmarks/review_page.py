"""How long a page of `limen review` takes to open in headless Chromium, beside an empty page, and how large it is.

    PYTHONPATH=tests python benchmarks/review_page.py suspects.html [--rounds 9]

A page is open when it is loaded and drawn once. Medians of one run. Appends a row to benchmarks/results/review_page.csv.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from machine import append_row

from browser import Browser


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        empty = Path(home, "empty.html")
        empty.write_text("<!doctype html><main>empty</main>")
        browser = Browser(Path(home))
        pages = {"page": options.page.resolve(), "empty": empty}
        seconds = {name: [] for name in pages}
        for _ in range(options.rounds):
            for name, page in pages.items():
                seconds[name].append(browser.open(page))
        browser.open(pages["page"])
        items = browser.run("document.querySelectorAll('.strip button').length")
        browser.close()
    row = {"items": items, "megabytes": round(options.page.stat().st_size / 1e6, 2)}
    row |= {f"seconds_{name}": round(statistics.median(times), 3) for name, times in seconds.items()}
    row |= {"seconds_most": round(max(seconds["page"]), 3)}
    print("  ".join(f"{key} {value}" for key, value in row.items()))
    append_row("review_page", row)


if __name__ == "__main__":
    main()
