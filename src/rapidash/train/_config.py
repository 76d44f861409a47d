"""The settings of one training run."""

import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, get_args

import torch

from rapidash.ops import Precision

OptimizerName = Literal["adamw", "muon"]
DtypeName = Literal["float32", "float64"]
ScheduleName = Literal["cosine", "constant"]
_CHOICES = {
    "optimizer": get_args(OptimizerName),
    "dtype": get_args(DtypeName),
    "schedule": get_args(ScheduleName),
    "precision": get_args(Precision),
}
_COUNTS = {"steps": 1, "batch_size": 1, "warmup_steps": 0, "eval_every": 1, "checkpoint_every": 1}  # least values


MAX_THREADS = 1024  # more than any machine has cores; a million ends the process without a word
WITHOUT_EFFECT = ("checkpoint_every", "log_tensorboard")  # settings that do not change what is trained


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; all of them are on record.

    Args:
        steps: optimizer steps.
        batch_size: clouds per step.
        learning_rate: peak of the schedule, after a linear warm-up.
        weight_decay: decoupled decay of matrices; biases, norms and layer scales have none.
        warmup_steps: steps until the peak, at most ``steps``.
        grad_clip: largest norm of the whole gradient; 0 turns clipping off.
        ema_decay: decay of the averaged weights in [0, 1), which validation and the result use; 0 turns it off.
        eval_every: steps between validations; there is one after the last step in any case.
        checkpoint_every: steps between checkpoints; there is one after the last step in any case.
        optimizer: ``"adamw"``, or ``"muon"``: Muon for hidden matrices, AdamW for the rest.
        threads: CPU threads of torch during training, at most 1024; None leaves them as they are.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        dtype: of weights and data, ``"float32"`` or ``"float64"``.
        log_tensorboard: write TensorBoard events to ``run_dir/tensorboard``.
        schedule: after the warm-up ``"cosine"``, to 0 at the last step, or ``"constant"``.
        precision: of the operands of channel MLPs' products: ``"float32"``; ``"bfloat16"``, with sums, normalizations
            and residuals in float32; or ``"auto"``, bfloat16 where it is faster and predictions are no gradients, as
            forces are (see `rapidash.ops.products_of`).
    Raises: ValueError naming the field, what is allowed, and what came.
    """

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 50
    grad_clip: float = 1.0
    ema_decay: float = 0.99
    eval_every: int = 200
    checkpoint_every: int = 200
    optimizer: OptimizerName = "adamw"
    threads: int | None = None
    device: str = "cpu"
    dtype: DtypeName = "float32"
    log_tensorboard: bool = False
    schedule: ScheduleName = field(default="cosine", metadata={"absent": "cosine"})
    precision: Precision = field(default="float32", metadata={"absent": "float32"})

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            _check_count(name, getattr(self, name), least)
        if self.threads is not None:
            _check_count("threads", self.threads, 1)
            if self.threads > MAX_THREADS:
                raise ValueError(f"threads must be at most {MAX_THREADS}, got {self.threads}")
        if self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps must be at most steps={self.steps}, got {self.warmup_steps}")
        for name in ("learning_rate", "weight_decay", "grad_clip", "ema_decay"):
            _check_nonnegative(name, getattr(self, name))
        if self.learning_rate == 0:
            raise ValueError("learning_rate must be positive, got 0")
        if self.ema_decay >= 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        check_device(self.device)
        if self.precision == "bfloat16" and self.dtype != "float32":
            raise ValueError(f"precision 'bfloat16' needs dtype 'float32', got {self.dtype!r}: use precision 'float32'")
        if not isinstance(self.log_tensorboard, bool):
            raise ValueError(f"log_tensorboard must be True or False, got {self.log_tensorboard!r}")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch's value."""
        return torch.float64 if self.dtype == "float64" else torch.float32


def check_device(name: str) -> None:
    """Raises: ValueError for what is neither the CPU nor a CUDA device."""
    try:
        kind = torch.device(name).type
    except (RuntimeError, TypeError):
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:INDEX', got {name!r}")


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_nonnegative(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}")
