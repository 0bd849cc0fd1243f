"""`proofloop gateway`: what agents of others sample, taken down token for token."""

from pathlib import Path

import click

from proofloop.cli.options import listening_options, served_model_option
from proofloop.cli.output import note


@click.command()
@served_model_option
@click.option(
    "--server",
    metavar="URL",
    help="Sample there (vLLM, serve-model; up to /v1) instead of here; MODEL gives the tokenizer.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("sessions"),
    show_default=True,
    help="Folder of the records, a file a session.",
)
@listening_options(8100)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    help="Instead of what agents ask for, such as 1 for rollouts that are to train.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Of an answer, where an agent does not say.",
)
def command(
    model: str,
    server: str | None,
    out: Path,
    host: str,
    port: int,
    name: str | None,
    threads: int,
    precision: str,
    temperature: float | None,
    max_tokens: int,
    api_key: str | None,
) -> None:
    """Record what agents of others sample, token for token, behind OpenAI's API.

    An agent is pointed at URL/sessions/NAME/v1, or sends the header X-Proofloop-Session.  Its calls
    become the turns of that session: what the engine was given and gave, with log-probabilities.
    GET URL/sessions/NAME gives them as one rollout.  Needs the extra `serve`.

    \b
    Examples:
      proofloop gateway --model runs/seed0/model --out sessions
      OPENAI_BASE_URL=http://127.0.0.1:8100/sessions/one/v1 your-agent …
    """
    from proofloop.serve.start import serve_gateway
    from proofloop.train.config import Precision

    serve_gateway(
        model,
        folder=out,
        server=server,
        host=host,
        port=port,
        name=name,
        num_threads=threads,
        precision=Precision(precision),
        temperature=temperature,
        max_turn_tokens=max_tokens,
        api_key=api_key,
        on_ready=lambda url: note(f"recording at {url}/sessions/NAME/v1 (Ctrl-C ends it)"),
    )
