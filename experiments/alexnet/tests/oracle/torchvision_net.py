"""torchvision's AlexNet in PyTorch: a file of weights and its scores, for tests/torchvision_net.rs.

Writes ../fixtures/torchvision_net.pth.xz, ../fixtures/torchvision_net.json and ../fixtures/torchvision_input.png.
Python 3.11, torch 2.13.0 (on the CPU), numpy 2.4.6, pillow:

    pip install torch==2.13.0 numpy==2.4.6 pillow
    python torchvision_net.py

The file is what `torch.save(model.state_dict(), …)` writes for a model with torchvision's names and shapes at full
size, 244 MB. So that it packs to a few kB, each tensor repeats 1021 numbers, from a place and at a scale of its own;
1021 is a prime, so that no two rows of a layer are alike. Layers and preprocessing are those of
`torchvision.models.alexnet` and `AlexNet_Weights.IMAGENET1K_V1.transforms()`, as its documentation gives them; the
resizing is Pillow's, as torchvision's is.
"""

import json
import lzma
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

FIXTURES = Path(__file__).parent.parent / "fixtures"
REPEATED = 1021


def model():
    net = nn.Module()
    net.features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )
    net.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Linear(4096, 1000),
    )
    return net.eval()


def fill(net):
    numbers = np.random.default_rng(0).uniform(-1, 1, REPEATED)
    numbers = (numbers - numbers.mean()).astype(np.float32)
    with torch.no_grad():
        for k, (name, tensor) in enumerate(net.state_dict().items()):
            # Variance 2 over the inputs of a unit, so that activations keep their size; small biases.
            fan_in = tensor[0].numel()
            scale = (6 / fan_in) ** 0.5 if name.endswith("weight") else 0.1
            repeated = np.resize(np.roll(numbers, 131 * k), tensor.numel()) * np.float32(scale)
            tensor.copy_(torch.from_numpy(repeated).reshape(tensor.shape))


def picture():
    """300 wide, 400 high: squares of 10 pixels, each of a colour of its own."""
    colours = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    return Image.fromarray(colours.repeat(10, 0).repeat(10, 1))


def preprocess(image):
    width, height = image.size
    short = min(width, height)
    size = (256 * width // short, 256 * height // short)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    image = image.crop((left, top, left + 224, top + 224))
    levels = torch.from_numpy(np.asarray(image).astype(np.float32)).permute(2, 0, 1) / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return ((levels - mean) / std)[None]


def forward(net, xs):
    xs = nn.functional.adaptive_avg_pool2d(net.features(xs), (6, 6))
    return net.classifier(torch.flatten(xs, 1))


torch.set_num_threads(2)
net = model()
fill(net)
assert sum(p.numel() for p in net.parameters()) == 61_100_840
weights = Path("/tmp/torchvision_net.pth")
torch.save(net.state_dict(), weights)
packed = lzma.compress(weights.read_bytes(), preset=9)
(FIXTURES / "torchvision_net.pth.xz").write_bytes(packed)
weights.unlink()

image = picture()
image.save(FIXTURES / "torchvision_input.png", optimize=True)
with torch.no_grad():
    # Closed form: the i-th number of the input is 2 sin(0.37 i).
    given = (2 * torch.sin(0.37 * torch.arange(3 * 224 * 224, dtype=torch.float64))).float()
    of_given = forward(net, given.reshape(1, 3, 224, 224))[0]
    inputs = preprocess(image)
    of_picture = forward(net, inputs)[0]
json.dump({
    "logits": [round(v, 6) for v in of_given.tolist()],
    # Every 997th number of the preprocessed picture.
    "inputs": [round(v, 5) for v in inputs.flatten()[::997].tolist()],
    "picture_logits": [round(v, 6) for v in of_picture.tolist()],
}, open(FIXTURES / "torchvision_net.json", "w"))
print("packed", len(packed), "logits", of_given.std().item(), of_given[:4], "picture", of_picture.std().item(),
      of_picture.topk(5))
