"""Two of the authors' CIFAR-10 nets in PyTorch: scores, loss and gradients, for tests/cifar_nets.rs.

Writes ../fixtures/cifar_nets.json. Python 3.11, torch 2.13.0 (on the CPU), in float64:

    pip install torch==2.13.0
    python cifar_nets.py

`layers-18pct` has the normalisation within maps, `layers-conv-local-11pct` that across maps and the locally connected
layers. Normalisation across maps is torch's own, that within maps an average pool; a locally connected layer is a
convolution for each position, with its own kernels on its own patch. The order of layers is that of the authors' files,
rectifiers before max-pools. Weights and inputs are sines of their index, so that both sides make the same.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

N = 4


def sines(shape, scale, frequency):
    n = torch.tensor(shape).prod().item()
    index = torch.arange(n, dtype=torch.float64)
    return (scale * torch.sin(frequency * index + 0.3)).reshape(shape)


def across(xs, size, scale, power):
    return F.local_response_norm(xs, size, alpha=scale, beta=power, k=1.0)


def within(xs, size, scale, power):
    means = F.avg_pool2d(xs.square(), size, stride=1, padding=size // 2, count_include_pad=True)
    return xs / (1 + scale * means) ** power


def local(xs, w, b):
    """w: [rows, columns, out, in, 3, 3]; b: [rows, columns, out]."""
    padded = F.pad(xs, (1, 1, 1, 1))
    rows = []
    for y in range(xs.shape[2]):
        row = [
            torch.einsum("nchw,ochw->no", padded[:, :, y : y + 3, x : x + 3], w[y, x]) + b[y, x]
            for x in range(xs.shape[3])
        ]
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def conv(xs, w, name):
    return F.conv2d(xs, w[f"{name}.weight"], w[f"{name}.bias"], padding=2)


def max_pool(xs):
    return F.max_pool2d(xs, 3, 2, ceil_mode=True)


def avg_pool(xs):
    return F.avg_pool2d(xs, 3, 2, ceil_mode=True, count_include_pad=False)


def pct_18(w, xs):
    xs = within(torch.relu(max_pool(conv(xs, w, "conv1"))), 3, 5e-5, 0.75)
    xs = within(avg_pool(torch.relu(conv(xs, w, "conv2"))), 3, 5e-5, 0.75)
    xs = avg_pool(torch.relu(conv(xs, w, "conv3")))
    return F.linear(xs.flatten(1), w["fc10.weight"], w["fc10.bias"])


def pct_11(w, xs):
    xs = across(max_pool(torch.relu(conv(xs, w, "conv1"))), 9, 0.001, 0.75)
    xs = max_pool(across(torch.relu(conv(xs, w, "conv2")), 9, 0.001, 0.75))
    for name in ["local3", "local4"]:
        xs = torch.relu(local(xs, w[f"{name}.weight"], w[f"{name}.bias"]))
    return F.linear(xs.flatten(1), w["fc10.weight"], w["fc10.bias"])


NETS = {
    "layers-18pct": (pct_18, 32, {
        "conv1.weight": [32, 3, 5, 5], "conv1.bias": [32],
        "conv2.weight": [32, 32, 5, 5], "conv2.bias": [32],
        "conv3.weight": [64, 32, 5, 5], "conv3.bias": [64],
        "fc10.weight": [10, 1024], "fc10.bias": [10],
    }),
    "layers-conv-local-11pct": (pct_11, 24, {
        "conv1.weight": [64, 3, 5, 5], "conv1.bias": [64],
        "conv2.weight": [64, 64, 5, 5], "conv2.bias": [64],
        "local3.weight": [6, 6, 64, 64, 3, 3], "local3.bias": [6, 6, 64],
        "local4.weight": [6, 6, 32, 64, 3, 3], "local4.bias": [6, 6, 32],
        "fc10.weight": [10, 1152], "fc10.bias": [10],
    }),
}
SCALE = {"conv1": 0.03, "conv2": 0.05, "conv3": 0.05, "local3": 0.02, "local4": 0.02, "fc10": 0.03}

ys = torch.arange(N) * 3 % 10
out = {}
for name, (forward, side, shapes) in NETS.items():
    w = {
        key: sines(shape, SCALE[key.split(".")[0]], 0.7 if key.endswith("weight") else 1.3).requires_grad_()
        for key, shape in shapes.items()
    }
    scores = forward(w, sines([N, 3, side, side], 100.0, 0.11))
    loss = F.cross_entropy(scores, ys)
    grads = torch.autograd.grad(loss, list(w.values()))
    out[name] = {
        "scores": scores.detach().flatten().tolist(),
        "loss": loss.item(),
        "grad_norms": {key: g.norm().item() for key, g in zip(w, grads)},
    }

path = Path(__file__).parent.parent / "fixtures" / "cifar_nets.json"
path.write_text(json.dumps(out) + "\n")
