// What a transformer does number by number between its products: GELU, and the loss of scores or their
// log-probabilities.
//
// Numbers are fp32, or bf16 with everything computed in fp32.
#pragma once

#include "tables.h"

#include <cstdint>

namespace rows {

struct Kernels {
  // g = GELU(u) in its tanh form, of n numbers.
  void (*gelu)(const void *u, int64_t n, void *g);

  // Columns [from, to) of u, dg: [rows, columns]: g = GELU(u), dg becomes du, and `sums` gets that of
  // du over the rows.
  void (*gelu_backward)(const void *u, void *dg, int64_t rows, int64_t columns, int64_t from,
                        int64_t to, void *g, float *sums);

  // The loss in nats of each row of `scores: [rows, vocab]` for its target. With `weights`, each
  // row becomes the gradient of its loss times its weight.
  void (*cross_entropy)(void *scores, const int64_t *targets, const float *weights, int64_t rows,
                        int64_t vocab, float *losses);

  // Of each row of `scores: [rows, vocab]` times `scale` the log-probability of its target and the
  // entropy, both in nats. With `keep`, each row becomes its probabilities.
  void (*log_probs)(void *scores, const int64_t *targets, float scale, int64_t rows, int64_t vocab,
                    bool keep, float *log_probs, float *entropies);

  // The gradient of scores that have these probabilities: `grads: [rows]` is that of the targets'
  // log-probabilities, times the scale.
  void (*log_probs_backward)(const void *probabilities, const int64_t *targets, const float *grads,
                             int64_t rows, int64_t vocab, void *dscores);
};

SHIM_TABLES(Kernels);

}  // namespace rows
