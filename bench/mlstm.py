"""The work of common/benches/mlstm.rs in PyTorch, in each of its modes. Prints one JSON object.

Texts lie ready in memory, so that PyTorch is charged for no loader."""

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

from beside import rate, timed

VOCAB, EMBEDDING = 256, 64


def cell(zx, mx, h, c, wmh, wh):
    i, f, o, u = (zx + (mx * (h @ wmh)) @ wh).float().chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * u.tanh()
    return o.sigmoid() * c.tanh(), c


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.embedding = nn.Parameter(torch.randn(VOCAB, EMBEDDING) * 0.02)
        for name, rows, columns in (("x", EMBEDDING, 4), ("h", hidden, 4), ("mx", EMBEDDING, 1), ("mh", hidden, 1)):
            blocks = [nn.init.orthogonal_(torch.empty(rows, hidden)) for _ in range(columns)]
            self.register_parameter("w" + name, nn.Parameter(torch.cat(blocks, 1)))
            self.register_parameter("g" + name, nn.Parameter(torch.ones(1, columns * hidden)))
        self.b = nn.Parameter(torch.zeros(4 * hidden))
        self.output = nn.Linear(hidden, VOCAB)

    def weights(self):
        """The four matrices, normalised."""
        return [torch._weight_norm(getattr(self, "w" + n), getattr(self, "g" + n), 1) for n in ("x", "h", "mx", "mh")]

    def forward(self, xs, h, c, cell):
        wx, wh, wmx, wmh = self.weights()
        x = F.embedding(xs.t(), self.embedding)
        # One product each for the whole segment; `unbind`, since `select` has a quadratic backward pass.
        hs = []
        for zx, mx in zip((x @ wx + self.b).unbind(0), (x @ wmx).unbind(0)):
            h, c = cell(zx, mx, h, c, wmh, wh)
            hs.append(h)
        return self.output(torch.stack(hs)), h, c


def training(args, cell):
    """Bytes per second of whole updates: loss, gradients, clipping, Adam, the state carried on."""
    net = Net(args.hidden)
    opt = torch.optim.Adam(net.parameters(), lr=5e-4, fused=True)
    texts = [torch.randint(VOCAB, (args.batch, args.time + 1)) for _ in range(8)]
    state = [torch.zeros(args.batch, args.hidden), torch.zeros(args.batch, args.hidden)]
    step = 0

    def update():
        nonlocal state, step
        text = texts[step % len(texts)]
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            logits, h, c = net(text[:, :-1], *state, cell)
        loss = F.cross_entropy(logits.float().flatten(0, 1), text[:, 1:].t().flatten())
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        loss.item()
        state, step = [h.detach(), c.detach()], step + 1

    update()  # compiles, outside the time
    return rate(args.seconds, update) * args.batch * args.time


@torch.inference_mode()
def generation(args, cell):
    """Bytes per second, one text, the next byte always the likeliest. Weights are normalised once."""
    net = Net(args.hidden)
    wx, wh, wmx, wmh = net.weights()
    zx, mx = net.embedding @ wx + net.b, net.embedding @ wmx
    h, c, byte = torch.zeros(1, args.hidden), torch.zeros(1, args.hidden), 0

    def step():
        nonlocal h, c, byte
        h, c = cell(zx[byte], mx[byte], h, c, wmh, wh)
        byte = net.output(h).softmax(-1).argmax().item()

    step()
    return rate(args.seconds, step)


parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int, default=512)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--time", type=int, default=128)
args = timed(parser)
# All 128 steps as one graph take the compiler many minutes; a step is what it can fuse.
modes = {"eager": cell, "compiled step": torch.compile(cell)}
print(json.dumps({
    "bytes_per_s": {mode: training(args, cell) for mode, cell in modes.items()},
    "generated_bytes_per_s": {mode: generation(args, cell) for mode, cell in modes.items()},
}))
