"""What every table needs: the two programs, one run of each, the spread of ratios."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = os.environ.get("SECONDS", "2")


def python_with_torch():
    """An environment of its own in the cache, with the wheel that .libtorch comes from and all it needs to be imported."""
    cache = os.environ.get("LANDMARKS_CACHE")
    if not cache:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landmarks"
    venv = Path(cache) / "bench-venv"
    done = venv / "complete"
    if not done.exists():
        print("installing PyTorch to compare with: 4.7 GB on disk, once, a few minutes", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        requirements = TREE / "setup" / "requirements-gpu.txt"
        subprocess.run(
            [venv / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", requirements], check=True
        )
        done.touch()
    return venv / "bin" / "python"


def python_with(requirements):
    """The same environment, with what `bench/<requirements>` lists added to it."""
    python = python_with_torch()
    done = python.parent.parent / f"complete-{requirements}"
    if not done.exists():
        flags = ["--quiet", "--no-deps", "--require-hashes", "-r", TREE / "bench" / requirements]
        subprocess.run([python, "-m", "pip", "install", *flags], check=True)
        done.touch()
    return python


def from_mirror(table, *names):
    """The files `names` of the mirror folder; without one of them, says that `table` is left out and ends."""
    mirror = os.environ.get("LANDMARKS_MIRROR")
    if not mirror:
        print(f"{table} is left out: it needs {names[0]} of a mirror folder, which LANDMARKS_MIRROR does not name")
        sys.exit(0)
    paths = [Path(mirror) / name for name in names]
    for path in paths:
        if not path.exists():
            print(f"{table} is left out: there is no {path}")
            sys.exit(0)
    return paths


def rate(seconds, f):
    """How often `f` runs in a second, over at least `seconds`, after half as many to warm up."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds / 2:
        f()
    begun, n = time.perf_counter(), 0
    while True:
        f()
        n += 1
        elapsed = time.perf_counter() - begun
        if elapsed > seconds:
            return n / elapsed


def our_binary(package, name):
    """Builds the benchmark `name` of `package` and returns its path."""
    out = subprocess.run(
        ["cargo", "bench", "--package", package, "--bench", name, "--no-run", "--message-format=json"],
        cwd=TREE, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("target", {}).get("name") == name:
            return message["executable"]
    sys.exit(f"cargo built no {name}")


def start(command, threads):
    # The environment has no numpy, which PyTorch would remark on.
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    # For the tokenisers.
    env |= {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def finish(process):
    return finish_with_peak(process)[0]


def finish_with_peak(process):
    """What the command printed, and the most memory it held, in MiB."""
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{process.args} failed")
    return json.loads(out.splitlines()[-1]), usage.ru_maxrss / 1024


def in_turn(ours, theirs, threads):
    """What the two commands printed, round by round."""
    rounds = [(finish(start(ours, threads)), finish(start(theirs, threads))) for _ in range(ROUNDS)]
    return [a for a, _ in rounds], [b for _, b in rounds]


def against_best(ours, modes):
    """Our median rate, PyTorch's in its best mode, that mode, and the ratios ours / PyTorch; of one rate a round, and one a
    mode and round."""
    mode = max(modes[0], key=lambda mode: statistics.median(rates[mode] for rates in modes))
    best = [rates[mode] for rates in modes]
    return statistics.median(ours), statistics.median(best), mode, [a / b for a, b in zip(ours, best)]


def save(name, result):
    """Writes `result` to results/<name>.json and says so."""
    out = TREE / "results" / f"{name}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out)


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f} to {max(values):.2f}]"
