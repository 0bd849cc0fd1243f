"""One worker process: samples and judges tasks, at once, and computes gradients.

It sees the weights through shared memory, owns its own sandbox and is told what to do over a
pipe.  It never writes to the run: what it made goes back to the driver.
"""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection

import msgspec
import torch
from torch import nn

from proofloop.core.completion import (
    Completion,
    Engine,
    Request,
    SamplingParams,
    answers,
)
from proofloop.core.rollout import Group, Judged, Rollout, RolloutId, Turn
from proofloop.core.sandbox import Limits
from proofloop.core.task import Problem, Task
from proofloop.core.verdict import Verdict
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import adopt, adopt_gradient
from proofloop.engine.vllm_weights import FollowingEngine
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.adapters import learn_by_adapters
from proofloop.runs.controls import controlled
from proofloop.runs.engines import open_engine
from proofloop.runs.environments import build_environment
from proofloop.runs.episodes import Episodes
from proofloop.runs.lifeline import die_with_parent
from proofloop.runs.manifest import num_workers
from proofloop.runs.orders import (
    Attempt,
    CrewSetup,
    Differentiate,
    Failed,
    Order,
    Publish,
    Reply,
    Score,
    Scores,
    Value,
    WorkerSetup,
)
from proofloop.runs.placement import network_over
from proofloop.runs.recipe import Control, objective_of
from proofloop.runs.retries import Retries
from proofloop.runs.reward_models import LearnedReward, rewarded_groups
from proofloop.runs.rewards import rewarded
from proofloop.runs.seeds import sample_seed
from proofloop.runs.settings import open_setting
from proofloop.sandbox import open_sandbox
from proofloop.store import Phase, RecordedGroup
from proofloop.store.rows import rollout_id
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.scoring import logprobs_of, values_of
from proofloop.train.trainer import accumulate
from proofloop.train.tripwires import tripwire_problem
from proofloop.verify import build_verifier
from proofloop.verify.naive import passes_naively
from proofloop.verify.naming import verifier_name
from proofloop.verify.tripwires import baited


