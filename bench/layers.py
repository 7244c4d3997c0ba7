"""The layers of benches/layers.rs in PyTorch, in each of its modes, forward and backward. Prints one JSON object:
milliseconds by mode."""

import argparse
import json

import torch
import torch.nn.functional as F

from beside import rate, timed


def response_norm(xs):
    # PyTorch divides alpha by the size.
    return F.local_response_norm(xs, 5, alpha=5e-4, beta=0.75, k=2.0)


def by_bmm(xs, weight, bias):
    """weight [positions, c_in · 9, c_out], bias [positions, c_out]"""
    patches = F.unfold(xs, 3, padding=1)  # [N, c_in · 9, positions]
    ys = torch.bmm(patches.permute(2, 0, 1), weight) + bias.unsqueeze(1)
    return ys.permute(1, 2, 0).unflatten(2, xs.shape[2:])


def by_einsum(xs, weight, bias):
    patches = F.unfold(xs, 3, padding=1)
    ys = torch.einsum("nkp,pko->nop", patches, weight) + bias.T
    return ys.unflatten(2, xs.shape[2:])


def milliseconds(args, forward, xs, parameters, compiled):
    def loss_of(xs, *parameters):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            ys = forward(xs, *parameters)
        return ys.sum(dtype=torch.float32)

    if compiled:
        loss_of = torch.compile(loss_of)
    inputs = [xs, *parameters]
    torch.autograd.grad(loss_of(*inputs), inputs)  # compiles, outside the time
    return 1e3 / rate(args.seconds, lambda: torch.autograd.grad(loss_of(*inputs), inputs))


parser = argparse.ArgumentParser()
parser.add_argument("--layer", choices=("lrn", "local"), required=True)
args = timed(parser)

kind = torch.bfloat16 if args.precision == "bf16" else torch.float32
if args.layer == "lrn":
    maps, parameters = torch.randn(64, 96, 55, 55), []
    variants = {
        "contiguous": (response_norm, torch.contiguous_format),
        "channels-last": (response_norm, torch.channels_last),
    }
else:
    maps = torch.randn(128, 64, 6, 6)
    parameters = [(torch.randn(36, 576, 64) * 0.04).requires_grad_(), torch.zeros(36, 64).requires_grad_()]
    variants = {
        "bmm": (by_bmm, torch.contiguous_format),
        "einsum": (by_einsum, torch.contiguous_format),
        "bmm, channels-last": (by_bmm, torch.channels_last),
    }
modes = {}
for name, (forward, layout) in variants.items():
    xs = maps.relu().to(kind).contiguous(memory_format=layout).requires_grad_()
    for how in ("eager", "compile"):
        modes[f"{how}, {name}"] = milliseconds(args, forward, xs, parameters, how == "compile")
print(json.dumps(modes))
