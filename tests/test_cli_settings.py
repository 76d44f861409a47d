"""Settings are plain values: nothing is imported, expanded without bound, or guessed; errors name file and key."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rapidash import cli
from rapidash._cli_settings import SettingsError, check_text, check_words, read_settings
from tests._commands import run

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _evil_module(toy_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil_module.py").write_text("from pathlib import Path\nPath('imported').touch()\nclass Evil: pass\n")


def error_of(capsys, *words: str) -> str:
    """The one line of an error of usage; nothing has been started."""
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1, shown.err
    assert not Path("runs").exists()
    return shown.err


EVIL = "{class_path: evil_module.Evil}"


@pytest.mark.parametrize(
    "text",
    [
        f"task_options: {{size: {EVIL}}}",
        f"train: {{steps: {EVIL}}}",
        f"train: {EVIL}",
        f'train: "{{steps: {EVIL}}}"',
        f"task_options: {{size: [1, {EVIL}]}}",
        "task_options.size.class_path: evil_module.Evil",
        "task_options: {size: {init_args: {a: 1}}}",
        "train: inner.yaml",
        "config: inner.yaml",
        "train: evil_module.Evil",
        "model: evil_module.Evil",
    ],
)
@pytest.mark.parametrize("command", ["study", "train"])
def test_a_file_of_settings_imports_nothing(capsys, command: str, text: str) -> None:
    Path("inner.yaml").write_text(f"steps: {EVIL}\n")
    Path("study.yaml").write_text(text + "\n")
    shown = error_of(capsys, command, "toy", "--config", "study.yaml")
    assert not Path("imported").exists()
    assert "evil_module" not in sys.modules
    assert "class_path" in shown or "init_args" in shown or "must be settings by name, got 'evil_module.Evil'" in shown
    assert "study.yaml" in shown or "inner.yaml" in shown
    assert "subclasses" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ["--task_options.size", EVIL],
        ["--task_options", f"{{size: {EVIL}}}"],
        [f"--task_options={{size: {EVIL}}}"],
        ["--task_options.size.class_path", "evil_module.Evil"],
        ["--train", "evil_module.Evil"],
        ["--train", EVIL],
        ["--train.class_path", "evil_module.Evil"],
        ["--train.init_args.steps", "3"],
        ["--train.steps", EVIL],
        ["--train", "inner.yaml"],
        ["--config", f"{{train: {EVIL}}}"],
    ],
    ids=" ".join,
)
def test_the_command_line_imports_nothing(capsys, words: list[str]) -> None:
    Path("inner.yaml").write_text(f"steps: {EVIL}\n")
    shown = error_of(capsys, "study", "toy", *words)
    assert not Path("imported").exists()
    assert "class_path" in shown or "init_args" in shown or "must be settings by name" in shown
    assert "subclasses" not in shown


def test_a_pipe_of_settings_imports_nothing(tmp_path: Path) -> None:
    """A pipe is read once, by the parser: what it reads is looked at as well."""
    code = "import sys; from rapidash.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "study", "toy", "--config", "/dev/stdin", "--print_config"]
    paths = os.pathsep.join([str(HERE / "study"), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    for text, expected in ((f"task_options: {{size: {EVIL}}}\n", 2), ("train: {steps: 77}\n", 0)):
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
        assert done.returncode == expected, done.stderr
        assert ("'class_path' is no setting" in done.stderr) == (expected == 2)
        assert ("  steps: 77\n" in done.stdout) == (expected == 0)
    assert not Path("imported").exists()


def test_text_that_looks_like_code_but_is_none_passes(capsys) -> None:
    words = ["--out", "class_path", "--variants", "equivariant", "--task_options.size", "7", "--print_config"]
    assert run("study", "toy", *words) == 0
    assert "out: class_path" in capsys.readouterr().out


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(9), "at most 100000 values"),
        ("train: &a\n  x: *a\n", "the alias *a stands in what it repeats"),
        ("train: " + "[" * 100_000, "nested at most 32 deep"),
        ("train: " + "{a: " * 100_000, "nested at most 32 deep"),
        ("x: y\n" * 300_000, "1500000 bytes are too many"),
        ("config: study.yaml\n", "config names a file that reads this one"),
    ],
    ids=["bomb", "itself", "lists", "objects", "large", "reads itself"],
)
def test_what_would_grow_without_bound_is_refused_at_once(capsys, text: str, message: str) -> None:
    Path("study.yaml").write_text(text)
    started = time.monotonic()
    shown = error_of(capsys, "study", "toy", "--config", "study.yaml")
    assert message in shown
    assert "study.yaml" in shown
    assert time.monotonic() - started < 10


def test_the_size_of_settings_counts_aliases_as_what_they_repeat() -> None:
    """9 + 1 values in each list of the first level: 1 + 9 * 10 in the second, 1 + 9 * 91 = 820 in the third."""
    check_text(bomb(5), "here")  # 66430 + 7381 + 820 + 91 + 10, 5 names, 1: below the bound
    with pytest.raises(SettingsError, match="at most 100000 values"):
        check_text(bomb(6), "here")
    Path("fine.yaml").write_text("train: &a {steps: 5, batch_size: 4}\nother: *a\n")
    assert read_settings("fine.yaml")["other"] == {"steps": 5, "batch_size": 4}


@pytest.mark.parametrize("word", ["[" * 100_000, "{a: &a [*a]}"], ids=["deep", "itself"])
def test_words_of_the_command_line_are_bounded_too(word: str) -> None:
    for words in (["--train.steps", word], [f"--task_options={word}"], [word]):
        with pytest.raises(SettingsError):
            check_words(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: 5", "model must be settings by name, got 5"),
        ("train: 5", "train must be settings by name, got 5"),
        ("train: null", "train must be settings by name, got null"),
        ("train: [1]", "train must be settings by name, got [1]"),
        ("task_options: text", "task_options must be settings by name, got 'text'"),
        ("seeds: null", "seeds must be a number or a list, got null"),
        ("fractions: null", "fractions must be a number or a list, got null"),
        ("seeds: {a: 1}", "expected a number of seeds"),
        ("seeds: true", "expected a number of seeds"),
        ("seeds: 99999999999999", "at most 10000 seeds"),
        ("variants: 5", "variants must be a list of texts"),
        ("task: null", "task must be text, got null"),
        ("full: null", "full must be true or false, got null"),
        ("hello", "holds 'hello': expected settings by name"),
        ("", "holds null: expected settings by name"),
        ("- 1", "holds [1]: expected settings by name"),
        ("a: b: c", "is not YAML, line 1, column 5: mapping values are not allowed"),
        ("train: {steps: a}", "train.steps: expected a whole number, got 'a'; train.steps is set in"),
        ("train: {steps: 0}", "steps must be a whole number of at least 1, got 0; train.steps is set in"),
        ("train: {threads: 1000000}", "threads must be at most 1024, got 1000000; train.threads is set in"),
        ("workers: 0", "workers must be 1 to 1024, got 0; workers is set in"),
        ("launcher: 5", "launcher is set in"),
    ],
)
def test_wrong_settings_are_one_line_that_names_file_and_key(capsys, text: str, message: str) -> None:
    Path("study.yaml").write_text(text + "\n")
    shown = error_of(capsys, "study", "toy", "--config", "study.yaml")
    assert message in shown
    assert "study.yaml" in shown
    assert "<unicode string>" not in shown


def test_a_later_word_of_the_command_line_is_not_blamed_on_the_file(capsys) -> None:
    Path("study.yaml").write_text("train: {steps: 5}\n")
    assert "study.yaml" not in error_of(capsys, "study", "toy", "--config", "study.yaml", "--train.steps", "0")


def test_a_file_that_is_not_text_is_named(capsys) -> None:
    Path("study.yaml").write_bytes(b"\x9b\x00abc")
    assert "study.yaml is not UTF-8 text (byte 0)" in error_of(capsys, "study", "toy", "--config", "study.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "99999999999999"], "at most 10000 seeds"),
        (["--train.threads", "1000000"], "threads must be at most 1024, got 1000000"),
        (["--workers", "100000"], "--workers must be 1 to 1024"),
    ],
    ids=str,
)
def test_numbers_that_no_machine_has_are_refused(capsys, words: list[str], message: str) -> None:
    assert message in error_of(capsys, "study", "toy", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.channels", "100000000"], "--model: "),
        (["--model.basis_hidden_dim", "1000000000000"], "GB are asked for, and "),
        (["--model.num_layers", "1000000000"], "num_layers must be at most 10000, got 1000000000"),
        (["--model.max_degree", "100000"], "max_degree must be at most 100, got 100000"),
        (["--model.table_size", "1000000000000"], "table_size must be at most 100000"),
        (["--task_options.num_train", "99999999999"], "num_train must be 1 to 10000000, got 99999999999"),
        (["--task_options.num_val=-5"], "num_train, num_val and num_test must be at least 1, got {'num_val': -5}"),
    ],
    ids=str,
)
def test_what_does_not_fit_into_memory_is_told_before_it_is_made(capsys, monkeypatch, words, message: str) -> None:
    monkeypatch.setattr("rapidash._allocation_limit.machine_memory", lambda: 2**30)
    assert message in error_of(capsys, "train", "nbody", *words)


def test_lack_of_memory_is_one_line(capsys, monkeypatch) -> None:
    def hungry(words: list[str]) -> int:
        raise MemoryError("Unable to allocate 8 PB")

    monkeypatch.setitem(cli.COMMANDS, "report", cli.Command("", hungry))
    assert run("report") == 1
    assert "not enough memory: ask for less, or a larger machine (Unable to allocate 8 PB)" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_a_line_and_its_code(capsys, monkeypatch, number: int, code: int) -> None:
    before = signal.getsignal(number)
    monkeypatch.setitem(
        cli.COMMANDS, "study", cli.COMMANDS["study"]._replace(run=lambda words: signal.raise_signal(number))
    )
    assert run("study") == code
    shown = capsys.readouterr().err
    assert "the same command continues where it stopped" in shown
    assert (signal.Signals(number).name in shown) == (number != signal.SIGINT)
    assert signal.getsignal(number) is before


def test_an_ignored_signal_does_not_end_a_command(monkeypatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        monkeypatch.setitem(
            cli.COMMANDS, "study", cli.Command("", lambda words: signal.raise_signal(signal.SIGHUP) or 0)
        )
        assert run("study") == 0
    finally:
        signal.signal(signal.SIGHUP, before)
