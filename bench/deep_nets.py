"""The work of experiments/digits/benches/deep_nets.rs in PyTorch: what its users would write, and that compiled. Prints one
JSON object."""

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, linearize, vjp

from beside import rate, timed

WIDTHS = [784, 1000, 500, 250, 30]
# Pictures of an update by contrastive divergence, of one with momentum, of a product with the Gauss–Newton matrix.
MACHINE_BATCH, MOMENTUM_BATCH, CHUNK = 100, 200, 2500


def autoencoder():
    """From the pixels to the logits of the pixels."""
    widths, code = WIDTHS + WIDTHS[-2::-1], len(WIDTHS) - 2
    layers = []
    for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        layers.append(nn.Linear(fan_in, fan_out))
        if i not in (code, len(widths) - 2):
            layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


@torch.no_grad()
def contrast(weight, visible, hidden, velocity, xs):
    """An update by contrastive divergence; the squared error of the reconstructions."""
    n = len(xs)
    hs = torch.sigmoid(torch.addmm(hidden, xs, weight))
    fantasy = torch.sigmoid(torch.addmm(visible, torch.bernoulli(hs), weight.t()))
    fantasy_hs = torch.sigmoid(torch.addmm(hidden, fantasy, weight))
    directions = (
        (xs.t() @ hs - fantasy.t() @ fantasy_hs) / n - 2e-4 * weight, (xs - fantasy).sum(0) / n, (hs - fantasy_hs).sum(0) / n,
    )
    for parameter, v, direction in zip((weight, visible, hidden), velocity, directions):
        v.mul_(0.9).add_(direction, alpha=0.1)
        parameter.add_(v)
    return (xs - fantasy).square().sum() / n


def contrasts(compiled):
    step = torch.compile(contrast) if compiled else contrast
    weight, visible, hidden = torch.randn(784, 1000) * 0.01, torch.zeros(784), torch.zeros(1000)
    velocity = [torch.zeros_like(x) for x in (weight, visible, hidden)]
    xs = torch.rand(MACHINE_BATCH, 784)
    step(weight, visible, hidden, velocity, xs)  # compiles, outside the time
    return rate(args.seconds, lambda: step(weight, visible, hidden, velocity, xs).item())


def updates(compiled):
    net = autoencoder()
    loss_of = lambda xs: F.binary_cross_entropy_with_logits(net(xs), xs, reduction="sum") / len(xs)
    if compiled:
        loss_of = torch.compile(loss_of)
    opt = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, nesterov=True, fused=True)
    xs = torch.rand(MOMENTUM_BATCH, 784)

    def update():
        opt.zero_grad()
        loss = loss_of(xs)
        loss.item()
        loss.backward()
        opt.step()

    update()
    return rate(args.seconds, update)


def curvature_of(logits):
    """Second derivatives of the loss by the logits, which are a diagonal."""
    ys = torch.sigmoid(logits)
    return ys * (1 - ys) / len(logits)


def products(how):
    """Products with the Gauss–Newton matrix after one pass of the chunk."""
    net, xs = autoencoder(), torch.rand(CHUNK, 784)
    parameters = {name: x.detach() for name, x in net.named_parameters()}
    direction = {name: torch.randn_like(x) for name, x in parameters.items()}
    logits_of = lambda parameters: functional_call(net, parameters, (xs,))
    if how == "linearize":
        logits, back = vjp(logits_of, parameters)
        curvature = curvature_of(logits)
        _, forth = linearize(logits_of, parameters)
        product = lambda: back(curvature * forth(direction))
    else:
        # The derivative in a direction as the gradient of a gradient.
        leaves = {name: x.clone().requires_grad_() for name, x in parameters.items()}
        logits = logits_of(leaves)
        curvature = curvature_of(logits.detach())
        cotangent = torch.zeros_like(logits, requires_grad=True)
        gradients = torch.autograd.grad(logits, list(leaves.values()), cotangent, create_graph=True)

        def product():
            tangent, = torch.autograd.grad(gradients, cotangent, list(direction.values()), retain_graph=True)
            return torch.autograd.grad(logits, list(leaves.values()), curvature * tangent, retain_graph=True)

    product()
    return rate(args.seconds, product)


args = timed(argparse.ArgumentParser())
compiled = {"eager": False, "compile": True}
print(json.dumps({
    "contrasts_per_s": {mode: contrasts(on) for mode, on in compiled.items()},
    "updates_per_s": {mode: updates(on) for mode, on in compiled.items()},
    "products_per_s": {mode: products(how) for mode, how in {"func.linearize": "linearize", "double backward": "double"}.items()},
}))
