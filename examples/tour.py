"""One prompt's way to a gradient, hop by hop, with what each hop really makes.

    python examples/tour.py [CHECKPOINT]

`docs/tour.md` walks through the printed records.
"""

import sys
from pathlib import Path

import torch

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.rollout import Group, Judged, Rollout, RolloutId, Turn
from proofloop.core.task import CallTests, Returns, Split
from proofloop.core.value import decode
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.train.advantages import credit
from proofloop.train.config import Schedule
from proofloop.train.objective import Objective
from proofloop.train.optimiser import Optimiser, OptimiserConfig
from proofloop.train.samples import bundles_of, sample_of
from proofloop.train.trainer import accumulate
from proofloop.verify import build_verifier

NUM_SAMPLES = 8


def main(checkpoint: Path) -> None:
    torch.set_num_threads(1)

    print("## 1. data row -> Task + AnswerKey")
    environment = FunctionsEnvironment(families=("list",), complexity=(2,))
    (stratum,) = environment.strata(Split.TRAIN)
    problem = environment.problem(Split.TRAIN, stratum, 2)
    task, key = problem.task, problem.key
    print(task.id)
    print(task.messages[0].content)
    assert isinstance(key.tests, CallTests)
    hidden = key.tests.calls[0]
    assert isinstance(hidden.wanted, Returns)
    print(
        f"key: {len(key.tests.calls)} hidden calls; the first: {hidden.function}"
        f"{decode(hidden.args)!r} must give {decode(hidden.wanted.value)!r}"
    )
    print(f"oracle:\n{problem.oracle}")

    print("## 2. Task -> context tokens")
    tokenizer = ChatTokenizer.load(checkpoint)
    context = tokenizer.context(task.messages)
    print(f"{len(context)} tokens: {context[:12]} …")
    print([tokenizer.decode((t,), keep_special=True) for t in context[:12]])

    print("\n## 3. context -> Completion")
    model = load_model(checkpoint)
    flat = flatten(model)
    engine = LocalEngine(model, flat, tokenizer.stop_ids)
    request = Request(
        context=context, seeds=tuple(range(NUM_SAMPLES)), sampling=SamplingParams(max_tokens=64)
    )
    (completions,) = engine.generate([request])
    first = completions[0]
    print(
        f"policy {first.policy.step} {first.policy.sha256[:12]}, seed {first.seed}, "
        f"{first.stop_reason}"
    )
    for token, logprob, entropy in zip(first.tokens, first.logprobs, first.entropies, strict=True):
        text = tokenizer.decode((token,), keep_special=True)
        print(f"  {token:4d} {text!r:14} log p {logprob:7.3f}  entropy {entropy:5.3f}")

    print("\n## 4-6. Completion -> Rollout -> Verdict")
    attempts: list[Judged] = []
    with build_verifier() as verifier:
        for i, completion in enumerate(completions):
            answer = tokenizer.decode(completion.tokens)
            rollout = Rollout(
                id=RolloutId(f"tour-{i}"),
                task_id=task.id,
                turns=(Turn(context=context, completion=completion),),
                answer=answer,
            )
            verdict = verifier.verify(task, key, answer)
            attempts.append(Judged(rollout=rollout, verdict=verdict))
            print(f"{answer!r}\n  {verdict}")

    print("\n## 7-8. Group -> advantages")
    group = Group(task_id=task.id, attempts=tuple(attempts))
    credits = credit([group])
    if not credits.groups:
        print("all rewards are equal: this group teaches nothing, and is dropped and counted")
        return
    (credited,) = credits.groups
    print([round(c.advantage, 3) for c in credited])

    print("\n## 9. Samples -> bundles that share their context")
    samples = [sample_of(c) for c in credited]
    bundles = bundles_of(samples)
    print(
        f"{len(samples)} samples in {len(bundles)} bundles: "
        f"{[(len(b.samples), b.longest, b.num_positions) for b in bundles]} "
        "(samples, longest, positions run)"
    )

    print("\n## 10. loss -> step")
    gradient = torch.zeros_like(flat)
    parameters = list(model.parameters())
    for p, g in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p)
    stats = accumulate(
        model,
        bundles,
        objective=Objective(),
        denominator=sum(s.num_trained_tokens for s in samples),
        temperature=1.0,
        max_positions=8192,
    )
    print(stats)
    settings = OptimiserConfig(
        learning_rate=3e-4,
        schedule=Schedule.CONSTANT,  # one group has no second half to agree with
        warmup_steps=0,
        weight_decay=0.0,
        grad_clip=1.0,
    )
    print(Optimiser(flat, settings).update(gradient, torch.zeros_like(gradient)))

    print("\n## 11. weights -> PolicyVersion -> engine")
    engine.step = 1
    print(engine.version())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else resolve_model("pico"))
