"""What is compared: how each side was measured, and what was cut off."""

from proofloop.measure.attempts import Attempts
from proofloop.measure.compare.section import Section, Table
from proofloop.measure.compare.sides import Sides


def settings(sides: Sides) -> Section:
    named = (("base", sides.base), *((side.name, side) for side in sides.trained))
    return Section(
        title="What is compared",
        says=(
            f"{sides.num_tasks} tasks of {sides.base.env or 'an unknown environment'}, the same "
            "for all; differences are paired on tasks, intervals resample tasks (95%). They say "
            "nothing of other training seeds: give several RUNs for that.",
        ),
        facts={name: _facts(side) for name, side in named},
        table=Table(
            columns=("", "of", "control", "attempts", "cut off", "measured with"),
            rows=tuple(
                (
                    name,
                    side.name,
                    side.control,
                    f"{len(side.rollout_ids):,}",
                    f"{side.truncated_share:.1%}",
                    side.setting.says,
                )
                for name, side in named
            ),
        ),
    )


def _facts(side: Attempts) -> dict[str, object]:
    return {
        "run": side.name,
        "control": side.control,
        "num_attempts": len(side.rollout_ids),
        "truncated_share": side.truncated_share,
        "setting": side.setting,
    }
