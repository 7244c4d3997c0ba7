"""Writes ../fixtures/released/{0..14}.npy and features.json: a small network in the release's form and what it computes.

Python 3.11.7, numpy 2.4.6:

    pip install numpy==2.4.6
    python released.py

An independent form of the network in float64, step by step, from its formulas; the weights are float32 as released.
"""

import json
from pathlib import Path

import numpy as np

E, H = 5, 7
draw = np.random.default_rng(0)


def f32(*shape, scale=1.0):
    return (scale * draw.standard_normal(shape)).astype(np.float32)


arrays = [f32(256, E), f32(E, 4 * H), *[f32(H, H) for _ in range(4)], f32(E, H), f32(H, H), f32(4 * H, scale=0.3)]
arrays += [1 + f32(4 * H, scale=0.2), 1 + f32(4 * H, scale=0.2), 1 + f32(H, scale=0.2), 1 + f32(H, scale=0.2)]
arrays += [f32(H, 256, scale=0.3), f32(256, scale=0.1)]
assert len(arrays) == 15
folder = Path(__file__).parent.parent / "fixtures" / "released"
folder.mkdir(parents=True, exist_ok=True)
for i, array in enumerate(arrays):
    np.save(folder / f"{i}.npy", array)

wide = [array.astype(np.float64) for array in arrays]
embedding, wx, wh = wide[0], wide[1], np.concatenate(wide[2:6], axis=1)
wmx, wmh, b, gx, gh, gmx, gmh, out_w, out_b = wide[6:]
normed = lambda w, g: w / np.sqrt((w * w).sum(axis=0)) * g
wx, wh, wmx, wmh = normed(wx, gx), normed(wh, gh), normed(wmx, gmx), normed(wmh, gmh)
sigmoid = lambda x: 1 / (1 + np.exp(-x))

cases = []
for text in ["a", "Great & cheap", "caf\u00e9 \u20ac\n", "x" * 150]:
    c, h = np.zeros(H), np.zeros(H)
    for byte in text.encode():
        x = embedding[byte]
        m = (x @ wmx) * (h @ wmh)
        i, f, o, u = np.split(x @ wx + m @ wh + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
    logits = h @ out_w + out_b
    p = np.exp(logits - logits.max())
    cases.append({"text": text, "cell": c.tolist(), "hidden": h.tolist(), "first_probabilities": (p / p.sum())[:8].tolist()})
(folder / "features.json").write_text(json.dumps(cases, indent=0) + "\n")
