"""Training that another run of a study has done already."""

from rapidash._files import atomic_write
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store
from rapidash.train import CHECKPOINT


def adopt_training(config: RunConfig, store: Store) -> bool:
    """Give a run that only averages or measures otherwise the last checkpoint of one that trained the same weights.

    Returns: whether there was one.
    """
    directory = store.work_dir(config.key)
    if (config.variant.average is None and not config.measures) or (directory / CHECKPOINT).exists():
        return False
    for record in store.records():
        checkpoint = store.work_dir(record["key"]) / CHECKPOINT
        if record["status"] == "done" and checkpoint.is_file() and _trained_as(record, config):
            atomic_write(directory / CHECKPOINT, checkpoint.read_bytes())
            return True
    return False


def _trained_as(record: Record, config: RunConfig) -> bool:
    """Whether the run in a record trained the weights of a configuration."""
    try:
        return RunConfig.from_dict(record["config"]).training_key == config.training_key
    except (ValueError, TypeError, ImportError):  # of another version, or of a package that is not there
        return False
