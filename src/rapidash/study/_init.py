"""Where the weights of a run begin: a saved model, or a pre-training that is itself a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapidash._hub import model_folder
from rapidash._plain import check_fields, to_plain
from rapidash._pretrained import find_pretrained
from rapidash.methods import Variant
from rapidash.represent import weights_digest
from rapidash.train import TrainConfig

PRETRAINING = "pretraining"  # in the directory of a study: the store of the runs that others begin with


@dataclass(frozen=True)
class SavedWeights:
    """The weights of a saved model, wherever it lies: the run is known by their checksum.

    Args:
        folder: the folder that `rapidash.predict.TrainedModel.save_pretrained` wrote, or the directory of its run.
        sha256: of the weights.
    """

    folder: str
    sha256: str

    @classmethod
    def of(cls, folder: Path | str) -> "SavedWeights":
        """The weights that are now in a folder, or in that of a name, see `TrainedModel.from_pretrained`.

        Raises: FileNotFoundError where there are none.
        """
        found = find_pretrained(model_folder(folder))
        return cls(str(found.resolve()), weights_digest(found))

    def check(self) -> None:
        """Raises: FileNotFoundError; ValueError for other weights than those that were named."""
        if (now := weights_digest(self.folder)) != self.sha256:
            raise ValueError(
                f"the weights in {self.folder} have the checksum {now[:12]}..., the run begins with {self.sha256[:12]}"
                "...: they were replaced; begin another run with these"
            )


@dataclass(frozen=True)
class Pretrained:
    """The weights of a pre-training run with the seed of the run that begins with them.

    It is trained once, on all data of its task, when the first run that needs it starts; its record is in the folder
    ``pretraining`` of the study.

    Args:
        variant: network and objective of the pre-training.
        train: its settings.
        task: name of its task.
        task_options: options of that task.
    """

    variant: Variant
    train: TrainConfig
    task: str
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


Init = SavedWeights | Pretrained


def init_for_key(init: Init | None) -> Any:
    """The part of a beginning that decides the result: not where the weights lie, and no names of variants."""
    plain = to_plain(init, for_key=True)
    if isinstance(init, SavedWeights):
        del plain["folder"]
    if isinstance(init, Pretrained):
        plain["variant"] = {k: v for k, v in plain["variant"].items() if k not in ("name", "neighbor", "knob")}
    return plain
