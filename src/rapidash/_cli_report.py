"""`rapidash report`: the page and the tables of a study, drawn again from its records."""

import sys
from pathlib import Path

from rapidash._cli_options import add_reference
from rapidash._cli_parser import Parser
from rapidash._training_folder import RECORDS_FOLDER
from rapidash.report import export, publish, robustness_table, terminal_table, write_report
from rapidash.study import StudySummary, change_reference, read_robustness, read_study, summarize


def report(words: list[str]) -> int:
    """Write the report of a study's directory again."""
    parser = Parser(
        "report",
        usage="RUN_DIR",
        description="Write report.html and the table of a study from its records, also of one that has not finished.",
        examples=(
            '  rapidash report runs/nbody\n  rapidash report runs/shapes --reference "E(3) on R3"\n'
            "  rapidash report runs/cmu-full --publish docs/results/cmu_walk_table.rst\n"
            "  rapidash report runs/nbody --export figures\n"
            "  rapidash report /read-only/runs/nbody --out my-report"
        ),
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=str, help="directory of a study, e.g. runs/nbody")
    add_reference(parser, "the variant to which errors under corruptions are relative, from now on")
    parser.add_argument("--out", type=str, metavar="FOLDER", help="write there instead of RUN_DIR")
    parser.add_argument(
        "--export",
        type=str,
        metavar="FOLDER",
        help="also write every figure (.svg), every table (.csv), and for a paper the table (.tex) and the text",
    )
    parser.add_argument("--publish", type=str, metavar="FILE", help="also write the table (.rst) and figure (.svg)")
    parser.add_argument("--command", type=str, metavar="TEXT", help="how the study was run, for --publish")
    options = parser.parse_args(words)
    directory = Path(options.run_dir)
    study = read_study(directory)
    records = study.records
    for name, reason in study.unreadable:
        print(f"rapidash: warning: {directory / name} is left out: {reason}", file=sys.stderr)
    if options.reference is not None:
        known = list(dict.fromkeys(record["config"]["variant"]["name"] for record in records))
        change_reference(directory, options.reference, known)
    summary = summarize(study)
    print(terminal_table(summary))
    print_robustness(summary)
    try:
        page = write_report(directory, None if options.out is None else Path(options.out))
    except OSError as error:
        elsewhere = "choose another folder with --out" if options.out else "give a folder of yours with --out FOLDER"
        raise OSError(f"{error}: {elsewhere}") from error
    print(f"report: {page}")
    if options.export is not None:
        written = export(directory, Path(options.export))
        print(f"exported: {len(written)} figures, tables and texts to {options.export}")
    if options.publish:
        for path in publish(directory, Path(options.publish), command=options.command):
            print(f"published: {path}")
    return 0


def print_robustness(summary: StudySummary) -> None:
    """The table of errors under corruptions, where the models were tested."""
    if (found := read_robustness(summary.study.directory, summary.study.records)) is not None:
        print(robustness_table(found, summary))


def write_page(directory: Path, *, quiet: bool = False) -> None:
    """Write the report of a study and print its place; ``quiet``: on stderr, and nothing where nothing was recorded."""
    if quiet and not (directory / RECORDS_FOLDER).is_dir():
        return
    print(f"report: {write_report(directory)}", file=sys.stderr if quiet else sys.stdout)
