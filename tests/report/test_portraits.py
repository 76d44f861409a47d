"""Measurement pages of single runs, shown inside the report of their study."""

import html
import json

from rapidash.report import MEASUREMENT_PAGE, write_report
from tests.report._studies import WriteStudy, make_study


def test_the_page_of_the_first_measured_run_of_a_variant_is_shown_whole(write_study: WriteStudy) -> None:
    study = write_study(*make_study())
    assert "Where the symmetry is lost" not in write_report(study).read_text(encoding="utf-8")
    records = [json.loads(path.read_text()) for path in sorted((study / "records").glob("*.json"))]
    mine = [record for record in records if record["config"]["variant"]["name"] == "E(3) on R3"]
    for record in mine:
        work = study / "work" / record["key"]
        work.mkdir(parents=True)
        seed = record["config"]["seed"]
        (work / MEASUREMENT_PAGE).write_text(f'<!doctype html><p id="seed">page of "seed {seed}" & more</p>')
    page = write_report(study).read_text(encoding="utf-8")
    first = min(record["config"]["seed"] for record in mine)
    assert page.count("<iframe") == 1
    assert html.escape(f'page of "seed {first}" & more') in page.replace("&#34;", "&quot;")
    assert f"E(3) on R3, seed {first}" in page
