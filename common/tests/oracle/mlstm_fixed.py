"""The fixed arithmetic of common/src/nn/mlstm/fixed.rs, operation by operation in numpy's float32, whose elementwise
sums and products round as IEEE 754 says. Prints the digest that tests/mlstm/fixed.rs expects.

Python 3.11.7, numpy 2.4.6:

    pip install numpy==2.4.6
    python mlstm_fixed.py
"""

import numpy as np

VOCAB, EMBEDDING, HIDDEN, STEPS = 10, 8, 70, 100
F = np.float32


def param(name, *shape):
    i = np.arange(np.prod(shape))
    return (((i * 7919 + len(name) * 131) % 1009) / 1009.0 - 0.3).astype(F).reshape(shape)


def bf16(xs):
    bits = xs.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(F)


def matrix(name, rows, columns):
    v, squares = param("w" + name, rows, columns), np.zeros(columns, F)
    for row in v:
        squares = squares + row * row
    return bf16(v * (param("g" + name, columns) / np.sqrt(squares)))


def product(xs, matrix):
    sums = np.zeros(matrix.shape[1], F)
    for x, row in zip(xs, matrix):
        sums = sums + x * row
    return sums


def power_and_rest(x):
    x = np.clip(x, F(-87), F(87))
    shifted = x * F(np.log2(np.e)) + F(12582912)
    n = shifted - F(12582912)
    r = x - n * F(355 / 512) + n * F(2.1219444e-4)
    series = F(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5):
        series = series * r + F(term)
    power = ((shifted.view(np.uint32) << 23) + np.uint32(0x3F800000)).view(F)
    return power, series * r * r + r


def exp(x):
    power, rest = power_and_rest(x)
    return power * rest + power


def exp_minus_1(x):
    power, rest = power_and_rest(x)
    return power * rest + (power - F(1))


def sigmoid(x):
    return F(1) / (exp_minus_1(-x) + F(2))


def tanh(x):
    e = exp_minus_1(x + x)
    return e / (e + F(2))


wx, wh = matrix("x", EMBEDDING, 4 * HIDDEN), matrix("h", HIDDEN, 4 * HIDDEN)
wmx, wmh = matrix("mx", EMBEDDING, HIDDEN), matrix("mh", HIDDEN, HIDDEN)
embedding, b = param("embedding", VOCAB, EMBEDDING), param("b", 4 * HIDDEN)
output, output_bias = bf16(param("output.weight", HIDDEN, VOCAB)), param("output.bias", VOCAB)

h, c, digest = np.zeros(HIDDEN, F), np.zeros(HIDDEN, F), 0xCBF29CE484222325
for step in range(STEPS):
    x = embedding[step * step % VOCAB]
    m = product(h, wmh) * product(x, wmx)
    i, f, o, u = np.split(product(m, wh) + (product(x, wx) + b), 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(u)
    h = sigmoid(o) * tanh(c)
    logits = product(h, output) + output_bias
    ps, total = exp(logits - logits.max()), F(0)
    for p in ps:
        total = total + p
    for p in ps / total:
        digest = ((digest ^ int(p.view(np.uint32))) * 0x100000001B3) % 2**64
print(f"{digest:016x}")
