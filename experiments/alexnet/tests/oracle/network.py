"""AlexNet in PyTorch at an eighth of its width: scores, gradients and updates, for tests/network.rs.

Writes ../fixtures/network.json. Python 3.11, torch 2.13.0 (on the CPU), in float64:

    pip install torch==2.13.0
    python network.py

`torchvision` is built as torchvision 0.28's models/alexnet.py builds it, layer for layer, with narrower layers: two
pixels of zeros around the picture, an adaptive pool before the classifier. `paper` is the paper's: zeros behind the
picture, two towers, normalisation with the printed alpha (F.local_response_norm divides it by the size), dropout off in
training. `released` has the first layer in the order of cuda-convnet2's file, and its alpha. The update is the paper's
formula with decay on weights and biases: v <- 0.9 v - 0.0005 lr w - lr g, w <- w + v. Weights, biases and pictures are
sines of their index, so that both sides make the same.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

N, SIDE, CLASSES, LR, STEPS = 2, 224, 10, 0.001, 3
NAMES = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
SCALE = [0.02, 0.03, 0.04, 0.04, 0.04, 0.05, 0.05, 0.1]


def sines(shape, scale, frequency):
    n = torch.tensor(shape).prod().item()
    index = torch.arange(n, dtype=torch.float64)
    return (scale * torch.sin(frequency * index + 0.3)).reshape(shape)


def fill(layers):
    for layer, scale in zip(layers, SCALE):
        layer.weight.data = sines(list(layer.weight.shape), scale, 0.7)
        layer.bias.data = sines(list(layer.bias.shape), scale, 1.3)


class Torchvision(nn.Module):
    def __init__(self, maps=(8, 24, 48, 32, 32), hidden=512):
        super().__init__()
        a, b, c, d, e = maps
        self.features = nn.Sequential(
            nn.Conv2d(3, a, kernel_size=11, stride=4, padding=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(a, b, kernel_size=5, padding=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(b, c, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(c, d, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(d, e, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5), nn.Linear(e * 6 * 6, hidden), nn.ReLU(inplace=True),
            nn.Dropout(p=0.5), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, CLASSES),
        )

    def layers(self):
        return [m for m in [*self.features, *self.classifier] if isinstance(m, (nn.Conv2d, nn.Linear))]

    def forward(self, xs):
        return self.classifier(torch.flatten(self.avgpool(self.features(xs)), 1))


class Paper(nn.Module):
    def __init__(self, released, maps=(12, 32, 48, 48, 32), hidden=512):
        super().__init__()
        a, b, c, d, e = maps
        self.released = released
        self.convs = nn.ModuleList([
            nn.Conv2d(3, a, 11, stride=4), nn.Conv2d(a, b, 5, padding=2, groups=2), nn.Conv2d(b, c, 3, padding=1),
            nn.Conv2d(c, d, 3, padding=1, groups=2), nn.Conv2d(d, e, 3, padding=1, groups=2),
        ])
        self.fcs = nn.ModuleList(
            [nn.Linear(e * 36, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, CLASSES)]
        )

    def layers(self):
        return [*self.convs, *self.fcs]

    def norm(self, xs):
        return F.local_response_norm(xs, 5, alpha=1e-4 if self.released else 5e-4, beta=0.75, k=2.0)

    def forward(self, xs):
        pool = lambda xs: F.max_pool2d(xs, 3, 2, ceil_mode=True)
        xs = self.convs[0](F.pad(xs, (0, 3, 0, 3)))
        xs = F.relu(pool(self.norm(xs))) if self.released else pool(self.norm(F.relu(xs)))
        xs = pool(self.norm(F.relu(self.convs[1](xs))))
        xs = F.relu(self.convs[2](xs))
        xs = F.relu(self.convs[3](xs))
        xs = pool(F.relu(self.convs[4](xs))).flatten(1)
        # Dropout of 0 in training; the factor of the test is not part of a training step.
        return self.fcs[2](F.relu(self.fcs[1](F.relu(self.fcs[0](xs)))))


xs, ys = sines([N, 3, SIDE, SIDE], 100.0, 0.11), torch.tensor([3, 8])
out = {}
for name, net in [("torchvision", Torchvision()), ("paper", Paper(False)), ("released", Paper(True))]:
    net = net.double().eval()
    fill(net.layers())
    params = {f"{n}.{kind}": getattr(layer, kind) for n, layer in zip(NAMES, net.layers()) for kind in ("weight", "bias")}
    v = {key: torch.zeros_like(w) for key, w in params.items()}
    case = {"losses": []}
    for step in range(STEPS):
        logits = net(xs)
        loss = F.cross_entropy(logits, ys)
        grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))
        case["losses"].append(loss.item())
        if step == 0:
            case["logits"] = logits.detach().flatten().tolist()
            case["grad_norms"] = {key: g.norm().item() for key, g in grads.items()}
        with torch.no_grad():
            for key, w in params.items():
                v[key] = 0.9 * v[key] - 0.0005 * LR * w - LR * grads[key]
                w += v[key]
    case["after"] = {key: w.norm().item() for key, w in params.items()}
    out[name] = case

path = Path(__file__).parent.parent / "fixtures" / "network.json"
path.write_text(json.dumps(out) + "\n")