class Worker:
    """The parts of a worker and its duties."""

    def __init__(self, setup: WorkerSetup, engine: Engine | None = None) -> None:
        """`engine`: to sample from instead of the weights."""
        crew = setup.crew
        recipe = crew.recipe
        self._recipe = recipe
        self._environment = build_environment(recipe.env)
        self._tokenizer = ChatTokenizer.load(crew.model_path)
        self._verifier = build_verifier(recipe.sandbox.tier)
        naive = recipe.reward.control is Control.NAIVE
        self._naive_sandbox = open_sandbox(recipe.sandbox.tier) if naive else None
        if setup.model is None:
            self._model = network_over(crew.model_path, recipe, crew.weights)
        else:
            self._model = setup.model
        self._models = {Whose.OWN: self._model, **_other_models(crew)}
        self._objective = objective_of(recipe)
        self._gradient = setup.gradient
        self._head: ScalarHead | None = None
        learner: nn.Module = self._model
        if crew.adapter is not None:
            learner = learn_by_adapters(self._model, recipe, crew.adapter)
        num_own = sum(p.numel() for p in learner.parameters())
        adopt_gradient(learner, setup.gradient[:num_own])
        if crew.head is not None:
            self._head = ScalarHead(self._model.config.hidden_size)
            adopt(self._head, crew.head)
            adopt_gradient(self._head, setup.gradient[num_own:])
        self._local = LocalEngine(
            self._model,
            crew.weights,
            self._tokenizer.stop_ids,
            num_threads=1 if setup.model is None else num_workers(0),
        )
        self._engine: Engine = (
            open_engine(recipe, self._local, self._tokenizer) if engine is None else engine
        )
        self._learned: LearnedReward | None = None
        if crew.reward_model is not None:
            most = recipe.train.micro_batch_tokens
            self._learned = LearnedReward(crew.reward_model, max_positions=most)
        self._judging = ThreadPoolExecutor(
            1, initializer=None if setup.model is None else _hold_interrupts
        )
        """One for life: what the sandbox starts ends with the thread that started it."""
        self._known: dict[tuple[int, str], Verdict] = {}
        self._retries = Retries(
            control=recipe.feedback.control,
            seed=recipe.train.seed,
            tokenizer=self._tokenizer,
            engine=self._engine,
            verifier=self._verifier,
            judge=self._verdict,
            max_positions=self._model.config.max_position_embeddings,
        )
        self._episodes = self._turns_with_tools()

    def _turns_with_tools(self) -> Episodes | None:
        sampling = self._recipe.sampling
        setting = open_setting(self._recipe, self._environment, self._verifier)
        if setting is None:
            return None
        return Episodes(
            config=self._recipe.agent,
            setting=setting,
            sampling=SamplingParams(
                max_tokens=sampling.max_tokens, temperature=sampling.temperature
            ),
            seed=self._recipe.train.seed,
            tokenizer=self._tokenizer,
            engine=self._engine,
            judge=self._verdict,
            tier=self._verifier.tier,
            max_positions=self._model.config.max_position_embeddings,
        )

    def obey(self, order: Order) -> Reply:
        match order:
            case Attempt(assignments):
                return self._attempt(assignments)
            case Differentiate(bundles, denominator):
                self._gradient.zero_()
                return accumulate(
                    self._model,
                    bundles,
                    objective=self._objective,
                    denominator=denominator,
                    temperature=self._recipe.sampling.temperature,
                    max_positions=self._recipe.train.micro_batch_tokens,
                    head=self._head,
                )
            case Value(questions):
                assert self._head is not None, "asked only where there is one"
                most = self._recipe.train.micro_batch_tokens
                return Scores(values_of(self._model, self._head, questions, max_positions=most))
            case Score(questions, temperature, whose):
                model, most = self._models[whose], self._recipe.train.micro_batch_tokens
                return Scores(
                    logprobs_of(model, questions, max_positions=most, temperature=temperature)
                )
            case Publish(step):
                self._local.step = step
                if isinstance(self._engine, FollowingEngine):
                    self._engine.expect(self._local.version())
                return self._engine.version()

    def close(self) -> None:
        self._judging.shutdown(cancel_futures=True)
        if self._episodes is not None:
            self._episodes.close()
        self._verifier.close()
        if self._naive_sandbox is not None:
            self._naive_sandbox.close()

    def _attempt(self, assignments: list[Assignment]) -> Attempted:
        began = time.perf_counter()
        self._known.clear()
        problems = [self._problem(a) for a in assignments]
        if self._episodes is not None:
            return self._episodes.attempt(assignments, problems)
        requests = [self._request(a, p) for a, p in zip(assignments, problems, strict=True)]
        judging: dict[int, Future[RecordedGroup]] = {}
        for i, completions in self._sample(assignments, requests):
            parts = (assignments[i], problems[i], requests[i], completions)
            judging[i] = self._judging.submit(self._judged, *parts)
        sampled = time.perf_counter()
        groups = tuple(judging[i].result() for i in range(len(assignments)))
        if self._learned is not None:
            groups = rewarded_groups(self._learned, assignments, groups)
        judged = time.perf_counter()
        after = self._retries.follow(assignments, problems, groups)
        return Attempted(
            groups=after.groups,
            sample_s=sampled - began + after.sample_s,
            verify_s=judged - sampled + after.verify_s,
        )

    def _problem(self, assignment: Assignment) -> Problem:
        """With decoys where it is for training and the recipe says so."""
        split, stratum, index = assignment.split, assignment.stratum, assignment.index
        seed = self._recipe.train.seed
        if assignment.tripwire:
            problem = tripwire_problem(self._environment, split, stratum, index, seed=seed)
            assert problem is not None, "assigned because there is one"
        else:
            problem = self._environment.problem(split, stratum, index)
        if assignment.phase is not Phase.TRAIN or not self._recipe.tripwire.decoys:
            return problem
        return msgspec.structs.replace(problem, key=baited(problem.key, seed))

    def _sample(
        self, assignments: list[Assignment], requests: list[Request]
    ) -> Iterator[tuple[int, list[Completion]]]:
        """Impossible tasks, which come last, by themselves: batches that train stay what they are
        without them, to the last bit."""
        first = sum(not assignment.tripwire for assignment in assignments)
        yield from answers(self._engine, requests[:first])
        if first < len(requests):
            for i, completions in answers(self._engine, requests[first:]):
                yield first + i, completions

    def _request(self, assignment: Assignment, problem: Problem) -> Request:
        sampling = self._recipe.sampling
        return Request(
            context=self._tokenizer.context(problem.task.messages),
            seeds=tuple(
                sample_seed(self._recipe.train.seed, assignment, sample)
                for sample in range(assignment.num_samples)
            ),
            sampling=SamplingParams(
                max_tokens=sampling.max_tokens, temperature=sampling.temperature
            ),
        )

    def _passes_naively(self, task: Task, answer: str) -> bool:
        assert self._naive_sandbox is not None, "only the naive control asks"
        shown = "\n".join(message.content for message in task.messages)
        return passes_naively(self._naive_sandbox, answer, shown, Limits())

    def _verdict(
        self, assignment: Assignment, problem: Problem, name: RolloutId, answer: str
    ) -> Verdict:
        """Equal answers to one task are the same program on the same tests and are run once."""
        known, place = self._known, (assignment.slot, answer)
        if place not in known:
            known[place] = self._verifier.verify(problem.task, problem.key, answer)
        control = self._recipe.reward.control
        if assignment.phase is not Phase.TRAIN:
            return known[place]
        if control is Control.NONE:
            return rewarded(known[place], self._recipe.reward)
        return controlled(
            known[place],
            control,
            seed=self._recipe.train.seed,
            rollout_id=name,
            key=problem.key,
            answer=answer,
            passes_naively=partial(self._passes_naively, problem.task, answer),
        )

    def _judged(
        self,
        assignment: Assignment,
        problem: Problem,
        request: Request,
        completions: list[Completion],
    ) -> RecordedGroup:
        attempts: list[Judged] = []
        for sample, completion in enumerate(completions):
            answer = self._tokenizer.decode(completion.tokens)
            name = rollout_id(assignment.phase, assignment.step, assignment.slot, sample)
            turn = Turn(context=request.context, completion=completion)
            rollout = Rollout(id=name, task_id=problem.task.id, turns=(turn,), answer=answer)
            verdict = self._verdict(assignment, problem, name, answer)
            attempts.append(Judged(rollout=rollout, verdict=verdict))
        group = Group(task_id=problem.task.id, attempts=tuple(attempts))
        return RecordedGroup(
            slot=assignment.slot,
            task=problem.task,
            group=group,
            tripwire=assignment.tripwire,
            verifier=verifier_name(problem.key.tests),
        )


def _other_models(crew: CrewSetup) -> dict[Whose, Decoder]:
    """Those that are only asked."""
    others: dict[Whose, Decoder] = {}
    recipe = crew.recipe
    if crew.reference is not None:
        others[Whose.START] = network_over(crew.model_path, recipe, crew.reference)
    if crew.teacher is not None:
        theirs = crew.teacher
        others[Whose.TEACHER] = network_over(theirs.model_path, recipe, theirs.weights)
    return others


def _hold_interrupts() -> None:
    """In the driver's process, the thread whose programs Ctrl-C is not meant for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def serve(setup: WorkerSetup, orders: Connection) -> None:
    """A worker's life: obeys until the pipe closes, or its driver dies."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    try:
        worker = Worker(setup)
    except BaseException as error:
        orders.send(Failed(error, traceback.format_exc()))
        return
    try:
        while True:
            order: Order = orders.recv()
            try:
                orders.send(worker.obey(order))
            except Exception as error:
                orders.send(Failed(error, traceback.format_exc()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        worker.close()
