"""`proofloop serve-model`: a checkpoint behind OpenAI's API."""

import click

from proofloop.cli.options import listening_options, served_model_option
from proofloop.cli.output import note


@click.command()
@served_model_option
@listening_options(8000)
@click.option(
    "--cache-gib",
    type=click.FloatRange(min=0.001),
    default=2.0,
    show_default=True,
    help="Most memory for keys and values.",
)
def command(
    model: str,
    host: str,
    port: int,
    name: str | None,
    threads: int,
    precision: str,
    cache_gib: float,
    api_key: str | None,
) -> None:
    """Serve a model with OpenAI's API, until Ctrl-C.

    /v1/chat/completions, /v1/completions and /v1/models, streamed or whole.  Beside OpenAI's fields
    there are top_k, min_p and return_token_ids; log-probabilities are those of the distribution
    that was sampled from.  Needs the extra `serve` and a C compiler.

    \b
    Examples:
      proofloop serve-model --model runs/seed0/model
      curl localhost:8000/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hi"}]}'
    """
    from proofloop.serve.start import serve_model
    from proofloop.train.config import Precision

    serve_model(
        model,
        host=host,
        port=port,
        name=name,
        num_threads=threads,
        precision=Precision(precision),
        cache_bytes=int(cache_gib * 2**30),
        api_key=api_key,
        on_ready=lambda url: note(f"serving {name or model} at {url} (Ctrl-C ends it)"),
    )
