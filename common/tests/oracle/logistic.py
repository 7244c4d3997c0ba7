"""Writes ../fixtures/logistic.json: scikit-learn's liblinear on small problems, for src/linear/logistic.rs.

Python 3.11.7, scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1:

    pip install scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
    python logistic.py

The features are the formula in `example`, which the test computes too; liblinear sees them in float64 after rounding
to float32. liblinear stops at tol 1e-9, so that what it returns is the optimum to more digits than are compared.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression


def example(n, d, seed, sparse):
    """Features [n, d] and labels [n] by integer arithmetic alone: the same numbers in every language."""
    i, j = np.arange(n, dtype=np.uint64)[:, None], np.arange(d, dtype=np.uint64)[None, :]
    x = i * np.uint64(6364136223846793005) + j * np.uint64(1442695040888963407) + np.uint64(seed)
    x ^= x >> np.uint64(31)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    u = (x >> np.uint64(40)).astype(np.float64) / 2**24
    xs = np.where(u < 0.1, 1.0, 0.0) if sparse else u * 2 - 1
    truth = np.where(np.arange(d) % 5 == 0, 1.5, 0.0) * np.where(np.arange(d) % 2 == 0, 1, -1)
    noise = (x[:, 0] >> np.uint64(8)) % np.uint64(1000) / 1000.0 - 0.5
    score = xs @ truth
    return xs.astype(np.float32), score + noise > np.median(score)


cases = []
for n, d, seed, sparse in [(120, 30, 1, False), (60, 90, 2, False), (300, 150, 3, True)]:
    xs, ys = example(n, d, seed, sparse)
    xs = xs.astype(np.float64)
    for penalty in ["l1", "l2"]:
        for c in [2**-5, 2**-2, 1.0, 8.0]:
            fit = LogisticRegression(
                C=c, l1_ratio={"l1": 1.0, "l2": 0.0}[penalty], solver="liblinear", tol=1e-9, max_iter=100000, random_state=0
            ).fit(xs, ys)
            w, b = fit.coef_[0], fit.intercept_[0]
            signs = np.where(ys, 1.0, -1.0)
            loss = np.logaddexp(0, -signs * (xs @ w + b)).sum()
            size = np.abs(np.append(w, b)).sum() if penalty == "l1" else 0.5 * (w @ w + b * b)
            cases.append({
                "n": n, "d": d, "seed": seed, "sparse": sparse, "penalty": penalty, "c": c,
                "positive": int(ys.sum()), "objective": float(size + c * loss),
                "nonzero": [int(k) for k in np.flatnonzero(w)] if penalty == "l1" else None,
                "intercept": float(b), "first_weights": [float(x) for x in w[:6]],
                "accuracy": float(((xs @ w + b > 0) == ys).mean()),
            })
path = Path(__file__).parent.parent / "fixtures" / "logistic.json"
path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
