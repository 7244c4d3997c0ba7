"""Ten updates of each optimiser, for tests/optim.rs. Writes ../fixtures/optim.json.

Python 3.11.7, torch 2.13.0 (on the CPU), numpy 2.4.6:

    pip install torch==2.13.0 numpy==2.4.6
    python optim.py

PyTorch's forms come from torch.optim in fp32. The forms that PyTorch lacks, the AlexNet paper's SGD
and TensorFlow 1's Adam, are written here from their formulas, in float64.
Two groups with their own learning rate and decay; the learning rate changes after step 4 and after
step 7; one parameter has no gradient in the steps 0, 3 and 4.
"""

import json
from pathlib import Path

import numpy as np
import torch

STEPS = 10
LRS = [0.1] * 4 + [0.01] * 3 + [0.05] * 3
GROUPS = [
    {"lr_scale": 1.0, "weight_decay": 0.02, "params": {"conv.weight": [2, 3], "late.weight": [2]}},
    {"lr_scale": 2.0, "weight_decay": 0.0, "params": {"conv.bias": [3]}},
]
NO_GRADIENT = {("late.weight", step) for step in (0, 3, 4)}

rng = np.random.default_rng(2012)
SHAPES = {name: shape for group in GROUPS for name, shape in group["params"].items()}
# Rounded to fp32, so that both precisions start from the same numbers.
INITIAL = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADS = [
    {
        name: None if (name, step) in NO_GRADIENT else rng.normal(size=shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    for step in range(STEPS)
]


def listed(arrays):
    """Flat lists, exact for the element type."""
    return {
        name: None if array is None else [float(x) for x in np.ravel(array)]
        for name, array in arrays.items()
    }


def with_torch(make):
    """Parameters after each step of the optimiser that `make(groups)` returns."""
    params = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in INITIAL.items()}
    groups = [
        {"params": [params[n] for n in group["params"]], "weight_decay": group["weight_decay"]}
        for group in GROUPS
    ]
    optimizer = make(groups)
    after = []
    for lr, grads in zip(LRS, GRADS):
        for torch_group, group in zip(optimizer.param_groups, GROUPS):
            torch_group["lr"] = lr * group["lr_scale"]
        for name, grad in grads.items():
            params[name].grad = None if grad is None else torch.tensor(grad)
        optimizer.step()
        after.append(listed({name: p.detach().numpy() for name, p in params.items()}))
    return after


def with_numpy(update):
    """Parameters after each step of `update(w, g, state, lr, decay)`, which returns the new w."""
    params = {name: w.astype(np.float64) for name, w in INITIAL.items()}
    states = {name: {} for name in params}
    after = []
    for lr, grads in zip(LRS, GRADS):
        for group in GROUPS:
            for name in group["params"]:
                if grads[name] is not None:
                    params[name] = update(
                        params[name],
                        grads[name].astype(np.float64),
                        states[name],
                        lr * group["lr_scale"],
                        group["weight_decay"],
                    )
        after.append(listed(params))
    return after


def sgd_paper(w, g, state, lr, decay):
    """Krizhevsky et al. 2012, section 5."""
    state["v"] = 0.9 * state.get("v", 0.0) - decay * lr * w - lr * g
    return w + state["v"]


def adam_tf1(decoupled):
    """tf.train.AdamOptimizer's epsilon, with either kind of decay."""

    def update(w, g, state, lr, decay):
        beta1, beta2, eps = 0.9, 0.98, 1e-3
        if not decoupled:
            g = g + decay * w
        t = state["t"] = state.get("t", 0) + 1
        m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
        v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
        lr_t = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        return w - lr_t * m / (np.sqrt(v) + eps) - (lr * decay * w if decoupled else 0.0)

    return update


def clipped(max_norm):
    """The norm, and the gradients of the second step after clipping."""
    params = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in INITIAL.items()}
    for name, grad in GRADS[1].items():
        params[name].grad = torch.tensor(grad)
    norm = torch.nn.utils.clip_grad_norm_(params.values(), max_norm)
    return {
        "max_norm": max_norm,
        "norm": float(norm),
        "grads": listed({name: p.grad.numpy() for name, p in params.items()}),
    }


SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
BETAS = {"betas": (0.9, 0.98), "eps": 1e-3}
FIXTURE = {
    "lrs": LRS,
    "groups": GROUPS,
    "initial": listed(INITIAL),
    "grads": [listed(grads) for grads in GRADS],
    "after": {
        "sgd": with_torch(lambda groups: SGD(groups, lr=1.0)),
        "sgd momentum": with_torch(lambda groups: SGD(groups, lr=1.0, momentum=0.9)),
        "sgd nesterov": with_torch(lambda groups: SGD(groups, lr=1.0, momentum=0.9, nesterov=True)),
        "sgd paper": with_numpy(sgd_paper),
        "adam": with_torch(lambda groups: ADAM(groups, lr=1.0, **BETAS)),
        "adamw": with_torch(lambda groups: ADAMW(groups, lr=1.0, **BETAS)),
        "adam tf1": with_numpy(adam_tf1(decoupled=False)),
        "adamw tf1": with_numpy(adam_tf1(decoupled=True)),
    },
    "clip": [clipped(1.0), clipped(100.0)],
}

path = Path(__file__).parent.parent / "fixtures" / "optim.json"
path.write_text(json.dumps(FIXTURE, separators=(",", ":")) + "\n")
