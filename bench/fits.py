"""The work of experiments/scaling-laws/benches/fits.rs by scipy's L-BFGS-B: the optimum from the same kind of starts, then
resamplings, each from the optimum and with its exponents halved and doubled, with an analytic gradient, begun again until
nothing is gained. Prints one JSON object.

    python fits.py POINTS.csv DRAWS"""

import csv
import itertools
import json
import sys
import time

import numpy as np
from scipy.optimize import minimize
from scipy.special import huber, logsumexp

DELTA = 1e-3
SHARES, SLOPES = (0.05, 0.4, 0.8), (0.1, 0.4, 1.0)


def objective(p, n, d, log_loss, weight):
    a, b, e, alpha, beta = p
    terms = np.stack([a - alpha * n, b - beta * d, np.full_like(n, e)])
    total = logsumexp(terms, axis=0)
    u, v, w = np.exp(terms - total)
    r = total - log_loss
    slope = weight * np.clip(r / DELTA, -1, 1)
    value = (weight * huber(DELTA, r)).sum() / DELTA
    return value, np.stack([u, v, w, -u * n, -v * d]) @ slope


def descend(p, args, sittings):
    options = {"maxiter": 200, "ftol": 1e-15, "gtol": 1e-8, "maxls": 40}
    best = None
    for _ in range(sittings):
        end = minimize(objective, p, args=args, jac=True, method="L-BFGS-B", options=options)
        if best is not None and not end.fun < best.fun:
            break
        best, p = end, end.x
    return best


def main():
    path, draws = sys.argv[1], int(sys.argv[2])
    with open(path, newline="") as file:
        rows = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    n, d, log_loss = np.log(rows).T
    n, d = n - n.mean(), d - d.mean()
    level, ones = np.median(log_loss), np.ones_like(n)
    starts = []
    for share, rest, k, l in itertools.product(SHARES, SHARES, SLOPES, SLOPES):
        at = [np.log((1 - share) * rest), np.log((1 - share) * (1 - rest)), np.log(share)]
        starts.append(np.array([level + at[0], level + at[1], level + at[2], k, l]))
    ends = sorted((descend(p, (n, d, log_loss, ones), 1) for p in starts), key=lambda end: end.fun)
    best = min((descend(end.x, (n, d, log_loss, ones), 6) for end in ends[:6]), key=lambda end: end.fun)
    near = [best.x * [1, 1, 1, f, f] for f in (0.5, 1.0, 2.0)]
    rng = np.random.default_rng(0)
    begun = time.perf_counter()
    for _ in range(draws):
        weight = np.bincount(rng.integers(0, len(n), len(n)), minlength=len(n)).astype(float)
        drawn = weight > 0
        args = (n[drawn], d[drawn], log_loss[drawn], weight[drawn])
        min((descend(p, args, 6) for p in near), key=lambda end: end.fun)
    seconds = time.perf_counter() - begun
    print(json.dumps({"draws_per_s": draws / seconds, "objective": float(best.fun * DELTA)}))


main()
