"""The settings of the training that is advised, as `rapidash train --config` reads them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rapidash._plain import to_plain
from rapidash.methods import Variant
from rapidash.registry import DESIGNS
from rapidash.study import StudyDesign, get_design
from rapidash.train import TrainConfig


def settings_of(design: StudyDesign, variant: Variant, train: TrainConfig, seed: int) -> dict[str, Any]:
    """A training as plain values: a variant of the study by its name, any other with all its parts.

    Args:
        design: the study of the task; its settings that are those of every training are left out.
        variant: what is trained.
        train: how.
        seed: of weights and data order.
    """
    made = get_design(design.task) if design.task in DESIGNS else design  # what the command makes of the settings
    known = {entry.name: entry for entry in made.variants}.get(variant.name)
    is_known = known is not None and _content(known) == _content(variant)
    defaults = TrainConfig()
    differing = {f.name: getattr(train, f.name) for f in fields(train)}
    differing = {k: v for k, v in differing.items() if v != getattr(defaults, k) or v != getattr(made.train, k)}
    return {
        "task": design.task,
        "task_options": to_plain(design.task_options),
        "variant": variant.name if is_known else to_plain(variant),
        "seed": seed,
        "train": to_plain(differing),
    }


def _content(variant: Variant) -> dict[str, Any]:
    return {name: value for name, value in to_plain(variant).items() if name not in ("neighbor", "knob")}


def as_yaml(settings: Mapping[str, Any], comment: str) -> str:
    """The settings as YAML below a comment.

    Raises: ImportError naming the extra to install.
    """
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError('settings need PyYAML: pip install "rapidash[study]"') from error
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    text: str = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=110)
    return lines + text
