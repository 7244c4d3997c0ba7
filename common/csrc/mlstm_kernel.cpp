// See mlstm_kernel.h. Compiled once for each instruction set (build.rs), with SHIM_ISA naming it.

#include "mlstm_kernel.h"
#include "vectors.h"

namespace {

using mlstm::Backward;
using mlstm::Forward;
using mlstm::Kernels;

#if defined(__AVX512F__)
constexpr int TILE_VECTORS = 4;
#else
constexpr int TILE_VECTORS = 2;
#endif
constexpr int TILE_ROWS = 6;         // TILE_ROWS x TILE_VECTORS sums stay in registers
constexpr int PANEL = 4 * LANES;     // columns
constexpr int64_t DEPTH = 512;       // words of a panel that one pass over the rows uses: they stay in L2
constexpr int64_t BLOCK_ROWS = 132;  // rows whose sums lie on the stack

// Rows `row`, `row + 1` (row even) of one panel, columns from `column`.
inline void put_rows(float *panel, int64_t row, int column, Vec even, Vec odd) {
  put_pair(panel + row * PANEL + column, PANEL, even, odd);
}
inline void put_rows(uint32_t *panel, int64_t row, int column, Vec even, Vec odd) {
  put_pair(panel + row / 2 * PANEL + column, PANEL, even, odd);
}

// --- the product ---------------------------------------------------------------------------

// sums[r][:] += Σ_k a(r, k) · b[k][:] for ROWS rows. `a` lies by rows of `stride` words, or
// (ACROSS) in a panel, where the rows are adjacent and the k PANEL words apart.
template <int ROWS, bool ACROSS, class Word>
inline __attribute__((always_inline)) void tile(const Word *a, int64_t stride, const Word *b,
                                                int64_t depth, float *sums, int64_t sums_stride) {
  Vec sum[ROWS][TILE_VECTORS];
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < TILE_VECTORS; ++v) sum[r][v] = load(sums + r * sums_stride + v * LANES);
  for (int64_t k = 0; k < depth; ++k) {
    decltype(load_words(b)) words[TILE_VECTORS];
    for (int v = 0; v < TILE_VECTORS; ++v) words[v] = load_words(b + k * PANEL + v * LANES);
    for (int r = 0; r < ROWS; ++r) {
      Word factor = ACROSS ? a[k * PANEL + r] : a[r * stride + k];
      for (int v = 0; v < TILE_VECTORS; ++v)
        sum[r][v] = multiply_add(sum[r][v], factor, words[v]);
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < TILE_VECTORS; ++v) store(sums + r * sums_stride + v * LANES, sum[r][v]);
}

// The same for any number of rows and a whole panel.
template <bool ACROSS, class Word>
void tiles(int64_t rows, const Word *a, int64_t stride, const Word *b, int64_t depth, float *sums,
           int64_t sums_stride) {
  for (int64_t r = 0; r < rows; r += TILE_ROWS) {
    const Word *a_r = ACROSS ? a + r : a + r * stride;
    for (int column = 0; column < PANEL; column += TILE_VECTORS * LANES) {
      float *c = sums + r * sums_stride + column;
      const Word *b_c = b + column;
      switch (smaller(rows - r, TILE_ROWS)) {
        case 1: tile<1, ACROSS>(a_r, stride, b_c, depth, c, sums_stride); break;
        case 2: tile<2, ACROSS>(a_r, stride, b_c, depth, c, sums_stride); break;
        case 3: tile<3, ACROSS>(a_r, stride, b_c, depth, c, sums_stride); break;
        case 4: tile<4, ACROSS>(a_r, stride, b_c, depth, c, sums_stride); break;
        case 5: tile<5, ACROSS>(a_r, stride, b_c, depth, c, sums_stride); break;
        default: tile<TILE_ROWS, ACROSS>(a_r, stride, b_c, depth, c, sums_stride);
      }
    }
  }
}

// Column panel `panel` of a · b, a: [rows, k] elements; hands each two rows of sums to
// `done(row, even, odd)`.
template <class Type, class Done>
void product(const void *a_, const void *packed, int64_t panel, int64_t rows, int64_t k,
             const Done &done) {
  typedef typename Type::Word Word;
  alignas(64) float sums[BLOCK_ROWS * PANEL];
  int64_t depth = k / Type::PER_WORD;
  auto *a = static_cast<const Word *>(a_);
  auto *b = static_cast<const Word *>(packed) + panel * depth * PANEL;
  for (int64_t first = 0; first < rows; first += BLOCK_ROWS) {
    int64_t n = smaller(rows - first, BLOCK_ROWS);
    for (int64_t i = 0; i < n * PANEL; i += LANES) store(sums + i, Vec{});
    for (int64_t at = 0; at < depth; at += DEPTH) {
      tiles<false>(n, a + first * depth + at, depth, b + at * PANEL, smaller(DEPTH, depth - at),
                   sums, PANEL);
    }
    for (int64_t r = 0; r < n; r += 2) done(first + r, sums + r * PANEL, sums + (r + 1) * PANEL);
  }
}

// --- the gates -----------------------------------------------------------------------------

// --- forward -------------------------------------------------------------------------------

template <class Type>
void forward_m(const Forward &f, int64_t t, int64_t from, int64_t to) {
  typedef typename Type::Element Element;
  auto *h = static_cast<const Element *>(f.hs) + t * f.rows * f.units;
  auto *m = static_cast<Element *>(f.m);
  for (int64_t panel = from; panel < to; ++panel) {
    product<Type>(h, f.wmh, panel, f.rows, f.units,
                  [&](int64_t row, const float *even, const float *odd) {
      for (int which = 0; which < 2; ++which) {
        int64_t r = row + which;
        const float *mx = f.mx + f.symbols[t * f.rows + r] * f.units + panel * PANEL;
        int64_t at = r * f.units + panel * PANEL;
        for (int j = 0; j < PANEL; j += LANES) {
          Vec hm = load((which ? odd : even) + j);
          if (f.hm) store(f.hm + t * f.rows * f.units + at + j, hm);
          store(m + at + j, load(mx + j) * hm);
        }
      }
    });
  }
}

template <class Type>
void forward_gates(const Forward &f, int64_t t, int64_t from, int64_t to) {
  typedef typename Type::Element Element;
  const int64_t step = f.rows * f.units;
  const float *c_before = f.cs + t * step;
  float *c_after = f.cs + (t + 1) * step;
  auto *h_after = static_cast<Element *>(f.hs) + (t + 1) * step;
  for (int64_t panel = from; panel < to; ++panel) {
    product<Type>(f.m, f.wh, panel, f.rows, f.units,
                  [&](int64_t row, const float *even, const float *odd) {
      for (int which = 0; which < 2; ++which) {
        int64_t r = row + which, at = r * f.units + panel * LANES;
        const float *z = which ? odd : even;
        const float *zx = f.zx + f.symbols[t * f.rows + r] * 4 * f.units + panel * PANEL;
        Vec in = sigmoid(load(z) + load(zx));
        Vec forget = sigmoid(load(z + LANES) + load(zx + LANES));
        Vec out = sigmoid(load(z + 2 * LANES) + load(zx + 2 * LANES));
        Vec update = tanh(load(z + 3 * LANES) + load(zx + 3 * LANES));
        Vec c = forget * load(c_before + at) + in * update;
        Vec h = out * tanh(c);
        store(c_after + at, c);
        store(h_after + at, h);
        store(f.h + at, h);
        if (f.gates) {
          float *gates = f.gates + (t * f.rows + r) * 4 * f.units + panel * PANEL;
          store(gates, in);
          store(gates + LANES, forget);
          store(gates + 2 * LANES, out);
          store(gates + 3 * LANES, update);
        }
      }
    });
  }
}

// --- backward ------------------------------------------------------------------------------

// Where panel `panel` of `rows` rows begins.
template <class Type>
typename Type::Word *panel_of(void *panels, int64_t panel, int64_t rows) {
  return static_cast<typename Type::Word *>(panels) + panel * (rows / Type::PER_WORD) * PANEL;
}

// From dh of LANES units in one row: dc, and the gradients of the four pre-activations.
inline void gates_backward(Vec dh, const float *gates, const float *c_before, const float *c_after,
                           float *dc, Vec dz[4]) {
  Vec in = load(gates), forget = load(gates + LANES);
  Vec out = load(gates + 2 * LANES), update = load(gates + 3 * LANES);
  Vec squashed = tanh(load(c_after));
  Vec dc_now = load(dc) + dh * out * (1.0f - squashed * squashed);
  dz[0] = dc_now * update * in * (1.0f - in);
  dz[1] = dc_now * load(c_before) * forget * (1.0f - forget);
  dz[2] = dh * squashed * out * (1.0f - out);
  dz[3] = dc_now * in * (1.0f - update * update);
  store(dc, dc_now * forget);
}

template <class Type>
void backward_gates(const Backward &b, int64_t t, int64_t from, int64_t to) {
  typedef typename Type::Element Element;
  const int64_t step = b.rows * b.units, all_rows = b.time * b.rows;
  auto *dhs = static_cast<const Element *>(b.dhs);
  auto *h_before = static_cast<const Element *>(b.hs) + t * step;
  auto *dz_step = static_cast<Element *>(b.dz);
  for (int64_t panel = from; panel < to; ++panel) {
    auto *h_panel = panel_of<Type>(b.h_panels, panel, all_rows);
    auto done = [&](int64_t row, const float *even, const float *odd) {
      for (int v = 0; v < 4; ++v) {
        int64_t group = 4 * panel + v;  // LANES units: one panel of the gates
        Vec dz[2][4];
        for (int which = 0; which < 2; ++which) {
          int64_t r = row + which, at = r * b.units + group * LANES;
          Vec dh = load((which ? odd : even) + v * LANES);
          if (dhs) dh += load(dhs + t * step + at);
          gates_backward(dh, b.gates + (t * b.rows + r) * 4 * b.units + group * PANEL,
                         b.cs + t * step + at, b.cs + (t + 1) * step + at, b.dc + at, dz[which]);
          float *dzx = b.dzx + b.symbols[t * b.rows + r] * 4 * b.units + group * PANEL;
          for (int gate = 0; gate < 4; ++gate) {
            store(dz_step + r * 4 * b.units + group * PANEL + gate * LANES, dz[which][gate]);
            store(dzx + gate * LANES, load(dzx + gate * LANES) + dz[which][gate]);
          }
        }
        auto *dz_panel = panel_of<Type>(b.dz_panels, group, all_rows);
        for (int gate = 0; gate < 4; ++gate)
          put_rows(dz_panel, t * b.rows + row, gate * LANES, dz[0][gate], dz[1][gate]);
        const Element *h = h_before + row * b.units + group * LANES;
        put_rows(h_panel, t * b.rows + row, v * LANES, load(h), load(h + b.units));
      }
    };
    if (t == b.time - 1) {
      const float *dh = b.dh + panel * PANEL;
      for (int64_t r = 0; r < b.rows; r += 2) done(r, dh + r * b.units, dh + (r + 1) * b.units);
    } else {
      product<Type>(b.dhm, b.wmh_t, panel, b.rows, b.units, done);
    }
  }
}

template <class Type>
void backward_m(const Backward &b, int64_t t, int64_t from, int64_t to) {
  typedef typename Type::Element Element;
  const int64_t all_rows = b.time * b.rows;
  auto *dhm_step = static_cast<Element *>(b.dhm);
  for (int64_t panel = from; panel < to; ++panel) {
    auto *m_panel = panel_of<Type>(b.m_panels, panel, all_rows);
    auto *dhm_panel = panel_of<Type>(b.dhm_panels, panel, all_rows);
    product<Type>(b.dz, b.wh_t, panel, b.rows, 4 * b.units,
                  [&](int64_t row, const float *even, const float *odd) {
      for (int j = 0; j < PANEL; j += LANES) {
        Vec m[2], dhm[2];
        for (int which = 0; which < 2; ++which) {
          int64_t r = row + which, at = r * b.units + panel * PANEL + j;
          int64_t entry = b.symbols[t * b.rows + r] * b.units + panel * PANEL + j;
          Vec dm = load((which ? odd : even) + j);
          Vec mx = load(b.mx + entry), hm = load(b.hm + t * b.rows * b.units + at);
          m[which] = mx * hm;
          dhm[which] = dm * mx;
          store(dhm_step + at, dhm[which]);
          store(b.dmx + entry, load(b.dmx + entry) + dm * hm);
        }
        put_rows(m_panel, t * b.rows + row, j, m[0], m[1]);
        put_rows(dhm_panel, t * b.rows + row, j, dhm[0], dhm[1]);
      }
    });
  }
}

template <class Type>
void backward_start(const Backward &b, int64_t from, int64_t to) {
  for (int64_t panel = from; panel < to; ++panel) {
    product<Type>(b.dhm, b.wmh_t, panel, b.rows, b.units,
                  [&](int64_t row, const float *even, const float *odd) {
      float *dh = b.dh + row * b.units + panel * PANEL;
      for (int j = 0; j < PANEL; j += LANES) {
        store(dh + j, load(even + j));
        store(dh + b.units + j, load(odd + j));
      }
    });
  }
}

template <class Type>
void weight_gradient(const void *a_, const void *b_, int64_t rows, int64_t units, int64_t n,
                     float *c, int64_t from, int64_t to) {
  typedef typename Type::Word Word;
  constexpr int64_t TOGETHER = 4;  // panels of b for which one block of a is read
  const int64_t depth = rows / Type::PER_WORD;
  auto *a = static_cast<const Word *>(a_);
  auto *b = static_cast<const Word *>(b_);
  for (int64_t r = 0; r < units; ++r)
    for (int64_t j = from * PANEL; j < to * PANEL; j += LANES) store(c + r * n + j, Vec{});
  for (int64_t first = from; first < to; first += TOGETHER) {
    for (int64_t at = 0; at < depth; at += DEPTH) {
      for (int64_t above = 0; above < units / PANEL; ++above) {
        for (int64_t panel = first; panel < smaller(first + TOGETHER, to); ++panel) {
          tiles<true>(PANEL, a + (above * depth + at) * PANEL, 0, b + (panel * depth + at) * PANEL,
                      smaller(DEPTH, depth - at), c + above * PANEL * n + panel * PANEL, n);
        }
      }
    }
  }
}

// --- packing -------------------------------------------------------------------------------

template <class Type>
void pack(const float *w, int64_t k, int64_t n, void *packed, int64_t from, int64_t to) {
  for (int64_t panel = from; panel < to; ++panel) {
    auto *out = panel_of<Type>(packed, panel, k);
    for (int64_t row = 0; row < k; row += 2)
      for (int j = 0; j < PANEL; j += LANES) {
        const float *at = w + row * n + panel * PANEL + j;
        put_rows(out, row, j, load(at), load(at + n));
      }
  }
}

template <class Type>
constexpr Kernels KERNELS = {LANES,
                             pack<Type>,
                             forward_m<Type>,
                             forward_gates<Type>,
                             backward_gates<Type>,
                             backward_m<Type>,
                             backward_start<Type>,
                             weight_gradient<Type>};

}  // namespace

namespace mlstm {
extern const Kernels SHIM_NAMED(SHIM_ISA, _fp32) = KERNELS<Fp32>;
extern const Kernels SHIM_NAMED(SHIM_ISA, _bf16) = KERNELS<Bf16>;
}  // namespace mlstm
