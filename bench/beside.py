"""What every table needs: the two programs, one run of each, the spread of ratios, and the table itself."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = os.environ.get("SECONDS", "2")
# As an experiment's build does (common/build_info.rs): what is published changes no program.
CHANGES = ("git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
# Of processors that multiply bf16. On others it takes tens of times as long as fp32, on both sides: there is no such line.
BF16 = ("avx512_bf16", "amx_bf16")
# Before anything is built.
LOAD = os.getloadavg()[0]


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


def timed(parser):
    """The arguments of a program that times PyTorch, after it has its threads; as `Timed` in common/src/bench.rs."""
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    import torch # what starts such programs runs without it
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    return args


def our_binary(package, name):
    """Builds the benchmark `name` of `package` and returns its path."""
    # With the whole workspace's features, so that nothing is built twice.
    out = subprocess.run(
        ["cargo", "bench", "--workspace", "--bench", name, "--no-run", "--message-format=json"],
        cwd=TREE, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    for line in out.splitlines():
        message = json.loads(line)
        ours = Path(message.get("manifest_path", "")).parent.name == package
        if ours and message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    sys.exit(f"cargo built no {name} of {package}")


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


def of(runs, key):
    return [run[key] for run in runs]


def how(threads, precision=""):
    """What a line says of its run."""
    said = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"{precision}, {said}" if precision else said


def best_mode(runs, least=False):
    """The mode with the highest (`least`: lowest) median over the rounds `runs`, each a number a mode, and its numbers."""
    choose = min if least else max
    mode = choose(runs[0], key=lambda mode: statistics.median(run[mode] for run in runs))
    return mode, [run[mode] for run in runs]


def output(*command):
    try:
        return subprocess.run(command, cwd=TREE, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def fact(path, name):
    """What stands behind `name:` in a file of /proc."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def bf16():
    """This processor's instructions for products of bf16."""
    known = fact("/proc/cpuinfo", "flags").split()
    return [flag for flag in BF16 if flag in known]


PRECISIONS = ["fp32", "bf16"] if bf16() else ["fp32"]
# Precision and threads.
WAYS = [(precision, threads) for threads in (1, 2) for precision in PRECISIONS]


def machine():
    memory = fact("/proc/meminfo", "MemTotal").split()
    return {
        "processor": fact("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "bf16": bf16(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int(memory[0]) / (1 << 20)) if memory else None,
    }


class Table:
    """Lines of ours beside theirs, printed as they come and kept in results/bench/<name>.json, from which `ledger report`
    makes the page. A ratio above 1 is in our favour, whatever the unit."""

    def __init__(self, name, experiment, title, python=None):
        if LOAD > 0.5:
            print(f"the machine is not quiet (load {LOAD:.1f}): timings will be off", file=sys.stderr)
        torch = output(python, "-c", "import torch; print(torch.__version__)") if python else ""
        self.name = name
        self.facts = {
            "table": name, "experiment": experiment, "title": title, "pytorch": torch, "machine": machine(), "load": LOAD,
            "date": date.today().isoformat(), "commit": output("git", "rev-parse", "HEAD"),
            "dirty": bool(output(*CHANGES)), "rounds": ROUNDS, "lines": [],
        }
        print(f"\n{title}\n{'':40} {'ours':>10} {'theirs':>10} {'unit':12} ratio in our favour")

    def line(self, what, unit, ours, theirs, against, less=False, share_of_gemm=None):
        """One number of each side a round; `less`: the smaller is the better."""
        ratios = [b / a if less else a / b for a, b in zip(ours, theirs)]
        own, other = statistics.median(ours), statistics.median(theirs)
        print(f"{what:40} {number(own):>10} {number(other):>10} {unit:12} {spread(ratios)}  {against}", flush=True)
        if share_of_gemm:
            share_of_gemm = statistics.median(share_of_gemm)
            print(f"{'':40} {share_of_gemm:.0%} of the rate of plain matrix products", flush=True)
        self.facts["lines"].append({
            "what": what, "unit": unit, "ours": own, "theirs": other, "against": against, "ratios": ratios,
            "share_of_gemm": share_of_gemm,
        })

    def save(self):
        out = TREE / "results" / "bench" / f"{self.name}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(self.facts, indent=1) + "\n")
        print(out)


def number(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f} to {max(values):.2f}]"
