"""`proofloop solve`: an agent at work on a repository."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option, tier_option
from proofloop.cli.output import note, print_json

if TYPE_CHECKING:
    from proofloop.runs.solve import SolveReport


@click.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--task", required=True, help="What is to be done, in words; @FILE reads a file.")
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="A checkpoint directory, pico, or the URL of a server with OpenAI's API, up to /v1, its "
    "key from PROOFLOOP_API_KEY or OPENAI_API_KEY; or person: you, by commands.",
)
@click.option("--model-name", default="", help="At a server; by default the first that it lists.")
@click.option(
    "--branch", default="", help="Branch to make; by default agent/ and the task's words."
)
@click.option("--python", default="", help="Interpreter with its dependencies and pytest.")
@click.option("--tests", default="", help="Command of its tests; by default pytest.")
@click.option(
    "--dialect",
    type=click.Choice(["auto", "native", "shell"]),
    default="auto",
    show_default=True,
    help="How calls are written: by the chat template, or as ```bash blocks.",
)
@click.option("--max-turns", type=click.IntRange(min=1), default=30, show_default=True,
              help="Of the agent.")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(min=1), default=2048, show_default=True,
              help="Of one answer.")  # fmt: skip
@click.option("--context-tokens", type=click.IntRange(min=256), default=32_768, show_default=True,
              help="Of a context; a fuller one becomes notes.")  # fmt: skip
@click.option("--max-minutes", type=click.FloatRange(min=0), help="Of work in all.")
@click.option("--max-cost", type=click.FloatRange(min=0), help="US dollars; needs --price.")
@click.option(
    "--price",
    nargs=2,
    type=click.FloatRange(min=0),
    default=(0.0, 0.0),
    metavar="CONTEXT SAMPLED",
    help="US dollars a million tokens, where the server does not tell its costs.",
)
@click.option("--no-write", multiple=True, metavar="GLOB", help="Paths that must stay as they are.")
@click.option("--no-read", multiple=True, metavar="GLOB", help="Paths that must stay unseen.")
@click.option("--no-command", multiple=True, metavar="PATTERN", help="Commands that are denied.")
@click.option("--network", is_flag=True, help="Let commands reach the network.")
@click.option("--secret", multiple=True, metavar="NAME",
              help="Variable that commands get, masked in all that the model sees.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(min=0), default=0.7, show_default=True,
              help="Of sampling.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of a checkpoint's sampling.")
@tier_option
@json_option
def command(
    repository: Path,
    task: str,
    model: str,
    model_name: str,
    branch: str,
    python: str,
    tests: str,
    dialect: str,
    max_turns: int,
    max_tokens: int,
    context_tokens: int,
    max_minutes: float | None,
    max_cost: float | None,
    price: tuple[float, float],
    no_write: tuple[str, ...],
    no_read: tuple[str, ...],
    no_command: tuple[str, ...],
    network: bool,
    secret: tuple[str, ...],
    temperature: float,
    seed: int,
    tier: str | None,
    as_json: bool,
) -> int:
    """Let an agent work on a repository; its work comes back as a branch.

    It works in a copy of the last commit, in the sandbox, without network, history, remotes or an
    installed copy of the package.  Your working tree, index and other branches stay as they are.
    Exit code 1 where nothing was changed, or the tests pass no more.

    \b
    Examples:
      proofloop solve . --task "parse() loses the last line" --model http://localhost:8000/v1
      proofloop solve lib --task @issue.md --model runs/seed0/model --no-write 'tests/**'
      proofloop peek .git/proofloop/agent/parse-loses-the-last-line
    """
    import shlex

    from proofloop.agent.limits import EpisodeLimits, Memory
    from proofloop.agent.permissions import Permissions
    from proofloop.core.errors import UserError
    from proofloop.core.verdict import Tier
    from proofloop.runs.agent_policy import SolveConfig
    from proofloop.runs.solve import solve

    if task.startswith("@"):
        try:
            task = Path(task[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--task: {task[1:]} cannot be read ({error})") from error
    if max_cost is not None and not any(price):
        note("--max-cost without --price holds only where the server tells its costs")
    report = solve(
        SolveConfig(
            repository=repository,
            task=task,
            model=model,
            model_name=model_name,
            branch=branch,
            python=python,
            tests=tuple(shlex.split(tests)),
            tier=None if tier is None else Tier(tier),
            dialect=dialect,
            limits=EpisodeLimits(
                max_turns=max_turns,
                max_turn_tokens=max_tokens,
                context_tokens=context_tokens,
                max_seconds=None if max_minutes is None else max_minutes * 60,
                max_cost=max_cost,
            ),
            memory=Memory(max_notes_tokens=1024),
            permissions=Permissions(
                no_write=no_write,
                no_read=no_read,
                no_commands=no_command,
                network=network,
                secrets=secret,
            ),
            temperature=temperature,
            seed=seed,
            context_price=price[0],
            sampled_price=price[1],
        ),
        on_progress=note,
    )
    if as_json:
        print_json(report)
    else:
        print("\n".join(_lines(report)))
    return 0 if report.commit and _is_no_worse(report) else 1


def _is_no_worse(report: "SolveReport") -> bool:
    after = report.tests_after
    return after is not None and (after.passed or not report.tests_before.passed)


def _lines(report: "SolveReport") -> list[str]:
    from proofloop.measure.text import printable

    if report.commit:
        lines = [f"branch {report.branch} at {report.commit[:12]}", report.diffstat]
    else:
        lines = ["nothing was changed, so there is no branch"]
    lines.append(f"ended: {report.ending.replace('_', ' ')}")
    lines.append(f"tests before: {report.tests_before.summary}")
    if report.tests_after is not None:
        lines.append(f"tests after:  {report.tests_after.summary}")
    spent = f", ${report.cost:.4f}" if report.cost else ""
    lines.append(
        f"{report.num_turns} turns, {report.num_calls} calls, {report.num_context_tokens} tokens "
        f"read, {report.num_sampled_tokens} written, {report.seconds:.1f} s{spent}, {report.tier}"
    )
    denied = [f"denied in turn {d.step + 1}: {d.action} ({d.rule})" for d in report.denied]
    lines += map(printable, [*denied, *(f"left out: {path}" for path in report.left_out)])
    lines.append(f"trajectory: proofloop peek {report.records}")
    return lines
