// Causal self-attention of one head of one sequence, a block of queries at a time, so that scores
// are never stored: what attention_kernel.cpp computes and attention.cpp drives.
//
// `T` tokens, `D` channels of a head. Numbers are fp32, or bf16 with fp32 sums and weights that are
// rounded before they multiply.
#pragma once

#include "tables.h"

#include <cstdint>

namespace attention {

// Of one head: where its first token's numbers are. Tokens of q, k, v and their gradients are
// `qkv_stride` numbers apart, those of `out` and its gradient `out_stride`.
struct Head {
  int64_t tokens, channels, qkv_stride, out_stride;
  float scale;  // of the products of queries and keys
  const void *q, *k, *v;
  void *out;    // [T, D]; read by `backward`
  float *lse;   // [T]: logarithm of the sum of e^score; written by `forward`, may be null there
  // `backward` only:
  const void *d_out;
  void *dq, *dk, *dv;
};

struct Kernels {
  // Bytes that each of the two functions works in.
  int64_t (*scratch)(int64_t tokens, int64_t channels);
  void (*forward)(const Head &, void *scratch);
  void (*backward)(const Head &, void *scratch);
};

SHIM_TABLES(Kernels);

}  // namespace attention
