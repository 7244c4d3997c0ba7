"""Figure 1's net in PyTorch: scores, gradients and ten updates, for tests/figure_1_net.rs.

Writes ../fixtures/figure_1_net.json. Python 3.11, torch 2.13.0 (on the CPU), in float64:

    pip install torch==2.13.0
    python figure_1_net.py

The layers are torch.nn.functional's, the update is the paper's formula (section 5) without decay: v <- 0.9 v - lr g,
w <- w + v, biases with twice the rate. Weights and inputs are sines of their index, so that both sides make the same.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

N, LR, STEPS = 8, 0.001, 10
SHAPES = {
    "conv1.weight": [32, 3, 5, 5], "conv1.bias": [32],
    "conv2.weight": [32, 32, 5, 5], "conv2.bias": [32],
    "conv3.weight": [64, 32, 5, 5], "conv3.bias": [64],
    "fc.weight": [10, 1024], "fc.bias": [10],
}
SCALE = {"conv1": 0.01, "conv2": 0.03, "conv3": 0.03, "fc": 0.1}
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def sines(shape, scale, frequency):
    n = torch.tensor(shape).prod().item()
    index = torch.arange(n, dtype=torch.float64)
    return (scale * torch.sin(frequency * index + 0.3)).reshape(shape)


def forward(w, xs, activation):
    conv = lambda xs, name: F.conv2d(xs, w[f"{name}.weight"], w[f"{name}.bias"], padding=2)
    avg = lambda xs: F.avg_pool2d(xs, 3, 2, ceil_mode=True, count_include_pad=False)
    xs = activation(F.max_pool2d(conv(xs, "conv1"), 3, 2, ceil_mode=True))
    xs = avg(activation(conv(xs, "conv2")))
    xs = avg(activation(conv(xs, "conv3")))
    return F.linear(xs.flatten(1), w["fc.weight"], w["fc.bias"])


xs = sines([N, 3, 32, 32], 100.0, 0.11)
ys = torch.arange(N) * 3 % 10
out = {}
for name, activation in ACTIVATIONS.items():
    w = {
        key: sines(shape, SCALE[key.split(".")[0]], 0.7 if key.endswith("weight") else 1.3).requires_grad_()
        for key, shape in SHAPES.items()
    }
    v = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in SHAPES.items()}
    case = {"losses": []}
    for step in range(STEPS):
        logits = forward(w, xs, activation)
        loss = F.cross_entropy(logits, ys)
        grads = dict(zip(w, torch.autograd.grad(loss, list(w.values()))))
        case["losses"].append(loss.item())
        if step == 0:
            case["logits"] = logits.detach().flatten().tolist()
            case["grad_norms"] = {key: g.norm().item() for key, g in grads.items()}
        with torch.no_grad():
            for key in w:
                lr = 2 * LR if key.endswith("bias") else LR
                v[key] = 0.9 * v[key] - lr * grads[key]
                w[key] += v[key]
    case["after"] = {key: param.norm().item() for key, param in w.items()}
    out[name] = case

path = Path(__file__).parent.parent / "fixtures" / "figure_1_net.json"
path.write_text(json.dumps(out) + "\n")
