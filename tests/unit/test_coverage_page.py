"""The coverage table: rows survive the CSV, and marks say what is out of bounds."""

from pathlib import Path
from typing import Any

from coverage_rows import coverage_part

page = coverage_part("page")
jobs = coverage_part("jobs")
worlds = coverage_part("worlds")
Row = coverage_part("row").Row


def row(num_covered: int, **changes: Any) -> Any:
    columns = {
        "estimator": "ours",
        "world": "60 tasks",
        "target": "pass^8",
        "nominal": 0.95,
        "num_worlds": 200,
        "num_covered": num_covered,
        "median_width": 0.25,
    }
    return Row(**(columns | changes))


def test_a_tally_counts_truths_held_and_intervals_refused():
    found = worlds.tally("ours", "w", "t", 0.5, [(0.4, 0.6), (0.6, 0.9), None, (0.5, None)])
    assert (found.num_worlds, found.num_covered, found.refused) == (2, 1, 2)
    assert found.median_width == 0.25


def test_shares_out_of_93_to_97_percent_are_marked():
    marks = [page.flag(row(covered)) for covered in (185, 186, 190, 194, 195)]
    assert marks == ["▼", "", "", "", "▲"]
    assert page.flag(row(100, nominal=0.5)) == ""
    assert page.flag(row(0, num_worlds=0)) == ""


def test_a_line_a_world_and_a_column_an_estimator():
    table = page.as_table([row(190), row(100, estimator="peer", refused=3)]).splitlines()
    assert table[0] == "| World | Target | ours | peer |"
    assert table[2] == (
        "| 60 tasks | pass&#94;8 | 95.0 (91.0–97.3) w 0.25 | 50.0▼ (43.1–56.9) w 0.25, refused 3 |"
    )
    assert len(table) == 3


def test_rows_survive_the_csv_and_the_page_counts_marks(tmp_path: Path):
    files = {"means": [row(190), row(100, estimator="peer")], "nines": [row(0, num_worlds=0)]}
    page.write_csv(tmp_path / "coverage.csv", files)
    again = page.read_csv(tmp_path / "coverage.csv")
    assert again["means"] == files["means"]
    assert again["nines"][0].num_worlds == 0
    assert page.read_csv(tmp_path / "missing.csv") == {}
    text = page.as_page([("Means over tasks: of a world.\n\nMore.", again["means"])])
    assert "2 cells, 1 of them `▼` and 0 `▲`" in text.replace("\n", " ")
    assert "## Means over tasks\n\nOf a world.\n\nMore.\n\n| World" in text


def test_every_file_with_rows_is_collected():
    assert {"means", "reliability", "sequential", "crossover", "new_solved"} <= set(jobs.files())
    assert "page" not in jobs.files()
