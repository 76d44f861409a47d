"""Commands as they are typed."""

from rapidash import cli


def run(*words: str) -> int:
    """The code with which a command ends."""
    try:
        return cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
