// See rows_kernel.h. Compiled once for each instruction set (build.rs), with SHIM_ISA naming it.

#include "rows_kernel.h"
#include "vectors.h"

namespace {

using rows::Kernels;

// --- GELU ----------------------------------------------------------------------------------

// u · (1 + tanh z) / 2 with z = √(2/π) · (u + 0.044715 u³), which is u · sigmoid(2 z).
constexpr float TWICE_ROOT = 1.59576912f;  // 2 · √(2/π)
constexpr float CUBIC = 0.044715f;

inline Vec gate_of(Vec u) { return sigmoid(TWICE_ROOT * (u + CUBIC * u * u * u)); }

template <class Element>
void gelu(const Element *u, int64_t n, Element *g) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    Vec x = load(u + i);
    store(g + i, x * gate_of(x));
  }
  if (i < n) {
    Vec x = load_some(u + i, n - i, Element(0));
    store_some(g + i, n - i, x * gate_of(x));
  }
}

struct Gelu {
  Vec value, slope;
};
inline Gelu gelu_of(Vec u) {
  Vec gate = gate_of(u);
  Vec inner = TWICE_ROOT * (1.0f + 3 * CUBIC * u * u);
  return {u * gate, gate + u * gate * (1.0f - gate) * inner};
}

template <class Element>
void gelu_backward(const Element *u, Element *dg, int64_t rows, int64_t columns, int64_t from,
                   int64_t to, Element *g, float *sums) {
  for (int64_t j = from; j < to; ++j) sums[j] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const Element *u_row = u + row * columns;
    Element *dg_row = dg + row * columns, *g_row = g + row * columns;
    int64_t j = from;
    for (; j + LANES <= to; j += LANES) {
      Gelu at = gelu_of(load(u_row + j));
      Vec du = load(dg_row + j) * at.slope;
      store(g_row + j, at.value);
      store(dg_row + j, du);
      store(sums + j, load(sums + j) + du);
    }
    if (j < to) {
      Gelu at = gelu_of(load_some(u_row + j, to - j, Element(0)));
      Vec du = load_some(dg_row + j, to - j, Element(0)) * at.slope;
      store_some(g_row + j, to - j, at.value);
      store_some(dg_row + j, to - j, du);
      store_some(sums + j, to - j, load_some(sums + j, to - j, 0.0f) + du);
    }
  }
}

// --- the loss of scores --------------------------------------------------------------------

inline float wide(float x) { return x; }
inline float wide(uint16_t x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16); }
inline void put(float *at, float x) { *at = x; }
inline void put(uint16_t *at, float x) { store_some(at, 1, Vec{} + x); }
// A score that no other is below: e to it is 0.
inline float lowest(const float *) { return -3e38f; }
inline uint16_t lowest(const uint16_t *) { return 0xff7f; }

template <class Element>
float largest(const Element *row, int64_t n) {
  Vec found = Vec{} - 3e38f;
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) found = larger(load(row + j), found);
  if (j < n) found = larger(load_some(row + j, n - j, lowest(row)), found);
  return largest_of(found);
}

template <class Element>
float sum_of_powers(const Element *row, int64_t n, float top) {
  Vec sum{};
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) sum += exp(load(row + j) - top);
  float all = sum_of(sum);
  if (j < n) {
    Vec last = exp(load_some(row + j, n - j, lowest(row)) - top);
    for (int i = 0; i < n - j; ++i) all += last[i];
  }
  return all;
}

template <class Element>
void cross_entropy(Element *scores, const int64_t *targets, const float *weights, int64_t rows,
                   int64_t vocab, float *losses) {
  for (int64_t r = 0; r < rows; ++r) {
    Element *row = scores + r * vocab;
    float top = largest(row, vocab);
    float total = top + __builtin_logf(sum_of_powers(row, vocab, top));
    float target = wide(row[targets[r]]);
    losses[r] = total - target;
    if (weights == nullptr) continue;
    float weight = weights[r];
    int64_t j = 0;
    for (; j + LANES <= vocab; j += LANES) store(row + j, exp(load(row + j) - total) * weight);
    if (j < vocab) {
      Vec last = exp(load_some(row + j, vocab - j, lowest(row)) - total) * weight;
      store_some(row + j, vocab - j, last);
    }
    put(row + targets[r], (exp(Vec{} + (target - total))[0] - 1.0f) * weight);
  }
}

