"""`proofloop compare`: worlds whose answer is known, refusals, files, and what machines read."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from measured_runs import draw_passed, measured

from proofloop.cli import main
from proofloop.core.completion import SamplingParams
from proofloop.core.errors import ProofloopError, UserError
from proofloop.measure.attempts import base_of, trained_of
from proofloop.measure.compare.answer import Finding
from proofloop.measure.compare.report import Comparison, compare, write_comparison
from proofloop.measure.compare.sides import bring_together
from proofloop.store import Phase, RunStore

N = 64
RATES = list(np.random.default_rng(5).beta(0.6, 1.2, size=60))


def compared(base: Path, *runs: Path, allow_mixed: bool = False) -> Comparison:
    trained = [trained_of(run) for run in runs]
    return compare(bring_together(base_of(base), trained, allow_mixed=allow_mixed))


def run_of(path: Path, rates: list[float], after: list[float], seed: int = 0, **more) -> Path:
    steps = {0: draw_passed(rates, N, seed), 10: draw_passed(after, N, seed + 1)}
    return measured(path, steps, num_samples=N, **more)


def test_a_copy_of_the_base_gains_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", RATES, RATES)
    found = compared(run, run)
    assert found.answer.finding is Finding.NO_GAIN
    turned = found.facts["sections"]["Tasks gained and lost"]["turnover"]["run, step 10"]
    assert turned["gained_over_null"]["low"] < 0 < turned["gained_over_null"]["high"]
    assert turned["null"]["value"] > 0.01  # what a raw set of new tasks would have shown


def test_sharpening_what_the_base_could_do_is_elicited(tmp_path: Path) -> None:
    """Every task the base can do at all is done nearly always; none is new."""
    rates = [0.0] * 15 + [0.3] * 45
    run = run_of(tmp_path / "run", rates, [0.0] * 15 + [0.9] * 45)
    found = compared(run, run)
    assert found.answer.finding is Finding.ELICITED, found.answer
    # .75 (1 - .7^k) is within .02 of .75 from k = 11 on.
    assert 9 <= int(re.findall(r"with (\d+) samples", found.answer.says)[0]) <= 16


def test_tasks_out_of_the_bases_reach_are_beyond_it(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [0.0] * 30 + [0.4] * 30, [0.7] * 30 + [0.6] * 30)
    found = compared(run, run)
    assert found.answer.finding is Finding.BEYOND, found.answer
    changes = found.facts["sections"]["Tasks gained and lost"]["changes"]
    assert len(changes["newly_solved"]) == 30


def test_new_tasks_at_the_cost_of_old_ones_are_wider_not_surer(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [0.0] * 30 + [0.9] * 30, [0.15] * 30 + [0.75] * 30)
    found = compared(run, run)
    assert found.answer.finding is Finding.WIDER, found.answer
    assert "newly solved beyond chance" in found.answer.says


def test_too_few_samples_are_said_to_be_too_few(tmp_path: Path) -> None:
    steps = {0: draw_passed(RATES, 1, 0), 10: [1] * len(RATES)}
    run = measured(tmp_path / "run", steps, num_samples=1)
    found = compared(run, run)
    assert found.answer.finding is Finding.UNCLEAR
    says = " ".join(line for section in found.sections for line in section.says)
    assert "Too few samples or tasks to say" in says
    assert "No null" in says
    one = measured(tmp_path / "one", {0: [3], 10: [9]}, num_samples=16)
    assert compared(one, one).answer.finding is Finding.UNCLEAR


@pytest.mark.parametrize("passed", [0, N])
def test_all_or_nothing_solved_is_no_number_that_looks_fine(tmp_path: Path, passed: int) -> None:
    run = measured(tmp_path / "run", {0: [passed] * 40, 10: [passed] * 40}, num_samples=N)
    found = compared(run, run)
    assert found.answer.finding is Finding.NO_GAIN
    section = found.facts["sections"]["Reliability"]
    assert section["reliability"]["base"]["nines"]["high" if passed else "value"] in (None, 0.0)
    assert section["reliability"]["base"]["within"] is None or passed


def test_a_control_arm_is_called_one(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", RATES, [min(1, r + 0.3) for r in RATES], control="random")
    assert "Control arm (random)" in compared(run, run).answer.says


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sampling": SamplingParams(max_tokens=99)}, "measured in different ways"),
        ({"sampling": SamplingParams(temperature=0.5)}, "measured in different ways"),
        ({"env": "gsm8k"}, "is of gsm8k"),
        ({"first_task": 500}, "no judged task in common"),
        ({"num_unscored": N}, "no judged task in common"),
        ({"ended": False}, "no finished evaluation"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, more: dict, says: str) -> None:
    base = run_of(tmp_path / "base", RATES, RATES)
    other = run_of(tmp_path / "other", RATES, RATES, **more)
    with pytest.raises(ProofloopError, match=says):
        compared(base, other)


def test_mixed_settings_are_marked_where_they_are_allowed(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", RATES, RATES)
    other = run_of(tmp_path / "other", RATES, RATES, sampling=SamplingParams(max_tokens=99))
    assert compared(base, other, allow_mixed=True).notes[0].startswith("Mixed settings")


def test_tasks_that_one_side_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", RATES, RATES)
    other = run_of(tmp_path / "other", RATES, RATES, first_task=20)
    found = compared(base, other)
    assert "40 tasks that not every side attempted are left out." in found.notes


def test_bits_are_told_from_recorded_log_probabilities(tmp_path: Path) -> None:
    """The base holds each right completion with e^-6 of the trained model's probability."""
    run = run_of(tmp_path / "run", [0.02] * 40, [0.8] * 40)
    says = {s.title: s for s in compared(run, run).sections}["Bits of elicitation"].says
    assert "`--bits` computes them" in says[0]
    with RunStore.open(run) as store:
        rows = store.outcomes(Phase.EVAL, 10, ("rollout_id", "logprob"))
        store.record_logprobs("base", "b" * 64, {i: value - 6.0 for i, value in rows})
    found = compared(run, run).facts["sections"]["Bits of elicitation"]
    assert found["mean_bits"]["value"] == pytest.approx(6 / np.log(2), abs=1.5)
    assert found["mean_bits_at_most"]["value"] >= found["mean_bits"]["value"] - 1e-9


