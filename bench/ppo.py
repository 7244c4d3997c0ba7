"""The work of experiments/rlhf/benches/ppo.rs in PyTorch: responses by Hugging Face's `generate`, their scores by a reward
model, and four passes of PPO over them. Prints one JSON object."""

import argparse
import json
import resource

import torch
import torch.nn as nn
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from beside import rate, timed

TEMPERATURE, BETA, CLIP, VALUE, LAMBDA = 0.7, 0.15, 0.2, 0.1, 0.95


class WithHead(nn.Module):
    """A body and a number of each state."""

    def __init__(self, body, width):
        super().__init__()
        self.body, self.head = body, nn.Linear(width, 1)

    def forward(self, states):
        return self.head(states).squeeze(-1)


def whiten(xs, keep_mean):
    mean, variance = xs.mean(), xs.var(unbiased=False)
    white = (xs - mean) * torch.rsqrt(variance + 1e-8)
    return white + mean if keep_mean else white


def see(policy, texts, query):
    """Log-probabilities and values of the responses in `texts: [batch, query + response]`."""
    states = policy.body.transformer(texts[:, :-1]).last_hidden_state[:, query - 1 :]
    log_p = (policy.body.lm_head(states) / TEMPERATURE).log_softmax(-1)
    return log_p.gather(-1, texts[:, query:, None]).squeeze(-1), policy(states)


def advantages(rewards, values):
    """Generalised advantages without a discount."""
    last, found = 0.0, []
    for t in reversed(range(rewards.shape[1])):
        after = values[:, t + 1] if t + 1 < rewards.shape[1] else 0.0
        last = rewards[:, t] + after - values[:, t] + LAMBDA * last
        found.append(last)
    return torch.stack(found[::-1], 1)


def main():
    parser = argparse.ArgumentParser()
    for name, default in dict(layers=4, width=192, heads=6, vocab=4096, query=8, response=24, batch=64).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = timed(parser)
    config = GPT2Config(
        vocab_size=args.vocab, n_positions=args.query + args.response, n_embd=args.width, n_layer=args.layers,
        n_head=args.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
    )
    policy = WithHead(GPT2LMHeadModel(config), args.width)
    reference = WithHead(GPT2LMHeadModel(config), args.width)
    reference.load_state_dict(policy.state_dict())
    reward = WithHead(GPT2Model(config), args.width)
    opt = torch.optim.Adam(policy.parameters(), lr=1e-5, eps=1e-5, fused=True)
    queries = torch.randint(args.vocab, (1024, args.query))
    written = dict(do_sample=True, temperature=TEMPERATURE, top_k=0, max_new_tokens=args.response,
                   min_new_tokens=args.response, pad_token_id=0)
    at = 0

    def step():
        nonlocal at
        asked = queries[torch.arange(at, at + args.batch) % len(queries)]
        at += args.batch
        with torch.no_grad():
            texts = policy.body.generate(asked, attention_mask=torch.ones_like(asked), **written)
            old, values = see(policy, texts, args.query)
            held, _ = see(reference, texts, args.query)
            scores = reward(reward.body(texts).last_hidden_state[:, -1])
            rewards = -BETA * (old - held)
            rewards[:, -1] += scores
            gained = advantages(whiten(rewards, True), values)
            returns = gained + values
        for _ in range(4):
            new, seen = see(policy, texts, args.query)
            white = whiten(gained, False)
            ratio = (new - old).exp()
            of_policy = torch.max(-white * ratio, -white * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
            near = values + (seen - values).clamp(-CLIP, CLIP)
            of_value = 0.5 * torch.max((seen - returns) ** 2, (near - returns) ** 2).mean()
            loss = of_policy + VALUE * of_value
            opt.zero_grad()
            loss.backward()
            opt.step()
            loss.item()

    samples = rate(args.seconds, step) * args.batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"samples_per_s": samples, "peak_memory_bytes": peak}))


main()
