"""The folder of a training or study, where it holds no model: whether it failed or has not ended, and what goes on."""

import json
import re
from pathlib import Path
from typing import Final

MODEL_FOLDER = "model"  # in the directory of a run
RUNS_FOLDER = "work"  # in that of a training or study, a directory for each run
RECORDS_FOLDER = "records"  # beside it, a file for each run that has ended
_LONGEST: Final = 300  # of what is told of an error
_KEY: Final = re.compile("[0-9a-f]{16}")


def told_of_training(path: Path) -> str:
    """Why a folder of a training, or of one run of it, has no model, and which command goes on; empty for any other.

    Args:
        path: of a training or study, of a run in its ``work``, or of the ``model`` of this.
    """
    run = path.parent if path.name == MODEL_FOLDER else path
    is_run = run.parent.name == RUNS_FOLDER
    folder = run.parent.parent if is_run else path
    runs, records = (folder / RUNS_FOLDER).glob("*"), (folder / RECORDS_FOLDER).glob("*.json")
    every = sorted({found.stem for found in (*runs, *records) if _KEY.fullmatch(found.stem)})
    errors = [_error(folder / RECORDS_FOLDER / f"{key}.json") for key in every if not is_run or key == run.name]
    if reason := next(filter(None, errors), ""):
        what, does = f"the training failed: {reason}", "tries it again"
    elif None in errors:
        what, does = "the training has not ended", "continues it"
    else:
        return ""
    return f"{what.rstrip('.')}. The command that began it, rapidash train or study with --out {folder}, {does}"


def _error(record: Path) -> str | None:
    """The last line of the error of a run that failed; empty for one without, None for a run without a record."""
    if not record.is_file():
        return None
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        lines = str(content["error"] or "").strip().splitlines()
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return lines[-1][:_LONGEST] if lines and content.get("status") == "failed" else ""
