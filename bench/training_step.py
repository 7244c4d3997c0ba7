"""The training steps of benches/training_step.rs and benches/alexnet_step.rs in PyTorch, in each of its modes; where the
environment says so, in several processes by DistributedDataParallel, each with its share of the batch. Prints one JSON
object.

Batches lie ready in memory, so that PyTorch is charged for no loader."""

import argparse
import json
import os
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

from beside import timed


class Figure1(nn.Module):
    """Three convolutions and a fully connected layer, the net of Figure 1."""

    SIDE, CLASSES, DECAY = 32, 10, 0.0

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc = nn.Linear(1024, 10)
        for layer, std in ((self.conv1, 1e-4), (self.conv2, 0.01), (self.conv3, 0.01), (self.fc, 0.1)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, xs):
        xs = F.relu(F.max_pool2d(self.conv1(xs), 3, 2, ceil_mode=True))
        xs = F.avg_pool2d(F.relu(self.conv2(xs)), 3, 2, ceil_mode=True, count_include_pad=False)
        xs = F.avg_pool2d(F.relu(self.conv3(xs)), 3, 2, ceil_mode=True, count_include_pad=False)
        return self.fc(xs.flatten(1))


class AlexNet(nn.Module):
    """The paper's network in two towers; 227 rows in place of 224 and a padding that is not in the paper."""

    SIDE, CLASSES, DECAY = 227, 1000, 5e-4

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6 = nn.Linear(9216, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 1000)
        for layer in self.children():
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, xs):
        def norm(xs):
            # PyTorch divides alpha by the size.
            return F.local_response_norm(xs, 5, alpha=5e-4, beta=0.75, k=2.0)

        def pool(xs):
            return F.max_pool2d(xs, 3, 2)

        xs = pool(norm(F.relu(self.conv1(xs), inplace=True)))
        xs = pool(norm(F.relu(self.conv2(xs), inplace=True)))
        xs = F.relu(self.conv3(xs), inplace=True)
        xs = F.relu(self.conv4(xs), inplace=True)
        xs = pool(F.relu(self.conv5(xs), inplace=True)).flatten(1)
        xs = F.dropout(F.relu(self.fc6(xs), inplace=True), 0.5)
        xs = F.dropout(F.relu(self.fc7(xs), inplace=True), 0.5)
        return self.fc8(xs)


def images_per_s(args, channels_last, compiled):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = NETS[args.net]().to(memory_format=layout)
    groups = [
        {"params": [p for n, p in net.named_parameters() if n.endswith("bias") == bias], "lr": lr}
        for bias, lr in ((False, 1e-4), (True, 2e-4))
    ]
    opt = torch.optim.SGD(groups, momentum=0.9, weight_decay=net.DECAY, fused=True)
    side, classes, batch = net.SIDE, net.CLASSES, args.batch // WORLD
    if WORLD > 1:
        net = nn.parallel.DistributedDataParallel(net)
    batches = [
        (
            (torch.rand(batch, 3, side, side) * 255 - 127).to(memory_format=layout),
            torch.randint(classes, (batch,)),
        )
        for _ in range(max(1, args.pictures // args.batch))
    ]

    def loss_of(xs, ys):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            logits = net(xs)
        return F.cross_entropy(logits.float(), ys)

    if compiled:
        loss_of = torch.compile(loss_of)
    loss_of(*batches[0]).backward()  # compiles, outside the time
    begun, timed, n, step = time.perf_counter(), False, 0, 0
    while True:
        if step % LOOK == 0:
            elapsed = agreed(time.perf_counter() - begun)
            if not timed and elapsed > args.seconds / 2:
                timed, n, begun = True, 0, time.perf_counter()
            elif timed and elapsed > args.seconds:
                return n / elapsed
        loss = loss_of(*batches[step % len(batches)])
        opt.zero_grad()
        loss.backward()
        opt.step()
        loss.item()
        n, step = n + args.batch, step + 1


def agreed(seconds):
    """The same time in all processes, so that they stop at the same step."""
    if WORLD > 1:
        mean = torch.tensor([seconds], dtype=torch.float64)
        dist.all_reduce(mean)
        seconds = mean.item() / WORLD
    return seconds


WORLD = int(os.environ.get("WORLD_SIZE", "1"))
# Steps between two looks at the clock.
LOOK = 8
NETS = {"figure-1": Figure1, "alexnet": AlexNet}
parser = argparse.ArgumentParser()
parser.add_argument("--net", choices=NETS, default="figure-1")
parser.add_argument("--pictures", type=int, default=2048)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--only", help="time this mode alone: its process then shows the mode's own memory")
args = timed(parser)
if WORLD > 1:
    dist.init_process_group("gloo")
modes = {
    f"{how}, {layout}": images_per_s(args, layout == "channels-last", how == "compile")
    for how in ("eager", "compile")
    for layout in ("contiguous", "channels-last")
    if args.only in (None, f"{how}, {layout}")
}
if WORLD > 1:
    dist.barrier()
if os.environ.get("RANK", "0") == "0":
    print(json.dumps(modes))
