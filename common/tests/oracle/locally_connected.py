"""A locally connected layer and its gradients in PyTorch, for tests/locally_connected.rs. Writes
../fixtures/locally_connected.json.

Python 3.11.7, torch 2.13.0 (on the CPU), numpy 2.4.6:

    pip install torch==2.13.0 numpy==2.4.6
    python locally_connected.py

The filters of each position are those of a convolution, [c_out, c_in, kernel, kernel]; torch.nn.functional.unfold gives
the patches. All in float64; only then the filters are put in the order of the layer's variable.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

CASES = [
    {"n": 2, "c_in": 3, "c_out": 4, "side": 4, "kernel": 3, "padding": 1},
    {"n": 3, "c_in": 2, "c_out": 3, "side": 5, "kernel": 2, "padding": 0},
]


def layer(xs, filters, biases, kernel, padding):
    patches = F.unfold(xs, kernel, padding=padding)  # [n, c_in · kernel², positions]
    ys = torch.einsum("nkp,pok->nop", patches, filters.flatten(2)) + biases.T
    side = xs.shape[2] + 2 * padding - kernel + 1
    return ys.unflatten(2, (side, side))


def in_our_order(filters):
    """[positions, c_out, c_in, kernel, kernel] to [positions, kernel · kernel · c_in, c_out]."""
    return filters.permute(0, 3, 4, 2, 1).flatten(1, 3)


def numbers(tensor):
    return [float(f"{value:.10g}") for value in tensor.detach().contiguous().flatten().tolist()]


def drawn(rng, *shape):
    # Rounded, so that the file holds exactly what was computed with.
    return torch.tensor(np.round(rng.normal(size=shape), 4))


rng = np.random.default_rng(2012)
cases = []
for case in CASES:
    n, c_in, c_out, side, kernel, padding = case.values()
    positions = (side + 2 * padding - kernel + 1) ** 2
    xs = drawn(rng, n, c_in, side, side).requires_grad_()
    filters = drawn(rng, positions, c_out, c_in, kernel, kernel).requires_grad_()
    biases = drawn(rng, positions, c_out).requires_grad_()
    ys = layer(xs, filters, biases, kernel, padding)
    dys = drawn(rng, *ys.shape)
    ys.backward(dys)
    cases.append({
        **case,
        "xs": numbers(xs), "weight": numbers(in_our_order(filters)), "bias": numbers(biases), "dys": numbers(dys),
        "ys": numbers(ys), "dxs": numbers(xs.grad), "dweight": numbers(in_our_order(filters.grad)),
        "dbias": numbers(biases.grad),
    })

path = Path(__file__).resolve().parent.parent / "fixtures" / "locally_connected.json"
path.write_text(json.dumps(cases) + "\n")
