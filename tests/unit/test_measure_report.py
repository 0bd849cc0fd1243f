"""The report page of synthetic runs: complete, self-contained, escaped, and never in need of a
part that a run may not have reached."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from proofloop.core.task import Stratum
from proofloop.measure.arms import Arm
from proofloop.measure.data import Example, ReportData, Series, Tripped
from proofloop.measure.drawing import spread
from proofloop.measure.figures import running_mean
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.panels import merged_causes, panels
from proofloop.measure.report import compare_runs, pooled_gain, render_report

ATTACK = '</pre><script>alert(1)</script><img src=x onerror="x">\x1b[31m\u202e{{ 7 * 7 }}'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks nesting and collects what a page could load or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open_tags.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def outcomes(rate: float, *, seed: int, num_tasks: int = 40, num_samples: int = 16) -> Outcomes:
    rng = np.random.default_rng(seed)
    families = ("int", "list")
    return Outcomes(
        task_ids=tuple(f"functions/heldout/{i:03d}@ab" for i in range(num_tasks)),
        strata=tuple(
            Stratum(family=families[i % 2], complexity=1 + i % 3, horizon=1)
            for i in range(num_tasks)
        ),
        num_samples=np.full(num_tasks, num_samples),
        num_passed=rng.binomial(num_samples, rate, num_tasks),
        num_unscored=np.zeros(num_tasks, np.int64),
    )


def series(*values: float, first: int = 1) -> Series:
    return Series(steps=tuple(range(first, first + len(values))), values=values)


METRICS = {
    "reward_mean": series(*np.linspace(0.3, 0.6, 20).tolist()),
    "pass_share_heldout": Series(steps=(0, 10, 20), values=(0.3, 0.4, 0.5)),
    "entropy_mean": series(*np.linspace(0.5, 0.1, 20).tolist()),
    "completion_tokens_mean": series(30.0, 29.0, 28.0),
    "truncated_share": series(0.1, 0.05, 0.025),
    "groups_all_pass_share": series(0.0, 0.1, 0.2),
    "groups_all_fail_share": series(0.3, 0.2, 0.1),
    "logprob_gap_max": series(0.0, 4e-6, 5e-6),
    "logprob_gap_mean": series(0.0, 2e-7, 2e-7),
    "sample_s": series(1.0, 1.1, 1.2),
    "verify_s": series(0.5, 0.5, 0.5),
    "train_s": series(2.0, 2.0, 2.0),
    "rollouts_per_s": series(250.0, 300.0, 310.0),
    "verdicts_per_s": series(1900.0, 2048.0, 2100.0),
}
EXAMPLE = Example(
    rollout_id="eval-20-0-0",
    task_id="functions/heldout/000@ab",
    phase="eval",
    step=20,
    prompt=f"assert f(1) == 2 {ATTACK}",
    answer=ATTACK,
    cause="invalid_program",
    passed=False,
    reward=0.0,
    detail=ATTACK,
    tier="T1",
)


def whole_run(name: str = "quick", *, control: str = "none", seed: int = 0) -> ReportData:
    return ReportData(
        name=name,
        env="functions",
        arms=() if control == "none" else (Arm(control),),
        num_steps_planned=20,
        num_steps_done=20,
        metrics=METRICS,
        base=outcomes(0.3, seed=1),
        trained=outcomes(0.6, seed=2 + seed),
        causes={"passed": series(30, 40), "wrong_answer": series(33, 23), "crash": series(1, 1)},
        num_rollouts=130,
        num_unscored=2,
        examples=(EXAMPLE,),
        events=(f"resumed: {ATTACK}",),
        config=f'x = "{ATTACK}"',
        manifest=ATTACK,
    )


def test_the_page_is_well_formed_and_loads_nothing():
    html = render_report([whole_run()])
    page = Page(html)
    assert page.open_tags == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "srcset", "onerror"}]
    links = [value or "" for name, value in page.attributes if name.endswith("href")]
    assert links
    assert all(link.removeprefix("#") in page.ids for link in links)
    assert all(target in page.ids for target in re.findall(r"url\(#([^)]*)\)", html))
    assert "@import" not in html
    assert 'name="viewport"' in html
    assert page.tags.count("svg") == len(list(panels(whole_run()))) == 10


def test_text_of_a_model_is_escaped_and_made_visible():
    html = render_report([whole_run("<b>run</b>")])
    assert "<script>" not in html
    assert "<b>run" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&lt;/pre&gt;&lt;script&gt;" in html
    assert "\\x1b[31m\\u202e{{ 7 * 7 }}" in html


def test_figures_take_their_colours_from_the_page_and_stay_legible_on_a_phone():
    for panel in panels(whole_run()):
        assert "#0101" not in panel.figure.svg
        assert "var(--accent)" in panel.figure.svg
        assert panel.caption.endswith(".")
        width = float(re.findall(r'viewBox="0 0 ([\d.]+) ', panel.figure.svg)[0])
        px_per_unit = (360 - 32) / width
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", panel.figure.svg)]
        # Exponents of powers of ten are set smaller, as everywhere.
        sizes = [size for size in sizes if panel.title != "Sampler against trainer" or size > 7]
        assert min(sizes) * px_per_unit >= 12 * 0.99  # 12 CSS pixels are 9 pt


def test_the_same_data_give_the_same_bytes():
    assert render_report([whole_run()]) == render_report([whole_run()])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (ReportData(name="fresh", num_steps_planned=20), "No held-out evaluation is recorded yet"),
        (
            ReportData(name="cut", num_steps_planned=20, base=outcomes(0.3, seed=1)),
            "The trained model has not been evaluated",
        ),
        (
            ReportData(name="cut", num_steps_planned=20, num_steps_done=1, metrics={
                name: Series(steps=s.steps[:1], values=s.values[:1]) for name, s in METRICS.items()
            }, causes={"passed": series(3)}),
            "The run has reached step 1 of 20",
        ),
        (ReportData(name="odd", base=outcomes(0.3, seed=1, num_tasks=1)), "Only 1 held-out tasks"),
        (
            ReportData(name="none", base=Outcomes.from_attempts([]), num_steps_planned=1),
            "The base model has not been evaluated",
        ),
        (
            ReportData(name="e", num_steps_planned=9, metrics={"loss": series()}),
            "nothing to draw",
        ),
        (whole_run(control="random"), "Control arm: placebo (random reward)"),
    ],
)  # fmt: skip
def test_missing_parts_are_said_and_not_fatal(data: ReportData, says: str):
    html = render_report([data])
    assert says in html
    assert Page(html).open_tags == []


def test_several_runs_stand_side_by_side():
    runs = [whole_run(), whole_run("seed-1", seed=1), whole_run("placebo", control="random")]
    rows = compare_runs(runs)
    assert [row.name for row in rows] == ["quick", "seed-1", "placebo"]
    assert rows[0].over_main is None
    assert rows[2].over_main is not None
    assert rows[2].over_main.value == 0.0
    pooled = pooled_gain(runs[:2])
    assert pooled is not None
    assert rows[0].gain is not None
    assert rows[1].gain is not None
    assert pooled.value == pytest.approx((rows[0].gain.value + rows[1].gain.value) / 2)
    html = render_report(runs)
    assert "Over the 2 runs that share environment and control arm" in html
    assert pooled_gain([runs[0]]) is None
    assert pooled_gain([runs[0], ReportData(name="cut")]) is None


def test_rare_causes_are_shown_together_and_nothing_is_lost():
    causes = {
        "wrong_answer": series(40, 30),
        "passed": series(50, 60),
        "crash": series(1, 1),
        "time_limit": series(1, 1),
    } | {f"cause{i}": series(10, 10) for i in range(5)}
    shown = merged_causes(causes)
    assert list(shown) == ["passed", "wrong answer", "cause0", "cause1", "cause2", "other"]
    assert sum(s.values[1] for s in shown.values()) == sum(s.values[1] for s in causes.values())


def test_labels_move_apart_and_stay_inside():
    assert spread([0.5, 0.5, 0.99], gap=0.1) == pytest.approx([0.5, 0.6, 0.99])
    assert spread([0.98, 0.99], gap=0.1) == pytest.approx([0.9, 1.0])


def test_the_running_mean_averages_a_centred_window():
    values = np.arange(60.0) ** 2
    expected = [values[max(0, i - 3) : i + 4].mean() for i in range(60)]
    assert running_mean(values) == pytest.approx(expected)


def test_what_was_kept_aside_is_shown_and_escaped():
    kept = tuple(
        Tripped(rollout_id=f"train-1-0-{i}", task_id="t@0", step=1, says="it hunts", answer=ATTACK)
        for i in range(30)
    )
    data = replace(whole_run(), tripped=kept, num_tripwire_rollouts=8)
    html = render_report([data])
    assert Page(html).open_tags == []
    assert "<script>" not in html
    assert 'kept aside: <span class="value">30</span>, of 130 training rollouts, 8 of them' in html
    assert html.count("it hunts") == 20
    assert "And 10 more" in html
    assert "Tripwires" not in render_report([whole_run()])


def test_the_gap_comes_with_its_slope():
    rising = Series(steps=tuple(range(1, 41)), values=tuple(0.1 + 0.002 * s for s in range(1, 41)))
    data = replace(whole_run(), metrics={"visible_hidden_gap": rising})
    (panel,) = [p for p in panels(data) if p.title == "Shown against hidden tests"]
    assert panel.caption.endswith("; here +2.0 points in ten steps [+2.0, +2.0].")
    early = replace(data, metrics={"visible_hidden_gap": series(0.1, 0.2)})
    (panel,) = [p for p in panels(early) if p.title == "Shown against hidden tests"]
    assert panel.caption.endswith("a rise is a reward being gamed.")
