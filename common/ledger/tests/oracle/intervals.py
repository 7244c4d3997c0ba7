"""Numbers of independent implementations for the tests of `ledger::stats`.

Writes ../fixtures/intervals.json. Python 3.11.7, numpy 2.4.6, scipy 1.17.1, lifelines 0.30.3:

    pip install numpy==2.4.6 scipy==1.17.1 lifelines==0.30.3
    python intervals.py

Student t: scipy.stats.ttest_1samp and ttest_rel, `confidence_interval`. BCa: scipy.stats.bootstrap with
400,000 resamples; the acceleration is what its BCa code computes. Kaplan-Meier: lifelines.
"""

import json
from pathlib import Path

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.utils import qth_survival_times
from scipy import stats
from scipy.stats import _resampling

LEVELS = (0.8, 0.95, 0.99)
rng = np.random.default_rng(20120101)


def student():
    cases = []
    for n in (2, 3, 5, 9, 30):
        for level in LEVELS:
            a = np.exp(rng.normal(3.0, 0.4, n)).round(4)
            b = (a / np.exp(rng.normal(1.2, 0.2, n))).round(4)

            def ends(test, transform=float):
                interval = test.confidence_interval(level)
                return [transform(interval.low), transform(interval.high)]

            exp = lambda x: float(np.exp(x))
            cases.append({
                "a": a.tolist(), "b": b.tolist(), "level": level,
                "mean": ends(stats.ttest_1samp(a, 0.0)),
                "geometric_mean": ends(stats.ttest_1samp(np.log(a), 0.0), exp),
                "paired_difference": ends(stats.ttest_rel(a, b)),
                "paired_ratio": ends(stats.ttest_rel(np.log(a), np.log(b)), exp),
            })
    return cases


STATISTICS = {
    "mean": lambda x, axis: np.mean(x, axis=axis),
    "standard_deviation": lambda x, axis: np.std(x, axis=axis, ddof=1),
    "third_largest": lambda x, axis: np.sort(x, axis=axis)[..., -3],
}


def bca():
    cases = []
    samples = {
        "normal": rng.normal(10.0, 2.0, 12), "exponential": rng.exponential(3.0, 25),
        "lognormal": np.exp(rng.normal(0.0, 0.7, 40)), "tied": rng.integers(0, 6, 20).astype(float),
    }
    for kind, values in samples.items():
        values = values.round(4)
        for name, statistic in STATISTICS.items():
            for level in (0.8, 0.95):
                found = stats.bootstrap(
                    (values,), statistic, n_resamples=400_000, batch=20_000, method="BCa",
                    confidence_level=level, rng=np.random.default_rng(7), vectorized=True)
                _, _, acceleration = _resampling._bca_interval(
                    (values,), statistic, -1, (1 - level) / 2, found.bootstrap_distribution, None, np)
                cases.append({
                    "sample": kind, "values": values.tolist(), "statistic": name, "level": level,
                    "low": float(found.confidence_interval.low),
                    "high": float(found.confidence_interval.high),
                    "standard_error": float(found.standard_error),
                    "acceleration": float(np.ravel(acceleration)[0]),
                })
    return cases


def kaplan_meier():
    cases = []
    for n, budget in ((1, 99.0), (3, 40.0), (4, 99.0), (5, 25.0), (8, 20.0), (9, 12.0), (20, 30.0),
                      (60, 35.0)):
        # Whole epochs tie; runs end at their own budgets.
        wanted = np.ceil(np.exp(rng.normal(3.0, 0.5, n)))
        ends = np.minimum(budget, np.ceil(rng.uniform(budget / 2, 2 * budget, n)))
        time, reached = np.minimum(wanted, ends), wanted <= ends
        fitter = KaplanMeierFitter().fit(time, reached)
        table = fitter.event_table
        at = [float(t) for t in table.index[table.observed > 0]]
        # The curve is a product of fractions: where it should be 0.5 it may be 0.5000000000000001.
        median = float(qth_survival_times(0.5 + 1e-9, fitter.survival_function_))
        cases.append({
            "time": time.tolist(), "reached": reached.tolist(),
            "steps": [[t, float(fitter.survival_function_at_times(t).iloc[0]),
                       int(table.at_risk[t])] for t in at],
            "median": median if np.isfinite(median) else None,
        })
    return cases


if __name__ == "__main__":
    path = Path(__file__).parent.parent / "fixtures" / "intervals.json"
    numbers = {"student": student(), "bca": bca(), "kaplan_meier": kaplan_meier()}
    path.write_text(json.dumps(numbers) + "\n")
