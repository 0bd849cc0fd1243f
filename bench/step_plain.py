"""The step as one would write it by hand in PyTorch: one process, rows that share nothing.

    python step_plain.py JOB MODEL_DIR THREADS

A Llama in fifty lines over the checkpoint's own tensors, the library's fused kernels, left-padded
prompts, a preallocated key/value cache, all rows in one batch while sampling and micro-batches of
32 rows while training, AdamW.  Llama checkpoints with tied embeddings only.

Axes: B rows, T new positions, L all positions so far, H heads, D head width, C model width.
"""

import json
import os
import sys
import time
from pathlib import Path

_THREADS = int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(_THREADS)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from step_job import Job, StepTime, answer_steps, reward  # noqa: E402
from torch import Tensor  # noqa: E402

MICRO_BATCH_ROWS = 32


class Llama:
    def __init__(self, directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text())
        if config["architectures"] != ["LlamaForCausalLM"] or not config["tie_word_embeddings"]:
            raise SystemExit("the plain loop knows Llama checkpoints with tied embeddings only")
        self.weights = {
            name: tensor.float().requires_grad_()
            for name, tensor in load_file(directory / "model.safetensors").items()
        }
        self.num_layers = config["num_hidden_layers"]
        self.num_heads = config["num_attention_heads"]
        self.width = config["head_dim"]
        self.eps = config["rms_norm_eps"]
        half = torch.arange(0, self.width, 2).float() / self.width
        angles = torch.outer(
            torch.arange(config["max_position_embeddings"]).float(), config["rope_theta"] ** -half
        )
        self.cos = torch.cat((angles, angles), -1).cos()
        self.sin = torch.cat((angles, angles), -1).sin()

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor, mask_BTL: Tensor, cache: list | None, at: int
    ) -> Tensor:
        """Logits (B, T, V); with a cache, keys and values are written from position `at` on."""
        weights, (B, T) = self.weights, tokens_BT.shape
        cos, sin = self.cos[positions_BT][:, None], self.sin[positions_BT][:, None]
        x = F.embedding(tokens_BT, weights["model.embed_tokens.weight"])
        for i in range(self.num_layers):
            name = f"model.layers.{i}."
            h = self._norm(x, name + "input_layernorm.weight")
            q, k, v = (
                F.linear(h, weights[f"{name}self_attn.{part}_proj.weight"])
                .view(B, T, self.num_heads, self.width)
                .transpose(1, 2)
                for part in "qkv"
            )
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            if cache is not None:
                keys, values = cache[i]
                keys[:, :, at : at + T], values[:, :, at : at + T] = k, v
                k, v = keys[:, :, : at + T], values[:, :, : at + T]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BTL[:, None])
            y = y.transpose(1, 2).reshape(B, T, -1)
            x = x + F.linear(y, weights[name + "self_attn.o_proj.weight"])
            h = self._norm(x, name + "post_attention_layernorm.weight")
            gate = F.silu(F.linear(h, weights[name + "mlp.gate_proj.weight"]))
            up = F.linear(h, weights[name + "mlp.up_proj.weight"])
            x = x + F.linear(gate * up, weights[name + "mlp.down_proj.weight"])
        if cache is not None:
            x = x[:, -1:]
        return F.linear(self._norm(x, "model.norm.weight"), weights["model.embed_tokens.weight"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weights[name], self.eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class PlainLoop:
    def __init__(self, job: Job, model: Llama) -> None:
        self.job, self.model = job, model
        parameters = list(model.weights.values())
        self.parameters = parameters
        self.optimiser = torch.optim.AdamW(
            parameters, lr=job.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        longest = max(len(p.tokens) for p in job.prompts)
        rows = [
            [0] * (longest - len(p.tokens)) + p.tokens
            for p in job.prompts
            for _ in range(job.samples_per_prompt)
        ]
        self.prompts_BP = torch.tensor(rows)
        missing_B = torch.tensor(
            [longest - len(p.tokens) for p in job.prompts for _ in range(job.samples_per_prompt)]
        )
        places_L = torch.arange(longest + job.completion_tokens)
        self.positions_BL = (places_L - missing_B[:, None]).clamp(min=0)
        real_BL = places_L >= missing_B[:, None]
        causal_LL = places_L[:, None] >= places_L
        # A padding row sees itself, so that its softmax is of something.
        own_LL = torch.eye(len(places_L), dtype=torch.bool)
        self.mask_BLL = (causal_LL & real_BL[:, None]) | own_LL

    def step(self) -> StepTime:
        job, began = self.job, time.perf_counter()
        tokens_BL, logprobs_BT = self.sample()
        sampled = time.perf_counter()
        completions_BT = tokens_BL[:, -job.completion_tokens :]
        rewards_B = torch.tensor([reward(row) for row in completions_BT.tolist()])
        rewards_GS = rewards_B.view(len(job.prompts), -1)
        advantages_B = (rewards_GS - rewards_GS.mean(dim=1, keepdim=True)).flatten()
        self.train(tokens_BL, logprobs_BT, advantages_B)
        ended = time.perf_counter()
        num_tokens = completions_BT.numel()
        return StepTime(ended - began, sampled - began, ended - sampled, num_tokens, num_tokens)

    @torch.inference_mode()
    def sample(self) -> tuple[Tensor, Tensor]:
        model, (B, P) = self.model, self.prompts_BP.shape
        L = self.mask_BLL.shape[-1]
        cache = [
            tuple(torch.empty(B, model.num_heads, L, model.width) for _ in range(2))
            for _ in range(model.num_layers)
        ]
        tokens_BL = torch.zeros(B, L, dtype=torch.long)
        tokens_BL[:, :P] = self.prompts_BP
        logprobs_BT = torch.zeros(B, L - P)
        start = 0
        for end in range(P, L):
            logits_BV = model.forward(
                tokens_BL[:, start:end],
                self.positions_BL[:, start:end],
                self.mask_BLL[:, start:end, :end],
                cache,
                start,
            )[:, -1]
            all_logprobs_BV = logits_BV.log_softmax(dim=-1)
            chosen_B1 = torch.multinomial(all_logprobs_BV.exp(), 1)
            tokens_BL[:, end] = chosen_B1[:, 0]
            logprobs_BT[:, end - P] = all_logprobs_BV.gather(1, chosen_B1)[:, 0]
            start = end
        return tokens_BL, logprobs_BT

    def train(self, tokens_BL: Tensor, sampler_BT: Tensor, advantages_B: Tensor) -> None:
        T = sampler_BT.shape[1]
        for rows in torch.arange(len(tokens_BL)).split(MICRO_BATCH_ROWS):
            logits_BTV = self.model.forward(
                tokens_BL[rows, :-1],
                self.positions_BL[rows, :-1],
                self.mask_BLL[rows, :-1, :-1],
                None,
                0,
            )[:, -T:]
            targets_BT1 = tokens_BL[rows, -T:, None]
            logprobs_BT = logits_BTV.log_softmax(dim=-1).gather(-1, targets_BT1)[..., 0]
            gaps_BT = logprobs_BT.detach() - sampler_BT[rows]
            assert gaps_BT.abs().max() < 1e-3, "the loop trains what it did not sample"
            ratio_BT = gaps_BT.exp().clamp(max=5.0)
            loss = -(ratio_BT * advantages_B[rows, None] * logprobs_BT).sum() / sampler_BT.numel()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()


def main() -> None:
    torch.set_num_threads(_THREADS)
    torch.manual_seed(0)
    loop = PlainLoop(Job.read(Path(sys.argv[1])), Llama(Path(sys.argv[2])))
    loop.step()
    answer_steps(loop.step)


if __name__ == "__main__":
    main()
