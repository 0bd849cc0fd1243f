"""The program `proofloop`: its verbs, and the one place where an error becomes a line and a code.

A verb's module is imported when the verb is used, so `proofloop --help` stays quick.  Exit codes:
0 done; 1 it did not succeed; 2 the user can mend it; 130 interrupted.
"""

import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

import proofloop
from proofloop.core.errors import ProofloopError, UserError

VERBS: dict[str, str] = {
    "train": "Train a model by reinforcement learning, and measure the gain.",
    "eval": "Measure a model on an environment's held-out tasks.",
    "report": "Write the HTML report of one or several runs.",
    "compare": "Compare a base with what training made of it: taught, or elicited?",
    "scale": "Train one recipe at several sizes and seeds; forecast each end from its beginning.",
    "peek": "Show one rollout token by token: text, log-probability, advantage, verdict.",
    "verify": "Judge a file of completions by an environment's hidden tests.",
    "validate": "Check that an environment's own answers pass and empty ones fail.",
    "audit": "Attack an environment's rewards, and try right answers in odd clothes.",
    "tasks": "Print an environment's tasks as JSON Lines, without their answers.",
    "mine": "Make tasks from a repository with tests.",
    "doctor": "Show what this machine can give: isolation, cores, devices.",
    "serve-model": "Serve a model with OpenAI's API, until Ctrl-C.",
    "gateway": "Record what agents of others sample, token for token, behind OpenAI's API.",
    "solve": "Let an agent work on a repository; its work comes back as a branch.",
    "play": "Be the policy: answer an environment's task and see how it is judged.",
    "pretrain": "Pre-train the embedded base model from nothing.",
}
"""Every verb and its line in the help."""

EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141


class Verbs(click.Group):
    """Imports `proofloop.cli.<verb>` for its `command` when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return import_module(f"proofloop.cli.{cmd_name.replace('-', '_')}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in VERBS and not word.startswith("-"):
            close = difflib.get_close_matches(word, VERBS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"verbs: {', '.join(VERBS)}"
            raise click.UsageError(f"no verb {word!r}; {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(proofloop.__version__, prog_name="proofloop")
def proofloop_command() -> None:
    """Train language models by reinforcement learning from rewards that can be proven.

    \b
    Examples:
      proofloop train                     the quick start: train, measure, report
      proofloop train --set train.seed=1
      proofloop doctor                    what this machine can give

    `proofloop VERB --help` explains a verb.  PROOFLOOP_DEBUG=1 shows tracebacks.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code.  A fault of ours (a bug) keeps its traceback."""
    try:
        args = list(sys.argv[1:] if arguments is None else arguments)
        code = proofloop_command.main(args, prog_name="proofloop", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone is still handled
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _fail(_usage(error), EXIT_USER)
    except UserError as error:
        return _fail(str(error), EXIT_USER)
    except ProofloopError as error:
        return _fail(str(error), EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`| head`): no complaint, and none from Python at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message} (see `{error.ctx.command_path} --help`)"
    return message


def _fail(message: str, code: int) -> int:
    if os.environ.get("PROOFLOOP_DEBUG") == "1":
        traceback.print_exc()
    line = " ".join(part.strip() for part in message.splitlines())
    print(f"proofloop: error: {line}", file=sys.stderr)
    return code
