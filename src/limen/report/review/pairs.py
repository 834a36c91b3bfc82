"""The page of the pairs that a model is most wrong about: each is a wrong label, or a mistake of the model."""

from pathlib import Path
from typing import Any

from limen.data import FileSource
from limen.errors import LimenError
from limen.names import visible
from limen.protocols import Result
from limen.report.review.page import Pictures, key_of, write_deck


def review_pairs(results: list[Result], of: Path, page: Path) -> dict[str, Any]:
    """Writes the page of the worst false matches and false non-matches of `results`, which were read from `of`.

    Raises LimenError where they name no pair of image files.
    """
    pictures, items, keys = Pictures(page), [], []
    for result in results:
        for pair in result.hard_pairs:
            source = FileSource([pair.first, pair.second], size=None)
            names = [Path(file).parent.name or file for file in source.paths]
            said = "labelled as one person" if pair.mated else "labelled as two people"
            kind = "false non-match" if pair.mated else "false match"
            items.append(
                {
                    "file": pair.first,
                    "person": names[0],
                    "pair_with": pair.second,
                    "title": said,
                    "shown": visible(names[0] if pair.mated else " and ".join(names)),
                    "images": [pictures.add(source, side) for side in (0, 1)],
                    "groups": [],
                    "text": f"{kind} of {visible(result.model)} on {visible(result.name)} · score {pair.score:.4f} · "
                    f"{visible(pair.first)} · {visible(pair.second)}",
                }
            )
            keys.append([result.model, result.name, pair.first, pair.second])
    if not items:
        raise LimenError(f"{of}: names no pair that a model is wrong about; only evaluations of pairs of images do")
    if len(pictures.gone) == len(pictures.addresses):
        raise LimenError(f"{of}: none of its pairs are files of images (first: {pictures.gone[0]}); its folder of images has to be there")
    hashes = {str(result.switches.get("model_sha256", result.model)) for result in results}
    return write_deck(
        pictures,
        items,
        title=f"Worst pairs: {visible(str(of))}",
        text="Right: the label is right, and the model is wrong. Wrong: the label is wrong, and counts against every model.",
        key=key_of(keys),
        model=" ".join(sorted(hashes)),
        next="A wrong label is corrected where the pairs come from.",
        choices=["right", "wrong", "unsure"],
        people=[],
    )
