"""The image pipeline of benches/photo_pipeline.rs in torchvision: the same files, sizes and steps. Prints one JSON object.

The loader works in the process itself: that takes the least processor time for an image, since nothing is passed on."""

import argparse
import json
import time

import torch
from torchvision import datasets, transforms

from beside import timed

parser = argparse.ArgumentParser()
parser.add_argument("--folder", required=True)
parser.add_argument("--batch", type=int, default=128)
args = timed(parser)
steps = [
    transforms.Resize(256),
    transforms.CenterCrop(256),
    transforms.RandomCrop(224),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize([118 / 255] * 3, [58 / 255] * 3),
]
pictures = datasets.ImageFolder(args.folder + "/train", transforms.Compose(steps))
loader = torch.utils.data.DataLoader(pictures, batch_size=args.batch, shuffle=True, drop_last=True, num_workers=0)


def batches():
    while True:
        yield from loader


begun, cpu, timed, n = time.perf_counter(), time.process_time(), False, 0
for xs, _ in batches():
    assert xs.shape == (args.batch, 3, 224, 224)
    n += args.batch
    elapsed = time.perf_counter() - begun
    if not timed and elapsed > args.seconds / 2:
        begun, cpu, timed, n = time.perf_counter(), time.process_time(), True, 0
    elif timed and elapsed > args.seconds:
        break
print(json.dumps({"images_per_s": n / elapsed, "images_per_core_s": n / (time.process_time() - cpu)}))
