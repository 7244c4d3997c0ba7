"""Local response normalisation and its gradient in PyTorch, for tests/lrn.rs. Writes ../fixtures/lrn.json.

Python 3.11.7, torch 2.13.0 (on the CPU), numpy 2.4.6:

    pip install torch==2.13.0 numpy==2.4.6
    python lrn.py

Across maps: torch.nn.functional.local_response_norm. Within a map PyTorch has none; there the same formula is a box
filter of ones (conv2d). All in float64.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SHAPE = [2, 7, 5, 6]
CASES = [
    {"region": "across-maps", "size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0},
    {"region": "across-maps", "size": 9, "alpha": 0.5, "beta": 0.75, "k": 1.0},
    {"region": "across-maps", "size": 3, "alpha": 0.8, "beta": 0.4, "k": 1.5},
    {"region": "within-map", "size": 3, "alpha": 0.6, "beta": 0.75, "k": 1.0},
    {"region": "within-map", "size": 5, "alpha": 2.0, "beta": 1.2, "k": 1.0},
]


def normalise(xs, region, size, alpha, beta, k):
    if region == "across-maps":
        return F.local_response_norm(xs, size, alpha, beta, k)
    ones = torch.ones(xs.shape[1], 1, size, size, dtype=xs.dtype)
    sums = F.conv2d(xs.square(), ones, padding=size // 2, groups=xs.shape[1])
    return xs / (k + alpha / size**2 * sums) ** beta


def numbers(array):
    return [float(f"{value:.10g}") for value in np.asarray(array).ravel()]


rng = np.random.default_rng(2012)
# Rounded, so that the file holds exactly what was computed with.
XS = np.round(rng.normal(size=SHAPE), 4)
DYS = np.round(rng.normal(size=SHAPE), 4)

cases = []
for case in CASES:
    xs = torch.tensor(XS, requires_grad=True)
    ys = normalise(xs, **case)
    ys.backward(torch.tensor(DYS))
    cases.append({"norm": {**case, "alpha_form": "mean"}, "ys": numbers(ys.detach()), "dxs": numbers(xs.grad)})

fixture = {"shape": SHAPE, "xs": XS.ravel().tolist(), "dys": DYS.ravel().tolist(), "cases": cases}
path = Path(__file__).resolve().parent.parent / "fixtures" / "lrn.json"
path.write_text(json.dumps(fixture) + "\n")
