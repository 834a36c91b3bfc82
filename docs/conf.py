"""The site: `make docs` builds it into build/site, offline. Pages of docs/generated are written here, from the code."""

import os
import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
GENERATED = DOCS / "generated"
RUNS = ROOT / "build" / "tutorials"  # where the tutorials run and leave their files, so that the model they share is trained once
ABOVE = ("CHANGELOG", "CONTRIBUTING", "SECURITY")  # pages that lie above docs/
sys.path.insert(0, str(DOCS / "_ext"))

import plain  # noqa: E402
import reference  # noqa: E402

import limen  # noqa: E402

project, author = "limen", "The limen authors"
version = release = limen.__version__
copyright = "the limen authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery", "sphinx_design", "mathml"]
exclude_patterns = ["tutorials", "_ext", *(f"generated/{name}" for name in reference.FRAGMENTS)]
suppress_warnings = ["config.cache"]
html_math_renderer = "mathml"
nitpicky = False  # annotations name classes of torch and numpy, whose inventories lie on the network

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
highlight_language = "text"

html_theme = "pydata_sphinx_theme"
html_title = "limen"
html_static_path = ["_static"]
html_css_files = ["limen.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
}

sphinx_gallery_conf = {
    "examples_dirs": [str(RUNS)],
    "gallery_dirs": ["generated/tutorials"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery.InOrder",
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "remove_config_comments": True,
    "matplotlib_animations": False,
    "abort_on_example_error": True,
    "write_computation_times": False,
}


def write_generated():
    """What stands only in the code, and the pages of the project that lie above docs/."""
    pages = reference.pages() | {f"{name.lower()}.md": (ROOT / f"{name}.md").read_text() for name in ABOVE}
    for name, text in pages.items():
        path = GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    RUNS.mkdir(parents=True, exist_ok=True)
    for path in (DOCS / "tutorials").iterdir():
        shutil.copy2(path, RUNS / path.name)


def links_within_the_site(app, docname, content):
    """A link that is right in the repository is right in the site: to a page above docs/, or to a file that is a page of no site."""
    base = ROOT if docname in {f"generated/{name.lower()}" for name in ABOVE} else (DOCS / docname).parent
    here = (DOCS / docname).parent

    def mended(match):
        target, _, anchor = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = Path(os.path.normpath(base / target))
        copied = {ROOT / f"{name}.md": GENERATED / f"{name.lower()}.md" for name in ABOVE}
        path = copied.get(path, path / "README.md" if (path / "README.md").is_file() and DOCS in path.parents else path)
        if path.is_relative_to(DOCS) and not path.is_dir():
            return f"]({os.path.relpath(path, here)}{'#' + anchor if anchor else ''})"
        if path.exists():  # in the repository, and not in the site: the words stay, the link goes
            return "]()"
        return match[0]

    text = re.sub(r"(\]\()([^()\s]+)\)", mended, content[0])
    content[0] = re.sub(r"\[([^\]]+)\]\(\)", r"\1", text)


def plain_docstring(app, what, name, obj, options, lines):
    lines[:] = plain.to_rst("\n".join(lines)).split("\n")


write_generated()


def setup(app):
    app.connect("source-read", links_within_the_site)
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)  # before napoleon
