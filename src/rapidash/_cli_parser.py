"""The parser of one subcommand: typed options, a config file, and errors that name the nearest valid choice."""

import re
import sys
from argparse import SUPPRESS, Action, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rapidash._cli_settings import SettingsError, check_text, check_words, read_settings
from rapidash._names import nearest_name
from rapidash._plain import TYPE_WORDS

try:
    import jsonargparse
    from jsonargparse import ActionConfigFile, DefaultHelpFormatter  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError('the command line needs jsonargparse: pip install "rapidash[study]"') from error

USAGE_ERROR = 2
_SET_BY_THE_TASK = ("dim", "in_scalars", "in_vectors", "in_pairs", "out_scalars", "out_vectors", "out_tensors", "level")
MAX_SEEDS = 10_000
_MODE = "rapidash"  # YAML, looked at before it is expanded: whatever file the library reads, it reads it so


def _load_settings(text: str, path: str = "") -> Any:
    check_text(text, str(path or "settings"))
    return jsonargparse.get_loader("yaml")(text)


def _register_loader() -> None:
    import yaml  # type: ignore[import-untyped]

    jsonargparse.set_loader(_MODE, _load_settings, exceptions=(yaml.YAMLError,))


_register_loader()


class _Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Description and examples keep their lines; markup and Python types of docstrings are left out."""

    def format_help(self) -> str:
        return super().format_help().replace("``", "")

    def _get_help_string(self, action: Action) -> str:
        if "--print_config" in action.option_strings:
            return "print all settings as YAML, which --config reads, and exit"
        text = (action.help or "").rstrip(".")
        if action.default in (None, False, SUPPRESS) or "default" in text or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)".strip()


class Parser(jsonargparse.ArgumentParser):
    """Options of a subcommand; anything wrong ends with one line on stderr and exit code 2.

    Args:
        name: of the subcommand.
        usage: what follows the name, e.g. ``"TASK [options]"``.
        description: one or a few sentences.
        examples: command lines.
    """

    def __init__(self, name: str = "", *, usage: str = "", description: str = "", examples: str = "") -> None:
        super().__init__(
            prog=f"rapidash {name}",
            usage=f"rapidash {name} {usage}",
            description=description,
            epilog=f"examples:\n{examples}" if examples else None,
            formatter_class=_Formatter,
            allow_abbrev=False,
            parser_mode=_MODE,
        )
        self._in_files: dict[str, str] = {}  # by option with dots, the file of settings that has it

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *rest: Any, **options: Any
    ) -> Any:
        """As the library's, of plain values only: what would import code, or fill the memory, is an error of usage."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            check_words(words)
            self._in_files = _options_in_files(words)
            return super().parse_args(words, *rest, **options)
        except SettingsError as error:
            self.error(str(error))

    def add_config(self) -> None:
        """The option ``--config FILE`` and, with it, ``--print_config``."""
        self.add_argument(
            "--config",
            action=ActionConfigFile,
            metavar="FILE",
            help="YAML file with any of the options below; later options on the command line win",
        )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """One line: what is wrong, and what may have been meant."""
        shown = self._placed(self._explained(message))
        print(f"{self.prog}: error: {shown} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(USAGE_ERROR)

    def _placed(self, message: str) -> str:
        """The message with the file that the option is from, if it is from one."""
        words = set(re.findall(r"[\w.]+", message))
        named = [key for key in self._in_files if key in words or key.rpartition(".")[2] in words]
        found = max(named, key=len, default=None)
        if found is None or self._in_files[found] in message:
            return message
        return f"{message}; {found} is set in {self._in_files[found]}"

    def _explained(self, message: str) -> str:
        message = _in_plain_words(message)
        options = [text for action in self._actions for text in action.option_strings if text.startswith("--")]
        keys = [text.removeprefix("--") for text in options]
        if found := re.search(r"does not take the option '(.+?)'", message):
            return message + _hint(nearest_name(found[1], keys))
        if found := re.search(
            rf"--?model\.({'|'.join(_SET_BY_THE_TASK)})\b|'model\.({'|'.join(_SET_BY_THE_TASK)})'", message
        ):
            return f"--model.{found[1] or found[2]} is set by the task, which knows its inputs and outputs"
        if found := re.search(r"unrecognized arguments?: (.*)", message):
            wrong = next((word for word in found[1].split() if word.startswith("-")), "")
            near = nearest_name(wrong.partition("=")[0], options) if wrong else None
            return message + _hint(near)
        if found := re.search(r"expected one of (.+), got '(.*)'", message):
            return message + _hint(nearest_name(found[2], re.findall(r"'([^']*)'", found[1])))
        return message


def _options_in_files(words: Sequence[str]) -> dict[str, str]:
    """By option with dots, the last file of settings that sets it, unless a word of the command line does so later."""
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--config":
            given = value if equals else next(iter(words[index + 1 : index + 2]), "")
            if given and Path(given).is_file():
                found |= dict.fromkeys(_with_dots(read_settings(given)), given)
        elif name.startswith("--"):
            found.pop(name.removeprefix("--"), None)
    return found


def _with_dots(values: Mapping[Any, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in values.items():
        keys += _with_dots(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"]
    return keys


def _in_plain_words(message: str) -> str:
    """The library's messages as sentences of ours."""
    message = " ".join(message.split())
    for pattern, words in _REWORDED:
        message = re.sub(pattern, words, message)
    return message


def _expected(found: "re.Match[str]") -> str:
    return f"expected {TYPE_WORDS.get(found[1], found[1])}, got {found[2]!r}"


def _type_names(text: str) -> str:
    names = [re.sub(r"<class '(\w+)'>", r"\1", part) for part in re.split(r", (?![^\[]*\])", text)]
    return " or ".join(TYPE_WORDS.get(name, name) for name in names)


def _union(found: "re.Match[str]") -> str:
    return f"expected {_type_names(found[1])}, got {found[2]!r}"


_REWORDED: tuple[tuple[str, str | Callable[["re.Match[str]"], str]], ...] = (
    (r"Group '(.+?)' does not accept option '(.+?)'", r"the configuration does not take the option '\1.\2'"),
    (r"Option '(.+?)' is not accepted", r"the configuration does not take the option '\1'"),
    (r'Parser key "(.+?)": ', r"\1: "),
    (r"[Ee]xpected a typing.Literal\[(.+?)\]\. Got value: (.*)", r"expected one of \1, got '\2'"),
    (r"[Ee]xpected an? <class '(\w+)'>\. Got value: (.*)", _expected),
    (r"Does not validate against any of the Union subtypes Subtypes: \[(.+?)\] Errors: .* Given value: (.*)", _union),
)


def _hint(near: str | None) -> str:
    return f"; did you mean {near!r}?" if near else ""


class _WrongValueError(ArgumentTypeError, ValueError):
    """A value that an option does not take: an `ArgumentTypeError` to argparse, and a ValueError in a config file."""


def whole_numbers(value: Any) -> list[int]:
    """``3`` (the numbers 0, 1, 2), ``"0,1,7"`` or ``[0, 1, 7]`` as a list: what seeds are given by."""
    expected = "a number of seeds such as 3, or a list such as 0,1,7"
    if isinstance(value, bool):
        raise _WrongValueError(f"expected {expected}, got {value!r}")
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\s*\d{1,20}\s*", value)):
        if not 1 <= int(value) <= MAX_SEEDS:
            limit = "at least one seed" if int(value) < 1 else f"at most {MAX_SEEDS} seeds"
            raise _WrongValueError(f"expected {limit}, got {value!r}; the one seed {value} is given as [{value}]")
        return list(range(int(value)))
    return _listed(value, int, expected)


def indices(value: Any) -> list[int]:
    """``0``, ``"0,1"`` or ``[0, 1]`` as a list: which GPUs."""
    if isinstance(value, bool):
        raise _WrongValueError(f"expected indices of GPUs such as 0,1, got {value!r}")
    return _listed([value] if isinstance(value, int) else value, int, "indices of GPUs such as 0,1")


def shares(value: Any) -> list[float]:
    """``0.1``, ``"0.1,1"`` or ``[0.1, 1]`` as a list: shares of the training set."""
    return _listed([value] if isinstance(value, float | int) else value, float, "shares in (0, 1] such as 0.1,1")


def _listed(value: Any, kind: Callable[[Any], Any], expected: str) -> list[Any]:
    parts = value.strip("[] ").split(",") if isinstance(value, str) else value
    try:
        if isinstance(parts, Mapping):
            raise TypeError
        return [kind(part) for part in parts]
    except (TypeError, ValueError):
        raise _WrongValueError(f"expected {expected}, got {value!r}") from None
