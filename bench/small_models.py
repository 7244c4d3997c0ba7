"""The work of experiments/scaling-laws/benches/training_step.rs in PyTorch, eager, with the loss compiled, and with Adam's
step compiled too. Prints one JSON object."""

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

from beside import rate, timed


class Block(nn.Module):
    def __init__(self, width, head):
        super().__init__()
        self.heads = width // head
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, xs):
        b, t, c = xs.shape
        q, k, v = (x.view(b, t, self.heads, -1).transpose(1, 2) for x in self.qkv(self.norm1(xs)).chunk(3, -1))
        ys = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        xs = xs + self.proj(ys.transpose(1, 2).reshape(b, t, c))
        return xs + self.out(F.gelu(self.fc(self.norm2(xs)), approximate="tanh"))


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(args.vocab, args.width), nn.Embedding(args.time, args.width)
        self.blocks = nn.ModuleList(Block(args.width, args.head) for _ in range(args.layers))
        self.norm = nn.LayerNorm(args.width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, text):
        """The loss of `text: [batch, time + 1]`."""
        xs = self.tokens(text[:, :-1]) + self.positions.weight
        for block in self.blocks:
            xs = block(xs)
        logits = self.norm(xs) @ self.tokens.weight.t()
        return F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())


def training(args, compile_loss, compile_step):
    """Tokens per second of whole updates: loss, gradients, clipping, Adam."""
    net = Net(args)
    loss_of = torch.compile(net) if compile_loss else net
    # Fused is PyTorch's fastest Adam on a CPU; compiled, the loop over variables is.
    opt = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, fused=not compile_step)
    step_of = torch.compile(opt.step) if compile_step else opt.step
    texts = [torch.randint(args.vocab, (args.batch, args.time + 1)) for _ in range(8)]
    step = 0

    def update():
        nonlocal step
        opt.zero_grad()
        loss = loss_of(texts[step % len(texts)])
        loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        step_of()
        step += 1

    for _ in range(3):  # compiles, outside the time
        update()
    return rate(args.seconds, update) * args.batch * args.time


parser = argparse.ArgumentParser()
parser.add_argument("--layers", type=int, required=True)
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--head", type=int, default=16)
parser.add_argument("--vocab", type=int, default=256)
parser.add_argument("--time", type=int, default=64)
parser.add_argument("--batch", type=int, default=16)
args = timed(parser)
print(json.dumps({"tokens_per_s": {
    "eager": training(args, False, False),
    "compile": training(args, True, False),
    "compile, Adam too": training(args, True, True),
}}))
