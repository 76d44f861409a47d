"""Published pickles read without running code: arrays and plain containers are rebuilt here, all else is refused."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError

_ALWAYS, _GROWTH, _PER_VALUE = 1 << 22, 8, 8  # bytes in memory, for any file, by its size, and of a value
_KINDS = "biuf"  # booleans, integers and floating-point numbers


def load_plain_pickle(path: Path) -> Any:
    """The lists, tuples, dicts, strings, numbers and numeric NumPy arrays in a pickle (protocols 0 to 5).

    No class of the file is imported and none of its functions is called: what NumPy's own pickles refer to is mapped to
    the few constructors below, which accept numeric arrays only.
    Raises: DataError for anything else in the file, and for a damaged one.
    """
    try:
        content = path.read_bytes()
        _check_places(content)
        return _Rebuilding(len(content)).of(_PlainUnpickler(io.BytesIO(content), encoding="latin1").load())
    except DataError:
        raise
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly everything
        raise DataError(
            f"{path} cannot be read ({type(error).__name__}: {error}): it is damaged, only partly downloaded, or holds "
            "more than numbers, arrays, lists and dicts, which is refused because a pickle can run code. Get it again, "
            "or convert it to npz where you trust it."
        ) from error


def _check_places(content: bytes) -> None:
    """Raises: UnpicklingError for a place, in the list of what was read, that is larger than the file."""
    for code, value, _ in pickletools.genops(content):
        if "PUT" in code.name and int(value or 0) > len(content):
            raise pickle.UnpicklingError(f"it has an entry number {value}")


class _Dtype:
    """A dtype in the making: its code, and its byte order from the state."""

    def __init__(self, code: str, *_: object) -> None:
        dtype = np.dtype(str(code)[:8])
        if dtype.kind not in _KINDS:
            raise pickle.UnpicklingError(f"arrays of dtype {code!r} are refused")
        self.dtype: np.dtype[Any] = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {order!r} is refused")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making."""

    value: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        self.value = np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if is_fortran else "C").copy()


def _reconstruct(subtype: object, *_: object) -> _Array:
    if subtype is not _Array:
        raise pickle.UnpicklingError("only plain arrays are accepted")
    return _Array()


def _from_buffer(data: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    return np.frombuffer(bytes(data), dtype.dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: _Dtype, data: bytes | str) -> object:
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1" if encoding == "latin1" else "ascii")


_ACCEPTED: dict[tuple[str, str], Any] = {("_codecs", "encode"): _encode}
for _module in (
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
):
    _ACCEPTED |= {
        (_module, "ndarray"): _Array,
        (_module, "dtype"): _Dtype,
        (_module, "scalar"): _scalar,
        (_module, "_reconstruct"): _reconstruct,
        (_module, "_frombuffer"): _from_buffer,
    }


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The constructor for a name of NumPy's pickles; everything else is refused."""
        if (module, name) not in _ACCEPTED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return _ACCEPTED[module, name]


class _Rebuilding:
    """Values with finished arrays in the place of those in the making.

    Args:
        size: bytes of the file. What it holds may be many times as large where it repeats itself, up to a limit.
    """

    def __init__(self, size: int) -> None:
        self.left = _ALWAYS + _GROWTH * size

    def of(self, value: Any) -> Any:
        """The value. Raises: UnpicklingError for other types, or more than the file can hold."""
        value = value.value if isinstance(value, _Array) else value
        self.left -= value.nbytes if isinstance(value, np.ndarray) else _PER_VALUE
        if self.left < 0:
            raise pickle.UnpicklingError("it repeats what it holds until it is many times as large as the file")
        if isinstance(value, list | tuple):
            return type(value)(self.of(item) for item in value)
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if not isinstance(value, np.ndarray | str | bytes | int | float | complex | None):
            raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
        return value