// --- log-probabilities of scores ------------------------------------------------------------

template <class Element>
void log_probs(Element *scores, const int64_t *targets, float scale, int64_t rows, int64_t vocab,
               bool keep, float *log_probs, float *entropies) {
  for (int64_t r = 0; r < rows; ++r) {
    Element *row = scores + r * vocab;
    float top = largest(row, vocab) * scale;
    // Of powers, and of powers times what they are of.
    Vec sum{}, weighted{};
    int64_t j = 0;
    for (; j + LANES <= vocab; j += LANES) {
      Vec z = load(row + j) * scale - top;
      Vec power = exp(z);
      sum += power;
      weighted += power * z;
    }
    float all = sum_of(sum), all_weighted = sum_of(weighted);
    if (j < vocab) {
      Vec z = load_some(row + j, vocab - j, Element(0)) * scale - top;
      Vec power = exp(z);
      for (int i = 0; i < vocab - j; ++i) {
        all += power[i];
        all_weighted += power[i] * z[i];
      }
    }
    float log_sum = __builtin_logf(all);
    log_probs[r] = wide(row[targets[r]]) * scale - top - log_sum;
    entropies[r] = log_sum - all_weighted / all;
    if (!keep) continue;
    float total = top + log_sum;
    j = 0;
    for (; j + LANES <= vocab; j += LANES) store(row + j, exp(load(row + j) * scale - total));
    if (j < vocab) {
      Vec last = exp(load_some(row + j, vocab - j, Element(0)) * scale - total);
      store_some(row + j, vocab - j, last);
    }
  }
}

template <class Element>
void log_probs_backward(const Element *probabilities, const int64_t *targets, const float *grads,
                        int64_t rows, int64_t vocab, Element *dscores) {
  for (int64_t r = 0; r < rows; ++r) {
    const Element *row = probabilities + r * vocab;
    Element *out = dscores + r * vocab;
    float grad = grads[r];
    int64_t j = 0;
    for (; j + LANES <= vocab; j += LANES) store(out + j, load(row + j) * -grad);
    if (j < vocab) {
      store_some(out + j, vocab - j, load_some(row + j, vocab - j, Element(0)) * -grad);
    }
    put(out + targets[r], (1.0f - wide(row[targets[r]])) * grad);
  }
}

// --- the table -----------------------------------------------------------------------------

template <class Type>
struct Of {
  typedef typename Type::Element Element;

  static void gelu(const void *u, int64_t n, void *g) {
    ::gelu(static_cast<const Element *>(u), n, static_cast<Element *>(g));
  }
  static void gelu_backward(const void *u, void *dg, int64_t rows, int64_t columns, int64_t from,
                            int64_t to, void *g, float *sums) {
    ::gelu_backward(static_cast<const Element *>(u), static_cast<Element *>(dg), rows, columns,
                    from, to, static_cast<Element *>(g), sums);
  }
  static void cross_entropy(void *scores, const int64_t *targets, const float *weights,
                            int64_t rows, int64_t vocab, float *losses) {
    ::cross_entropy(static_cast<Element *>(scores), targets, weights, rows, vocab, losses);
  }
  static void log_probs(void *scores, const int64_t *targets, float scale, int64_t rows,
                        int64_t vocab, bool keep, float *log_probs, float *entropies) {
    ::log_probs(static_cast<Element *>(scores), targets, scale, rows, vocab, keep, log_probs,
                entropies);
  }
  static void log_probs_backward(const void *probabilities, const int64_t *targets,
                                 const float *grads, int64_t rows, int64_t vocab, void *dscores) {
    ::log_probs_backward(static_cast<const Element *>(probabilities), targets, grads, rows, vocab,
                         static_cast<Element *>(dscores));
  }
  static constexpr Kernels KERNELS = {gelu, gelu_backward, cross_entropy, log_probs,
                                      log_probs_backward};
};

}  // namespace

namespace rows {
extern const Kernels SHIM_NAMED(SHIM_ISA, _fp32) = Of<Fp32>::KERNELS;
extern const Kernels SHIM_NAMED(SHIM_ISA, _bf16) = Of<Bf16>::KERNELS;
}  // namespace rows
