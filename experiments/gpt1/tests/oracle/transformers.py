"""Writes tests/fixtures/{hf,openai,hf_logits.json}: tiny random models of transformers' OpenAIGPT and their scores.

    pip install torch==2.13.0 transformers==4.57.1 safetensors numpy
    python experiments/gpt1/tests/oracle/transformers.py

Numbers are kept in half precision, which both sides read exactly, so that the files are small. `hf` is what
`save_pretrained` writes; `openai` are the same weights in the form of OpenAI's release, ten pieces of one vector.
"""

import json
import pathlib

import numpy as np
import torch
import transformers
from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
IDS = [3, 17, 0, 52, 52, 8, 41, 30, 1, 60, 22, 5]


def main():
    torch.manual_seed(1)
    # Twelve heads, as the released form has without saying so.
    config = OpenAIGPTConfig(vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=12)
    model = OpenAIGPTLMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Wider than the usual initial weights, biases and gains too: every term must count.
            parameter.add_(torch.randn_like(parameter) * 0.15)
            parameter.copy_(parameter.half().float())
        logits = model(torch.tensor([IDS])).logits[0]
    model.half().save_pretrained(FIXTURES / "hf")
    (FIXTURES / "hf" / "generation_config.json").unlink(missing_ok=True)

    state = {name: x.numpy() for name, x in model.state_dict().items()}
    tensors = [state["transformer.positions_embed.weight"], state["transformer.tokens_embed.weight"]]
    for layer in range(config.n_layer):
        of = lambda name: state[f"transformer.h.{layer}.{name}"]
        for part in ["attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2"]:
            weight = of(f"{part}.weight")
            tensors += [weight[None] if weight.ndim == 2 else weight, of(f"{part}.bias")]
    folder = FIXTURES / "openai"
    folder.mkdir(exist_ok=True)
    (folder / "params_shapes.json").write_text(json.dumps([list(x.shape) for x in tensors]) + "\n")
    flat = np.concatenate([x.reshape(-1) for x in tensors])
    for index, piece in enumerate(np.array_split(flat, 10)):
        np.save(folder / f"params_{index}.npy", piece)

    out = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "ids": IDS,
        "logits": [[round(float(x), 6) for x in row] for row in logits],
    }
    (FIXTURES / "hf_logits.json").write_text(json.dumps(out) + "\n")


main()
