"""The multiplicative LSTM in float64 from its formulas, for tests/mlstm/. Writes ../fixtures/mlstm.json.

Python 3.11.7, numpy 2.4.6:

    pip install numpy==2.4.6
    python mlstm.py

States after each symbol, the loss in nats per symbol, and its gradient by central differences with respect to every
parameter and the state at the start.
"""

import json
from pathlib import Path

import numpy as np

VOCAB, EMBEDDING, HIDDEN, BATCH, TIME = 5, 3, 4, 3, 6
EPS = 1e-5  # error of a central difference: about EPS² and 1e-16 / EPS

rng = np.random.default_rng(1704)
SHAPES = {
    "embedding": (VOCAB, EMBEDDING),
    "wx": (EMBEDDING, 4 * HIDDEN),
    "wh": (HIDDEN, 4 * HIDDEN),
    "wmx": (EMBEDDING, HIDDEN),
    "wmh": (HIDDEN, HIDDEN),
    "b": (4 * HIDDEN,),
    "gx": (4 * HIDDEN,),
    "gh": (4 * HIDDEN,),
    "gmx": (HIDDEN,),
    "gmh": (HIDDEN,),
    "output.weight": (HIDDEN, VOCAB),
    "output.bias": (VOCAB,),
    "h": (BATCH, HIDDEN),
    "c": (BATCH, HIDDEN),
}
# Rounded to fp32, so that both precisions start from the same numbers. Gains away from 1, one of them negative.
VALUES = {name: rng.normal(size=shape).astype(np.float32).astype(np.float64) for name, shape in SHAPES.items()}
XS = rng.integers(VOCAB, size=(BATCH, TIME))
YS = rng.integers(VOCAB, size=(BATCH, TIME))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run(p):
    """Hidden and cell states [time, batch, hidden] and the mean loss."""
    w = {k: p["w" + k] / np.sqrt((p["w" + k] ** 2).sum(axis=0)) * p["g" + k] for k in ("x", "h", "mx", "mh")}
    h, c, loss, hs, cs = p["h"], p["c"], 0.0, [], []
    for t in range(TIME):
        x = p["embedding"][XS[:, t]]
        m = (x @ w["mx"]) * (h @ w["mh"])
        i, f, o, u = np.split(x @ w["x"] + m @ w["h"] + p["b"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
        cs.append(c)
        logits = h @ p["output.weight"] + p["output.bias"]
        loss += (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(BATCH), YS[:, t]]).mean() / TIME
    return np.array(hs), np.array(cs), loss


def gradient(name):
    out = np.zeros_like(VALUES[name])
    for at in np.ndindex(out.shape):
        losses = []
        for step in (EPS, -EPS):
            moved = dict(VALUES, **{name: VALUES[name].copy()})
            moved[name][at] += step
            losses.append(run(moved)[2])
        out[at] = (losses[0] - losses[1]) / (2 * EPS)
    return out


def listed(array):
    return [float(x) for x in np.ravel(array)]


hs, cs, loss = run(VALUES)
FIXTURE = {
    "sizes": {"vocab": VOCAB, "embedding": EMBEDDING, "hidden": HIDDEN, "batch": BATCH, "time": TIME},
    "values": {name: listed(value) for name, value in VALUES.items()},
    "xs": XS.ravel().tolist(),
    "ys": YS.ravel().tolist(),
    "hidden": listed(hs),
    "cell": listed(cs),
    "loss": float(loss),
    # Ten digits: what central differences are good for.
    "grads": {name: [float(f"{x:.10g}") for x in listed(gradient(name))] for name in VALUES},
}

path = Path(__file__).parent.parent / "fixtures" / "mlstm.json"
path.write_text(json.dumps(FIXTURE, separators=(",", ":")) + "\n")
