"""Plain English text, as limen's docstrings are, to Markdown or reStructuredText: paragraphs, and blocks that keep their lines."""

import re

SECTIONS = ("Args:", "Raises:", "Returns:", "Yields:", "Example:", "Examples:", "Attributes:", "Note:")
CODE = re.compile(
    r"(`[^`]+`|(?<![\w-])--?[a-z][\w.-]*(?:=[^\s,;:)]+)?|[\w./-]*\.(?:npz|csv|jsonl|json|html|onnx|safetensors|xml|bin|txt)\b)"
)
SHELL = re.compile(r"\s*(limen|torchrun|pip|python) ")


def blocks(text):
    """(kind, text) of every part between blank lines: "prose", "shell" (commands to type), or "lines", whose line ends mean something."""
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.split("\n")
        if SHELL.match(lines[0]):
            yield "shell", _dedented(lines)
            continue
        indented = next((number for number, line in enumerate(lines) if number and line.startswith("  ")), len(lines))
        if any(re.search(r"\S {2,}\S", line) for line in lines[:indented]) or lines[0].startswith("  "):
            yield "lines", _dedented(lines)
            continue
        yield "prose", " ".join(lines[:indented])
        if indented < len(lines):
            commands = all(SHELL.match(line) or lines[number - 1].endswith("\\") for number, line in enumerate(lines) if number >= indented)
            rest = lines[indented:]
            end = next((number for number, line in enumerate(rest) if not line.startswith("  ")), len(rest))
            yield "shell" if commands else "lines", _dedented(rest[:end])
            if end < len(rest):
                yield "prose", " ".join(rest[end:])


def to_markdown(text):
    return "\n\n".join(_MARKDOWN[kind](part) for kind, part in blocks(text))


def markdown_line(text):
    """One line of a table cell or of prose: switches, file names and settings as code, the rest with nothing that Markdown reads."""
    parts = re.split(
        r"(`[^`]+`|(?<![\w-])--?[a-z][\w.-]*(?:=[^\s,;:)]+)?|[\w./-]*\.(?:npz|csv|json|jsonl|html|onnx|safetensors|xml|bin|txt)\b)", text
    )
    return "".join(part if not place % 2 else f"`{part.strip('`')}`" for place, part in enumerate(_escaped(parts)))


def to_rst(text):
    """For a docstring: sections such as Args: stay for napoleon, and doctests stay what they are."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        first = part.lstrip().split("\n")[0].strip()
        if first.startswith(">>>"):
            found.append(part)
        elif first in SECTIONS:
            found.append("\n".join(_rst_inline(line) for line in part.split("\n")))
        else:
            found += [_RST[kind](block) for kind, block in blocks(part)]
    return "\n\n".join(found)


def _escaped(parts):
    return [part if place % 2 else re.sub(r"([\\*_<>\[\]|$`#])", r"\\\1", part) for place, part in enumerate(parts)]


def _rst_inline(text):
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(f"``{part.strip('`')}``" if place % 2 else re.sub(r"([\\*|`]|_\b)", r"\\\1", part) for place, part in enumerate(parts))


def _dedented(lines):
    least = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[least:] for line in lines)


def _literal(text):
    return "::\n\n" + "\n".join(f"    {line}" for line in text.split("\n"))


_MARKDOWN = {
    "prose": markdown_line,
    "shell": lambda text: f"```sh\n{text}\n```",
    "lines": lambda text: f"```text\n{text}\n```",
}
_RST = {"prose": _rst_inline, "shell": _literal, "lines": _literal}
