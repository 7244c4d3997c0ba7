"""Reads an event file that `ledger` wrote with the tensorboard package and stores what it read.

Versions: Python 3.11.7, tensorboard 2.20.0, protobuf 7.36.2, numpy 2.4.6.
From the repository root:

    python3 -m venv /tmp/tb && /tmp/tb/bin/pip install tensorboard==2.20.0 'setuptools<80'
    LEDGER_TFEVENTS_OUT=/tmp/tb/events.out.tfevents.run \
        cargo test --release -p ledger the_tensorboard_package_reads_back
    /tmp/tb/bin/python common/ledger/tests/oracle/read_tfevents.py /tmp/tb/events.out.tfevents.run

The test fails in that first run if the file changed; the file is written before it does.
"""

import hashlib
import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2

path = pathlib.Path(sys.argv[1])
data = path.read_bytes()
version, scalars = None, []
for raw in RawEventFileLoader(str(path)).Load():
    event = event_pb2.Event.FromString(raw)
    if event.HasField("file_version"):
        assert version is None and not scalars, "the version comes first and once"
        version = {"wall_time": event.wall_time, "file_version": event.file_version}
        continue
    (value,) = event.summary.value
    assert value.WhichOneof("value") == "simple_value", value
    (bits,) = struct.unpack("<I", struct.pack("<f", value.simple_value))
    scalars.append(
        {"step": event.step, "wall_time": event.wall_time, "tag": value.tag, "value_bits": bits}
    )

# What the web page's own loader makes of the folder.
accumulator = EventAccumulator(str(path.parent), size_guidance={"scalars": 0}).Reload()
shown = sum(len(accumulator.Scalars(tag)) for tag in accumulator.Tags()["scalars"])
assert shown == len(scalars), (shown, len(scalars))

out = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "tensorboard.json"
head = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "version": version}
rows = ",\n    ".join(json.dumps(s, ensure_ascii=False) for s in scalars)
text = json.dumps(head, indent=2)[:-2] + ',\n  "scalars": [\n    ' + rows + "\n  ]\n}\n"
json.loads(text)
out.write_text(text, encoding="utf-8")
print(f"{out}: {len(scalars)} scalars")
