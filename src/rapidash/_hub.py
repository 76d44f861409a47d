"""Models that come along with the package, and those of the Hugging Face hub, by their names."""

import re
from pathlib import Path

from rapidash._pretrained import CARD, CONFIG, WEIGHTS

PACKAGED = Path(__file__).parent / "pretrained"
_NAME_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NEEDED = "needs huggingface_hub: pip install 'rapidash[hub]'"


def packaged_models() -> dict[str, Path]:
    """The folders of the models that come along, by name."""
    return {config.parent.name: config.parent for config in sorted(PACKAGED.glob(f"*/{CONFIG}"))}


def model_folder(path: Path | str, *, revision: str | None = None) -> Path:
    """The folder that a path or a name stands for.

    A path that exists is itself. Otherwise ``"dipole"`` or ``"nbody"`` is a model that comes along, and ``"USER/NAME"``
    one of the hub, downloaded into the cache of ``huggingface_hub``, unless there is a local folder USER.

    Args:
        path: of a local folder, or a name.
        revision: branch, tag or commit of the hub; None: its main branch.
    Returns: the path as it is where it is no name of these.
    Raises: FileNotFoundError for a model that the hub does not give; ValueError for a revision of a local folder.
    """
    local, name = Path(path).expanduser(), str(path)
    known = packaged_models()
    is_on_hub = not local.exists() and bool(_NAME_ON_HUB.fullmatch(name)) and not local.parent.exists()
    if revision is not None and not is_on_hub:
        raise ValueError(f"revision={revision!r} is for a model of the hub, USER/NAME, and {name} is none")
    if local.exists() or not (is_on_hub or name in known):
        return local
    return known[name] if name in known else _downloaded(name, revision)


def upload(folder: Path, repo_id: str, *, private: bool) -> str:
    """Upload a folder that was written by ``save_pretrained``, and return the address of its repository.

    Raises: ValueError for what is no USER/NAME; ModuleNotFoundError naming the extra to install; and the errors of
        ``huggingface_hub``, such as a login that is missing.
    """
    if not _NAME_ON_HUB.fullmatch(repo_id):
        raise ValueError(f"repo_id must be 'USER/NAME' as on the hub, got {repo_id!r}")
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ModuleNotFoundError(f"push_to_hub {_NEEDED}") from error
    api = HfApi()
    address = str(api.create_repo(repo_id, private=private, exist_ok=True))
    api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=[WEIGHTS, CONFIG, CARD])
    return address


def _downloaded(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise FileNotFoundError(
            f"no saved model at {name}: there is no such folder, and to take it for the name of a model on the hub "
            f"{_NEEDED}"
        ) from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, CONFIG, CARD]))
    except Exception as error:  # of the network, of the hub, of a name
        first = str(error).strip().splitlines()[:1]
        said = "".join(first) or type(error).__name__
        raise FileNotFoundError(
            f"no saved model at {name}: there is no such folder, and the hub gives none of this name: {said}"
        ) from error
