"""Writes the state dictionaries that `common::weights` is tested with, by PyTorch itself.

    python3 state_dict.py ../fixtures

torch 2.13.0. `x(n)` are n numbers: the i-th is (i * 37 % 101 - 50) / 8, which every kind of floating point
holds exactly. The test makes the same.
"""

import collections
import pathlib
import sys

import torch

folder = pathlib.Path(sys.argv[1])


def x(*shape):
    n = 1
    for size in shape:
        n *= size
    return ((torch.arange(n) * 37 % 101 - 50) / 8).reshape(shape)


whole = x(4, 6)
state = collections.OrderedDict()
state["plain.weight"] = x(3, 2, 5)
state["plain.bias"] = torch.nn.Parameter(x(7))
state["half"] = x(9).half()
state["brain"] = x(9).bfloat16()
state["double"] = x(9).double()
# Two views of one storage, and one that lies in memory in another order than in the tensor.
state["transposed"] = whole.t()
state["row"] = whole[2]
state["last"] = x(2, 3, 4, 5).to(memory_format=torch.channels_last)
state["scalar"] = torch.tensor(-1.25)
state["none"] = torch.empty(0, 3)
state["count"] = torch.tensor([1 << 40, -1])
state["flags"] = torch.tensor([True, False])
torch.save(state, folder / "state_dict.pth")

# With the attribute that a module's state_dict() has.
torch.manual_seed(0)
module = torch.nn.Linear(3, 2)
with torch.no_grad():
    module.weight.copy_(x(2, 3))
    module.bias.copy_(x(2))
torch.save(module.state_dict(), folder / "module_state.pth")

torch.save(module.state_dict(), folder / "before_1_6.pth", _use_new_zipfile_serialization=False)
torch.save(module, folder / "whole_module.pth")
torch.save({"epoch": 3, "state_dict": module.state_dict()}, folder / "checkpoint.pth")
torch.jit.save(torch.jit.script(module), folder / "script.pth")
