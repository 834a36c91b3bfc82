"""Models on the Hugging Face Hub: one bundle file a repository, fetched by hf://owner/name[@revision]."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from limen.errors import LimenError

BUNDLE = "model.safetensors"
ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # a Path has taken one of the two slashes


class Repository(NamedTuple):
    name: str
    revision: str | None


def repository(address: str | Path) -> Repository | None:
    """What an hf:// address names, None for a file. Raises LimenError for an address that names nothing."""
    text = str(address)
    if not text.startswith("hf:/"):
        return None
    if not (found := ADDRESS.fullmatch(text)):
        raise LimenError(f"{text}: an address on the Hub is hf://owner/name or hf://owner/name@revision; correct it")
    return Repository(found[1], found[2])


def local_file(path: str | Path) -> Path:
    """The file itself, or for an hf:// address that of `fetch`."""
    where = repository(path)
    return Path(path) if where is None else fetch(where)


def fetch(where: Repository) -> Path:
    """The repository's bundle file in the Hub's own cache, which serves without the net too.

    Raises LimenError where huggingface_hub is not installed, the repository, the revision or its bundle is not there, or the net is not.
    """
    hub, said = _library(), f"hf://{where.name}" + (f"@{where.revision}" if where.revision else "")
    try:
        return Path(hub.hf_hub_download(where.name, BUNDLE, revision=where.revision))
    except hub.errors.RevisionNotFoundError as error:
        raise LimenError(f"{said}: it has no revision of that name; leave it out, or choose another") from error
    except hub.errors.RepositoryNotFoundError as error:
        raise LimenError(f"{said}: no such repository, or it is not open to you; check the name, or log in (hf auth login)") from error
    except hub.errors.RemoteEntryNotFoundError as error:
        raise LimenError(f"{said}: it has no {BUNDLE}; name a repository that `limen publish` wrote") from error
    except Exception as error:  # what the net raises has no base class in common
        raise LimenError(f"{said}: the Hub cannot be reached ({_first(error)}); check the net, or name a file on this machine") from error


def upload(folder: Path, where: Repository, private: bool) -> str:
    """Sends the folder's files to the repository, which is made where it is not there, and returns its address on the web.

    Raises LimenError where huggingface_hub is not installed, or the Hub refuses or cannot be reached.
    """
    api = _library().HfApi()
    try:
        api.create_repo(where.name, private=private, exist_ok=True)
        found = api.upload_folder(repo_id=where.name, folder_path=folder, revision=where.revision, commit_message="Model and card")
    except Exception as error:
        raise LimenError(
            f"hf://{where.name}: not published ({_first(error)}); log in (hf auth login), or write a folder with --out"
        ) from error
    return str(found)


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise LimenError(f"hf:// needs huggingface_hub ({error}); pip install 'limen[hub]', or name a file on this machine") from error
    return huggingface_hub


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