def test_dials_are_a_section_where_there_are_any(tmp_path: Path) -> None:
    dials = [(c, h) for c in (1, 2) for h in (1, 2, 4)] * 12
    before = [0.7**h * (0.9 if c == 1 else 0.6) for c, h in dials]
    after = [0.9**h * (0.9 if c == 1 else 0.6) for c, h in dials]
    run = run_of(tmp_path / "run", before, after, dials=dials)
    section = {s.title: s for s in compared(run, run).sections}["Complexity and horizon"]
    assert [drawn.name for drawn in section.figures] == ["dials-base", "dials-trained"]
    assert section.table is not None
    assert len(section.table.rows) == 6
    assert section.facts["movement"].along_horizon.high < 0  # length costs less than before


def test_the_page_the_figures_and_their_numbers_lie_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "a <run>", RATES, [r**0.5 for r in RATES])
    out = tmp_path / "out"
    assert main(["compare", str(run), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((out / "compare.json").read_text())
    page = (out / "compare.html").read_text()
    assert "a &lt;run&gt;" in page
    assert "<script" not in page
    rows = list(csv.DictReader((out / "pass-at-k.csv").read_text().splitlines()))
    gain = facts["sections"]["Solved within k samples"]["difference_at_k"]["a <run>, step 10"]["1"]
    means = {row["curve"]: float(row["mean"]) for row in rows if row["k"] == "1"}
    assert means["trained"] - means["base"] == pytest.approx(gain["value"])
    for drawn in out.glob("*.csv"):
        svg = drawn.with_suffix(".svg").read_text()
        assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert "--accent: #" in svg


def test_the_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    assert "not a run directory" in capsys.readouterr().err
    run = run_of(tmp_path / "run", RATES, RATES)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_comparison(compared(run, run), tmp_path / "file")
