"""Writes tests/fixtures/cifar10_batch.pickle: a small batch as Python 2.7 and NumPy 1.6 pickled the official ones.

Python 3 pickles byte strings in another way, so the pickler is told to write them as Python 2 did
(SHORT_BINSTRING, BINSTRING), and NumPy's functions by their old names. Python's own unpickler then
reads the result back as everybody reads the official files.

Run with Python 3.11 and NumPy 2.x or 1.x:  python cifar10_pickle.py
"""

import io
import pathlib
import pickle
import struct

import numpy as np

ROWS, COLUMNS = 12, 48


class OldPickler(pickle._Pickler):
    """Writes byte strings as Python 2 wrote its `str`."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_old_string(self, obj):
        n = len(obj)
        self.write(b"U" + struct.pack("<B", n) + obj if n < 256 else b"T" + struct.pack("<i", n) + obj)
        self.memoize(obj)

    dispatch[bytes] = save_old_string

    def save_global(self, obj, name=None):
        module = {"_reconstruct": "numpy.core.multiarray"}.get(obj.__name__, "numpy")
        self.write(f"c{module}\n{obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[type(np._core.multiarray._reconstruct)] = save_global
    dispatch[type] = save_global
    dispatch[type(np.ndarray)] = save_global

    def save_array(self, obj):
        self.save_reduce(
            np._core.multiarray._reconstruct,
            (np.ndarray, (0,), b"b"),
            (1, obj.shape, obj.dtype, False, obj.tobytes()),
            obj=obj,
        )

    dispatch[np.ndarray] = save_array

    def save_dtype(self, obj):
        state = (3, b"|", None, None, None, -1, -1, 0)
        self.save_reduce(np.dtype, (b"u1", 0, 1), state, obj=obj)

    dispatch[type(np.dtype("u1"))] = save_dtype


def main():
    data = (np.arange(ROWS * COLUMNS, dtype=np.uint64) ** 2 // 7 % 251).astype(np.uint8).reshape(ROWS, COLUMNS)
    labels = [i * 7 % 10 for i in range(ROWS)]
    batch = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": labels,
        b"data": data,
        b"filenames": [b"picture_s_%06d.png" % i for i in range(ROWS)],
    }
    out = io.BytesIO()
    OldPickler(out, protocol=2).dump(batch)
    raw = out.getvalue()

    back = pickle.loads(raw, encoding="latin1")
    assert back["labels"] == labels and (back["data"] == data).all() and back["data"].shape == (ROWS, COLUMNS)
    target = pathlib.Path(__file__).parent.parent / "fixtures" / "cifar10_batch.pickle"
    target.write_bytes(raw)
    print(target, len(raw), "bytes; sum of pixels", int(data.sum()), "data[3, 5]", int(data[3, 5]))


main()
