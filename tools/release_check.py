"""Is this checkout fit to be published? Builds wheel and sdist, checks both, and uses the wheel in bare environments.

python tools/release_check.py                               # the newest Python here: demo and smoke test; the other Pythons: smoke test
python tools/release_check.py --python python3.12 --demo
python tools/release_check.py --without-torch python3.10    # installs all but PyTorch, and tests what does without it
python tools/release_check.py --oldest                      # each dependency at the lowest version allowed that installs
python tools/release_check.py --newest                      # each at its newest, PyTorch aside: constraints.txt is not read
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SMOKE = """
import numpy as np, torch, limen
from limen.data.synthetic import SyntheticFaces
limen.metrics.eer(np.array([.9, .8]), np.array([.1, .2]))
network, head = limen.create_backbone("tiny", 32), limen.MarginHead(4, 32, limen.margins.AdaFace())
head(network(torch.rand(8, 3, 112, 112)), torch.arange(8) % 4).loss.backward()
print("smoke: a step of training,", SyntheticFaces(1, 1).image(0).shape)
"""
SMOKE_WITHOUT_TORCH = """
import sys, numpy as np, limen
print("smoke without PyTorch: equal error rate", limen.metrics.eer(np.array([.9, .8]), np.array([.1, .2])).value)
assert "torch" not in sys.modules
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=[], help="Pythons to install into; none: this one")
    parser.add_argument("--without-torch", nargs="*", default=[], metavar="PYTHON", help="Pythons to install all but PyTorch into")
    parser.add_argument("--demo", action="store_true", help="run `limen demo` too, in the first environment")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--oldest", action="store_true", help="install the lowest versions that are allowed, of all but PyTorch")
    either.add_argument("--newest", action="store_true", help="install the newest versions, of all but PyTorch")
    options = parser.parse_args()
    wheel = build()
    check(wheel)
    pythons = [(python, True) for python in options.python or [sys.executable]] + [(python, False) for python in options.without_torch]
    for place, (python, with_torch) in enumerate(pythons):
        try_in(python, wheel, with_torch, options.oldest, options.newest, options.demo and place == 0)


def build() -> Path:
    """Wheel and sdist in dist/, built in this environment: nothing is fetched."""
    for old in DIST.glob("limen-*"):
        old.unlink()
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    (wheel,) = DIST.glob("limen-*.whl")
    return wheel


def check(wheel: Path) -> None:
    """pyproject.toml and the description by their own checkers; the wheel holds the package and nothing else."""
    call(sys.executable, "-m", "validate_pyproject", str(ROOT / "pyproject.toml"))
    call(sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.glob("limen-*")))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packaged = {f"limen/{path.relative_to(ROOT / 'src' / 'limen').as_posix()}" for path in sources()}
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == packaged, f"the wheel lacks or adds {sorted(inside ^ packaged)[:5]}"


def sources() -> list[Path]:
    """The files of the package: code, templates, the pages of review, recipes, and the marker of types."""
    files = [path for path in (ROOT / "src" / "limen").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    strange = [path for path in files if path.suffix not in (".py", ".j2", ".html", ".js", ".css", ".typed", ".yaml")]
    assert not strange, f"no data belongs into the package: {strange}"
    return files


def try_in(python: str, wheel: Path, with_torch: bool, oldest: bool, newest: bool, demo: bool) -> None:
    """A bare environment of that Python in a temporary folder, away from the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        call(python, "-m", "venv", f"{folder}/venv")
        bin_ = Path(folder, "venv", "Scripts" if os.name == "nt" else "bin")
        install = [str(bin_ / "python"), "-m", "pip", "install", "--quiet"]
        wanted = [line for line in requirements(wheel) if not line.startswith("torch")]
        if oldest:
            wanted = [lowest(install, line) for line in wanted]
        limits = [] if oldest or newest else ["-c", str(ROOT / "constraints.txt")]
        call(*install, *limits, *wanted)
        if with_torch:
            call(*install, "-c", str(ROOT / "constraints.txt"), "torch")
        call(*install, "--no-deps", str(wheel))
        call(str(bin_ / "limen"), "--version", cwd=folder)
        call(str(bin_ / "limen"), "--help", cwd=folder, quiet=True)
        call(str(bin_ / "limen"), "info", "--system", cwd=folder)
        call(str(bin_ / "python"), "-m", "pip", "list", "--format", "freeze", cwd=folder)
        call(str(bin_ / "python"), "-c", SMOKE if with_torch else SMOKE_WITHOUT_TORCH, cwd=folder)
        if demo:
            call(str(bin_ / "limen"), "demo", "--minutes", "1", cwd=folder)


def lowest(install: list[str], line: str) -> str:
    """The requirement at its lowest version, "4.11" standing for 4.11.0.86 too; as it is where that has no wheel for this Python."""
    for ending in ("", ".*"):
        exact = re.sub(r">=([\d.]+).*", rf"==\1{ending}", line)
        tried = [*install, "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", exact]
        if subprocess.run(tried, capture_output=True, env=environment()).returncode == 0:
            return exact
    print(f"  {exact}: no wheel for this Python; {line} instead", flush=True)
    return line


def requirements(wheel: Path) -> list[str]:
    """What the wheel asks for without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        stated = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist") or []
    return [line for line in stated if "extra ==" not in line]


def call(*words: str, cwd: str | None = None, quiet: bool = False) -> None:
    print("+", " ".join(words)[:160].replace("\n", " "), flush=True)
    subprocess.run(words, check=True, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL if quiet else None)


def environment() -> dict[str, str]:
    """Without the checkout on the path."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


if __name__ == "__main__":
    main()
