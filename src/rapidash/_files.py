"""Files that are either whole or absent: written beside their place, then renamed into it."""

import os
import tempfile
from pathlib import Path


def atomic_write(path: Path | str, data: bytes | str, *, backup: Path | str | None = None) -> None:
    """Write a file so that a reader, a crash or a full disk never sees half of it.

    The data go to a temporary file in the same directory, reach the disk (fsync), and are renamed into place.

    Args:
        path: the file; its directory is created. An existing file is replaced, only after the new one is complete.
        data: bytes, or text to be encoded as UTF-8.
        backup: where an existing file moves to instead of being lost (same file system). A crash between the two
            renames leaves the backup and no file at ``path``: readers then take the backup.
    Raises: OSError (disk full, no permission) naming the file; what was there before is intact, nothing else stays.
    """
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp is private to the user, an ordinary file is not
        if backup is not None and path.exists():
            os.replace(path, backup)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OSError(error.errno, f"could not write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    _sync_directory(path.parent)


def _umask() -> int:
    """The process's file mode mask; reading it means setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a power cut, where the system can (not on Windows)."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse; the rename itself has happened
    finally:
        os.close(descriptor)
