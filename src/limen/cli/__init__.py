"""Floor 7: the `limen` command. One file per command; each says what it needs in `add_arguments` and does it in `run`."""

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import shtab

import limen
from limen.errors import LimenError, LimenWarning
from limen.files import explain, strict_json
from limen.names import visible

COMMANDS = {
    "demo": "generate faces, train two margins on them, evaluate on unseen people, write a report",
    "train": "train a recogniser from a recipe",
    "plan": "memory, traffic and the head's share of a step, for any number of identities",
    "import": "published weights (AdaFace, CR-FIQA, insightface, ...) to a bundle",
    "export": "a bundle to an ONNX or OpenVINO file, proved to compute the same",
    "publish": "a bundle and a model card made from it, in a folder or on the Hugging Face Hub",
    "evaluate": "judge a model on benchmarks or pairs of images",
    "compare-results": "results of evaluations side by side, with the intervals of their differences",
    "protocols": "list the benchmarks, what their folders must hold and where people get them",
    "embed": "embeddings of images, as a .npz file",
    "audit": "what is wrong in a gallery: odd images, people too much alike, how near strangers come",
    "identify": "who is in images: the nearest people of a gallery, or nobody",
    "compare": "similarity of two images",
    "quality": "quality of images: score, percentile, expected error, contact sheet",
    "review": "a page to look at doubtful images or pairs and decide",
    "calibrate": "find what a model's quality scores mean, and keep it in the model",
    "info": "what a model file holds",
    "data": "generate faces, align photos, draw pairs, inspect data",
}


SHELLS = ("bash", "zsh", "tcsh")


def parser_of(chosen: Collection[str]) -> argparse.ArgumentParser:
    """The parser of all commands, complete for those `chosen`. Only these are imported: `limen --help` need not wait for PyTorch."""
    parser = argparse.ArgumentParser(prog="limen", description="Train face recognisers with adaptive margins, and referee them.")
    parser.add_argument("--version", action="version", version=f"limen {limen.__version__}")
    parser.add_argument("--print-completion", choices=SHELLS, metavar="SHELL", help=f"print a completion script for {', '.join(SHELLS)}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        module = import_module(_module(name)) if name in chosen else None
        command = commands.add_parser(
            name,
            help=summary,
            description=(module.__doc__ if module else summary),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if module is not None:
            module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0 done, 1 failed with one line on standard error, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--print-completion"] and words[1:2] and words[1] in SHELLS:
        print(shtab.complete(parser_of(COMMANDS), words[1]))
        return 0
    if "RANK" in os.environ:  # under torchrun: a warning of DistributedDataParallel's is printed by each process, past Python's filters
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    parser = parser_of([word for word in words if not word.startswith("-")][:1])
    flags = {word for word in words if word in ("--json", "--debug")}  # wherever they stand, after a sub-command too
    options, extra = parser.parse_known_args([word for word in words if word not in flags])
    options.json, options.debug = "--json" in flags, "--debug" in flags
    command_module = import_module(_module(options.command))
    if extra and not getattr(command_module, "TAKES_SETTINGS", False):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    options.settings = extra
    try:
        with _warnings_in_one_line():
            result = command_module.run(options)
    except (LimenError, OSError, KeyboardInterrupt) as error:
        if options.debug:
            traceback.print_exc()
        print(f"limen: {visible(_said(error))}", file=sys.stderr)
        return 1
    try:
        print(strict_json(result) if options.json else visible(command_module.text(result), keep="\n\t"), flush=True)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stdout = None
    failed = getattr(command_module, "failed", None)  # whether what was found is a failure, as unreadable images are
    return int(failed is not None and failed(result))


def _module(command: str) -> str:
    return f"limen.cli.{command.replace('-', '_')}"


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{error.filename or 'a file'}: {explain(error)}" if isinstance(error, OSError) else str(error)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        others, show = warnings.showwarning, os.environ.get("RANK", "0") == "0"  # of processes that see the same, the first says it

        def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, LimenWarning):
                others(message, category, *place, **more)
            elif show:
                print(f"limen: note: {visible(str(message))}", file=sys.stderr)

        warnings.showwarning = say
        warnings.simplefilter("always", LimenWarning)
        yield
