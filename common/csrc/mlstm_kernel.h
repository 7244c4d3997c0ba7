// The time loop of the multiplicative LSTM, one step at a time: what mlstm_kernel.cpp computes and
// mlstm.cpp drives.
//
// The four products of a step (two forward, two backward) have the batch as rows and a recurrent
// matrix, packed once per segment, as the right side. A kernel computes a *panel* of 4 · lanes
// columns for all rows and at once does to it what comes next, so that pre-activations are never
// stored. Panels are independent of each other: threads share them out, and the bits of a result
// do not depend on how.
//
// Element types: fp32, or bf16 with fp32 sums, state and gates. An *operand* is an array that a
// product reads: [rows, columns] of elements, or, where rows are summed over (the weight
// gradients), panels [columns / panel, rows, panel] of fp32, or of bf16 with two rows interleaved
// in one 32-bit word. `rows` is therefore even, `units` a multiple of 64.
//
// The 4 · units columns of the gates stand in *gate order*: lanes units at a time, of each first i,
// then f, o, u. One panel thus has all four gates of its units.
#pragma once

#include "tables.h"

#include <cstdint>

namespace mlstm {

struct Forward {
  int64_t rows, units;
  const int32_t *symbols;   // [time, rows]
  const float *mx, *zx;     // [vocab, units], [vocab, 4 units]: each symbol's x·Wmx and x·Wx + b
  const void *wmh, *wh;     // packed
  void *m;                  // [rows, units], elements; of the step at hand
  void *hs;                 // [time + 1, rows, units], elements; the first is the start
  float *cs;                // [time + 1, rows, units]; the first is the start
  float *h;                 // [rows, units], unrounded, after the last step so far
  float *hm, *gates;        // [time, rows, units], [time, rows, 4 units]; null if none wants a gradient
};

struct Backward {
  int64_t rows, units, time;
  const int32_t *symbols;
  const float *mx;
  const void *wmh_t, *wh_t;  // packed transposes
  const void *hs;
  const float *cs, *hm, *gates;
  const void *dhs;           // [time, rows, units], elements; null for zeros
  float *dh, *dc;            // [rows, units]; at entry those of the last state, at the end of the first
  void *dz, *dhm;            // [rows, 4 units], [rows, units], elements; of the step at hand
  void *dz_panels, *dhm_panels, *m_panels, *h_panels;  // of all steps, rows [time · rows]
  float *dmx, *dzx;          // gradients of the tables; zero at entry
};

// Steps t, panels [from, to). There are `units / panel` panels, in forward_gates four times as many.
struct Kernels {
  int lanes;  // a panel has 4 · lanes columns

  // w: [k, n] -> [n / panel, k, panel] of elements, bf16 with two k in one word.
  void (*pack)(const float *w, int64_t k, int64_t n, void *packed, int64_t from, int64_t to);
  // m = mx ⊙ (h · Wmh).
  void (*forward_m)(const Forward &, int64_t t, int64_t from, int64_t to);
  // Gates from zx + m · Wh, then c and h.
  void (*forward_gates)(const Forward &, int64_t t, int64_t from, int64_t to);
  // dh of step t from that of the step after, then dz and dc.
  void (*backward_gates)(const Backward &, int64_t t, int64_t from, int64_t to);
  // d(m), then d(mx) and d(h · Wmh).
  void (*backward_m)(const Backward &, int64_t t, int64_t from, int64_t to);
  // dh of the state before the first step.
  void (*backward_start)(const Backward &, int64_t from, int64_t to);
  // c: [units, n] = aᵀ · b, of panels with `rows` rows each; panels [from, to) of b.
  void (*weight_gradient)(const void *a, const void *b, int64_t rows, int64_t units, int64_t n,
                          float *c, int64_t from, int64_t to);
};

SHIM_TABLES(Kernels);

}  // namespace mlstm
