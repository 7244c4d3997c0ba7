"""What every table needs: the two programs, one run of each, the spread of ratios."""

import json
import os
import statistics
import subprocess
import sys
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
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{process.args} failed")
    return json.loads(out.splitlines()[-1])


def in_turn(ours, theirs, threads):
    """What the two commands printed, round by round."""
    rounds = [(finish(start(ours, threads)), finish(start(theirs, threads))) for _ in range(ROUNDS)]
    return [a for a, _ in rounds], [b for _, b in rounds]


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f} to {max(values):.2f}]"
