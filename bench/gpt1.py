"""The work of experiments/gpt1/benches/language_model.rs in PyTorch, in each of its modes, and with Hugging Face's
`generate`. Prints one JSON object."""

import argparse
import json
import resource

import torch
import torch.nn as nn
import torch.nn.functional as F

from beside import rate, timed

BEGUN = 16


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.heads = width // 64
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, xs):
        b, t, c = xs.shape
        q, k, v = (x.view(b, t, self.heads, c // self.heads).transpose(1, 2) for x in self.qkv(xs).chunk(3, -1))
        ys = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        xs = self.norm1(xs + self.proj(ys.transpose(1, 2).reshape(b, t, c)))
        return self.norm2(xs + self.out(F.gelu(self.fc(xs), approximate="tanh")))


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(args.vocab, args.width), nn.Embedding(args.time, args.width)
        self.blocks = nn.ModuleList(Block(args.width) for _ in range(args.layers))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids):
        xs = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            xs = block(xs)
        return xs @ self.tokens.weight.t()


def training(args, compiled):
    """Tokens per second of whole updates: loss, gradients, clipping, AdamW."""
    net = Net(args)
    run = torch.compile(net) if compiled else net
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=1e-4, fused=True)
    texts = [torch.randint(args.vocab, (args.batch, args.time + 1)) for _ in range(8)]
    step = 0

    def update():
        nonlocal step
        text = texts[step % len(texts)]
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            logits = run(text[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), text[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        loss.item()
        step += 1

    update()  # compiles, outside the time
    return rate(args.seconds, update) * args.batch * args.time


def generation(args, config, batch, new):
    """Tokens per second of Hugging Face's `generate`, greedily, with whatever cache it has for this model: none for GPT-1,
    so its work grows with the square of `new`; GPT-2 is the nearest of the same size that has one."""
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_config(config).eval()
    begin = torch.randint(1, args.vocab, (batch, BEGUN))  # 0 is its padding

    def write():
        net.generate(begin, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)

    with torch.inference_mode():
        return rate(args.seconds, write) * batch * new


def generations(args):
    """By family, then by texts written at once, then by tokens written of each."""
    from transformers import GPT2Config, OpenAIGPTConfig

    size = dict(
        vocab_size=args.vocab, n_positions=args.time, n_embd=args.width, n_layer=args.layers, n_head=args.width // 64,
        bos_token_id=None, eos_token_id=None,
    )
    configs = {"GPT-1": OpenAIGPTConfig(**size), "GPT-2": GPT2Config(**size)}
    return {
        family: {asked: generation(args, config, *map(int, asked.split("x"))) for asked in args.generate}
        for family, config in configs.items()
    }


parser = argparse.ArgumentParser()
parser.add_argument("--layers", type=int, default=6)
parser.add_argument("--width", type=int, default=256)
parser.add_argument("--vocab", type=int, default=8192)
parser.add_argument("--time", type=int, default=256)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--generate", nargs="*", default=[], help="texts at once x tokens to write of each")
args = timed(parser)
rates = {"eager": training(args, False)}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
rates["torch.compile"] = training(args, True)
print(json.dumps({"tokens_per_s": rates, "peak_memory_bytes": peak, "generated_tokens_per_s": generations(args)}))
