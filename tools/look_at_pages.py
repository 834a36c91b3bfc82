"""Opens every page of a built site in headless Chromium at the width of a phone and of a desk, and says page by page what is wrong.

python tools/look_at_pages.py build/site                       # after `make docs`; ends with status 1 where a page has a fault
python tools/look_at_pages.py limen-demo --pictures looked/    # a report; and pictures of the pages to look at

A fault is a page wider than its window, an error on the console, or a file that the page asks for and that is not there.
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

FAULT = re.compile(r'"[^"]*(uncaught|error|fail|refused|blocked)', re.IGNORECASE)
WIDTHS = {"phone": 390, "desk": 1280}
LOOK = """<!doctype html><title>look</title><body style="margin:0"><pre id="found"></pre><script>
const pages = PAGES, widths = WIDTHS, found = [];
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:800px;border:0`;
  document.body.append(frame);
  const errors = [];
  await new Promise(done => {
    frame.onload = done;
    frame.src = page;
    const early = setInterval(() => {
      if (frame.contentWindow.location.href === "about:blank") return;
      clearInterval(early);
      frame.contentWindow.addEventListener("error", event => errors.push(event.message));
    }, 1);
  });
  await new Promise(done => setTimeout(done, 60));
  const root = frame.contentDocument.documentElement, over = root.scrollWidth - root.clientWidth;
  const wide = over <= 0 ? [] : [...root.querySelectorAll("body *")]
    .filter(one => one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest("[style*='overflow']"))
    .slice(0, 3).map(one => one.tagName + "." + one.className + " " + one.textContent.trim().slice(0, 40));
  found.push({page, width, over, wide, errors});
  frame.remove();
}
(async () => {
  for (const page of pages) for (const width of widths) await look(page, width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""
FRAME = '<!doctype html><body style="margin:0"><iframe src="%s" style="width:%spx;height:%spx;border:0"></iframe>'


class Handler(SimpleHTTPRequestHandler):
    """The site, and the two pages that look at it. Keeps what was asked for and is not there."""

    pages: tuple[str, ...] = ()
    lost: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/__look__":
            self._answer(LOOK.replace("PAGES", json.dumps(self.pages)).replace("WIDTHS", json.dumps(list(WIDTHS.values()))))
        elif parts.path == "/__frame__":
            asked = parse_qs(parts.query)
            self._answer(FRAME % tuple(html.escape(asked[name][0]) for name in ("page", "width", "height")))
        else:
            super().do_GET()

    def _answer(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def send_error(self, code, message=None, explain=None):
        if not self.path.endswith("favicon.ico"):
            self.lost.append((self.headers.get("Referer", ""), self.path))
        super().send_error(code, message, explain)

    def log_message(self, *words):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder of HTML pages")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also write a picture of every page at both widths")
    parser.add_argument("--only", default="", metavar="PART", help="pages whose path contains this")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None))
    options = parser.parse_args()
    if options.browser is None:
        sys.exit("look_at_pages: no Chromium found; name one with --browser")
    files = sorted(path for path in options.site.rglob("*.html") if "_static" not in path.parts)
    Handler.pages = tuple(f"/{path.relative_to(options.site).as_posix()}" for path in files if options.only in path.as_posix())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(options.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    faults = look(options.browser, address)
    if options.pictures:
        for page in Handler.pages:
            take(options.browser, address, page, options.pictures)
    server.shutdown()
    sys.exit(1 if faults else 0)


def look(browser, address):
    """Prints a line for each page, and how many are at fault. Returns that number."""
    ran = run(browser, "--dump-dom", "--virtual-time-budget=10000000", f"{address}/__look__")
    text = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)
    if not text or not text[1]:
        sys.exit(f"look_at_pages: the browser gave nothing\n{ran.stderr[-2000:]}")
    said = [
        (line.split("source: ")[-1], line.split('"')[1]) for line in ran.stderr.splitlines() if "CONSOLE" in line and FAULT.search(line)
    ]
    lost, rows, faults = list(Handler.lost), json.loads(html.unescape(text[1])), 0
    for page in Handler.pages:
        own = [row for row in rows if row["page"] == page]
        found = [f"{row['over']} px too wide at {row['width']}: {'; '.join(row['wide'])}" for row in own if row["over"] > 0]
        found += sorted({error for row in own for error in row["errors"]} | {text for place, text in said if page in place})
        found += sorted({f"asks for {path}" for place, path in lost if place.endswith(page)})
        faults += bool(found)
        print(f"{page}: {' | '.join(found) or 'good'}")
    print(f"{len(Handler.pages)} pages at {' and '.join(f'{width} px' for width in WIDTHS.values())}: {faults} with a fault")
    return faults


def take(browser, address, page, folder):
    """DIR/page-phone.png and DIR/page-desk.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, width in WIDTHS.items():
        height = 2400 if name == "phone" else 1600
        path = folder.resolve() / f"{page.strip('/').removesuffix('.html').replace('/', '_')}-{name}.png"
        query = f"page={page}&width={width}&height={height}"
        run(browser, f"--screenshot={path}", f"--window-size={max(width, 500)},{height}", f"{address}/__frame__?{query}")


def run(browser, *words):
    """Chromium with a profile that is thrown away."""
    with tempfile.TemporaryDirectory() as profile:
        fixed = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
        ]
        return subprocess.run([browser, *fixed, *words], capture_output=True, text=True, timeout=600)


if __name__ == "__main__":
    main()
