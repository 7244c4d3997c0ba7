"""Writes tests/fixtures/scores.json: scores of predictions by scikit-learn and scipy.

    pip install scikit-learn==1.9.1 scipy==1.17.1 numpy
    python experiments/gpt1/tests/oracle/scores.py
"""

import json
import pathlib
import warnings

import numpy as np
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
cases = []
for n, skew in [(40, 0.5), (57, 0.9), (200, 0.3), (5, 0.5)]:
    labels = (rng.random(n) < skew).astype(int)
    predictions = np.where(rng.random(n) < 0.7, labels, 1 - labels)
    cases.append((predictions, labels))
cases.append((np.ones(6, int), np.array([0, 1, 1, 0, 1, 1])))  # one class predicted
cases.append((np.zeros(6, int), np.array([0, 1, 1, 0, 1, 1])))
out = []
for predictions, labels in cases:
    out.append({
        "predictions": predictions.tolist(), "labels": labels.tolist(),
        "accuracy": accuracy_score(labels, predictions), "matthews": matthews_corrcoef(labels, predictions),
        "f1": f1_score(labels, predictions),
    })
labels = rng.integers(0, 3, 50)
predictions = np.where(rng.random(50) < 0.6, labels, rng.integers(0, 3, 50))
out.append({"predictions": predictions.tolist(), "labels": labels.tolist(),
            "accuracy": accuracy_score(labels, predictions)})
for n in [3, 80]:
    labels = rng.random(n) * 5
    predictions = labels * 0.3 + rng.normal(size=n)
    out.append({"predictions": predictions.tolist(), "labels": labels.tolist(),
                "pearson": pearsonr(labels, predictions)[0]})
path = pathlib.Path(__file__).parent.parent / "fixtures" / "scores.json"
path.write_text(json.dumps(out) + "\n")
