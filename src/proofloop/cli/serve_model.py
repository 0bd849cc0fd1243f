"""`proofloop serve-model`: a checkpoint behind OpenAI's API."""

import click

from proofloop.cli.output import note


@click.command()
@click.option(
    "--model",
    metavar="MODEL",
    default="pico",
    show_default=True,
    help="A checkpoint directory in Hugging Face format, such as a run's model/, or pico.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0: any that is free.",
)
@click.option("--name", help="What callers call the model; by default as --model says.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, help="0: as many as there are cores."
)
@click.option(
    "--cache-gib",
    type=click.FloatRange(min=0.001),
    default=2.0,
    show_default=True,
    help="Most memory for keys and values.",
)
@click.option(
    "--api-key", envvar="PROOFLOOP_API_KEY", help="What callers must send; none: nothing."
)
def command(
    model: str,
    host: str,
    port: int,
    name: str | None,
    threads: int,
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

    serve_model(
        model,
        host=host,
        port=port,
        name=name,
        num_threads=threads,
        cache_bytes=int(cache_gib * 2**30),
        api_key=api_key,
        on_ready=lambda url: note(f"serving {name or model} at {url} (Ctrl-C ends it)"),
    )
