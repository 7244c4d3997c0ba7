// See attention_kernel.h. Compiled once for each instruction set (build.rs), with SHIM_ISA naming it.
//
// With S = scale · Q·Kᵀ below the diagonal, P = softmax(S) and O = P·V:
//   dV = Pᵀ·dO, dP = dO·Vᵀ, dS = scale · P ∘ (dP − rowsum(dO ∘ O)), dQ = dS·K, dK = dSᵀ·Q.
// Backward computes P again from the logarithm of each row's sum.
//
// The right side of a product is packed: [k, columns] of words, of bf16 two k in one. Its left side
// lies by rows, words of adjacent k; or across, packed as a right side is, to be read transposed.

#include "attention_kernel.h"
#include "vectors.h"

namespace {

using attention::Head;
using attention::Kernels;

constexpr int64_t BLOCK = 32;  // queries
constexpr int VECTORS = 2;     // ROWS x VECTORS sums stay in registers
constexpr int64_t WIDE = VECTORS * LANES;
#ifdef __AVX512F__
constexpr int64_t ROWS = 8;
#else
constexpr int64_t ROWS = 4;
#endif

// --- the product ---------------------------------------------------------------------------

// c[r][:] (+)= Σ_k a(r, k) · b[k][:] for ROWS rows and WIDE columns.
template <bool ACROSS, bool ADD, class Word>
inline __attribute__((always_inline)) void tile(const Word *a, int64_t a_stride, const Word *b,
                                                int64_t b_stride, int64_t depth, float *c,
                                                int64_t c_stride) {
  Vec sum[ROWS][VECTORS];
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v)
      sum[r][v] = ADD ? load(c + r * c_stride + v * LANES) : Vec{};
  for (int64_t k = 0; k < depth; ++k) {
    decltype(load_words(b)) words[VECTORS];
    for (int v = 0; v < VECTORS; ++v) words[v] = load_words(b + k * b_stride + v * LANES);
    for (int r = 0; r < ROWS; ++r) {
      Word factor = ACROSS ? a[k * a_stride + r] : a[r * a_stride + k];
      for (int v = 0; v < VECTORS; ++v) sum[r][v] = multiply_add(sum[r][v], factor, words[v]);
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v) store(c + r * c_stride + v * LANES, sum[r][v]);
}

// The same for `rows`, a multiple of ROWS, and `columns`, one of WIDE.
template <bool ACROSS, bool ADD, class Word>
void product(int64_t rows, int64_t columns, const Word *a, int64_t a_stride, const Word *b,
             int64_t b_stride, int64_t depth, float *c, int64_t c_stride) {
  for (int64_t j = 0; j < columns; j += WIDE)
    for (int64_t r = 0; r < rows; r += ROWS)
      tile<ACROSS, ADD>(ACROSS ? a + r : a + r * a_stride, a_stride, b + j, b_stride, depth,
                        c + r * c_stride + j, c_stride);
}

// --- what is laid out anew -----------------------------------------------------------------

// Rows [rows, words] of words, transposed: [words, rows].
template <class Word>
void transpose(const Word *from, int64_t rows, int64_t words, Word *to) {
  constexpr int64_t SIDE = 16;  // a line of the cache
  for (int64_t r0 = 0; r0 < rows; r0 += SIDE)
    for (int64_t w = 0; w < words; ++w)
      for (int64_t r = r0; r < smaller(r0 + SIDE, rows); ++r) to[w * rows + r] = from[r * words + w];
}

// Rows [rows, columns] of elements as a right side: [rows, columns] of words.
template <class Type>
void pair_rows(const typename Type::Element *from, int64_t rows, int64_t columns,
               typename Type::Word *to) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t j = 0; j < columns; j += LANES)
      put_pair(to + r / Type::PER_WORD * columns + j, columns, load(from + r * columns + j),
               load(from + (r + 1) * columns + j));
}

// The working memory of one head, cut from one piece. T and D are padded, with zeros.
template <class Type>
struct Room {
  typedef typename Type::Element Element;
  typedef typename Type::Word Word;
  static constexpr int64_t P = Type::PER_WORD;

  const int64_t T, D;
  int64_t bytes = 0;
  Element *q, *k, *v, *d_out;                       // [T, D]
  Word *k_across, *v_across;                        // [D, T] as right sides
  Word *q_pairs, *k_pairs, *v_pairs, *d_out_pairs;  // [T, D] as right sides
  float *scores, *d_weights;                        // [BLOCK, T]
  Element *weights;                                 // [BLOCK, T]; backward: the gradient of scores
  Word *weight_pairs, *d_score_pairs;               // [BLOCK, T] as right sides
  float *block;                                     // [BLOCK, D]
  float *dk, *dv;                                   // [T, D]

  Room(int64_t tokens, int64_t channels, void *memory)
      : T(rounded_up(tokens, BLOCK)), D(rounded_up(channels, WIDE)) {
    auto next = [&](int64_t n, int64_t size) {
      auto *at = static_cast<char *>(memory) + bytes;
      bytes += rounded_up(n * size, 64);
      return at;
    };
    auto elements = [&](int64_t n) { return reinterpret_cast<Element *>(next(n, sizeof(Element))); };
    auto words = [&](int64_t n) { return reinterpret_cast<Word *>(next(n / P, sizeof(Word))); };
    auto floats = [&](int64_t n) { return reinterpret_cast<float *>(next(n, sizeof(float))); };
    q = elements(T * D), k = elements(T * D), v = elements(T * D), d_out = elements(T * D);
    k_across = words(T * D), v_across = words(T * D);
    q_pairs = words(T * D), k_pairs = words(T * D), v_pairs = words(T * D);
    d_out_pairs = words(T * D);
    scores = floats(BLOCK * T), d_weights = floats(BLOCK * T);
    weights = elements(BLOCK * T);
    weight_pairs = words(BLOCK * T), d_score_pairs = words(BLOCK * T);
    block = floats(BLOCK * D);
    dk = floats(T * D), dv = floats(T * D);
  }

  // Numbers [T, D] of a head, tokens `stride` apart.
  void copy(const Head &head, const void *from, int64_t stride, Element *to) const {
    auto *row = static_cast<const Element *>(from);
    for (int64_t t = 0; t < T; ++t, to += D, row += stride) {
      const int64_t n = t < head.tokens ? head.channels : 0;
      int64_t d = 0;
      for (; d + LANES <= n; d += LANES) store(to + d, load(row + d));
      for (; d < D; ++d) to[d] = d < n ? row[d] : Element(0);
    }
  }

  // scores = Q·Kᵀ of the queries from `first`, for the keys up to the block's end.
  void multiply_scores(int64_t first) const {
    product<false, false>(BLOCK, first + BLOCK, as_words(q + first * D), D / P, k_across, T, D / P,
                          scores, T);
  }

  static const Word *as_words(const Element *rows) { return reinterpret_cast<const Word *>(rows); }
};

// The numbers of the lanes.
inline Vec lanes() {
  Vec lane;
  for (int i = 0; i < LANES; ++i) lane[i] = i;
  return lane;
}

// `x` where key `j` and those after it are not after the query, else `rest`.
inline Vec seen(Vec x, int64_t j, int64_t query, float rest) {
  return lanes() <= Vec{} + static_cast<float>(query - j) ? x : Vec{} + rest;
}

// Rows [rows, D] of sums, times `factors` (one a row), to a head's tokens from `first`.
template <class Element>
void write(const Head &head, const float *sums, int64_t padded, const float *factors, int64_t first,
           int64_t rows, void *to, int64_t stride) {
  auto *row = static_cast<Element *>(to) + first * stride;
  for (int64_t r = 0; r < smaller(rows, head.tokens - first); ++r, row += stride) {
    const float factor = factors ? factors[r] : 1.0f;
    int64_t d = 0;
    for (; d + LANES <= head.channels; d += LANES)
      store(row + d, load(sums + r * padded + d) * factor);
    if (d < head.channels)
      store_some(row + d, head.channels - d, load(sums + r * padded + d) * factor);
  }
}

// --- forward -------------------------------------------------------------------------------

template <class Type>
void forward(const Head &head, void *memory) {
  constexpr int64_t P = Type::PER_WORD;
  const Room<Type> room(head.tokens, head.channels, memory);
  const int64_t T = room.T, D = room.D;
  room.copy(head, head.q, head.qkv_stride, room.q);
  room.copy(head, head.k, head.qkv_stride, room.k);
  room.copy(head, head.v, head.qkv_stride, room.v);
  transpose(room.as_words(room.k), T, D / P, room.k_across);
  pair_rows<Type>(room.v, T, D, room.v_pairs);

  for (int64_t first = 0; first < head.tokens; first += BLOCK) {
    const int64_t end = first + BLOCK;
    room.multiply_scores(first);
    float over_sums[BLOCK];
    for (int64_t r = 0; r < BLOCK; ++r) {
      float *row = room.scores + r * T;
      Vec largest = Vec{} - 3e38f;
      for (int64_t j = 0; j < end; j += LANES)
        largest = larger(seen(load(row + j), j, first + r, -3e38f), largest);
      const float top = head.scale * largest_of(largest);
      Vec sums{};
      for (int64_t j = 0; j < end; j += LANES) {
        Vec power = seen(exp(load(row + j) * head.scale - top), j, first + r, 0.0f);
        store(room.weights + r * T + j, power);
        sums += power;
      }
      const float sum = sum_of(sums);
      over_sums[r] = 1.0f / sum;
      if (head.lse && first + r < head.tokens) head.lse[first + r] = top + __builtin_logf(sum);
    }
    product<false, false>(BLOCK, D, room.as_words(room.weights), T / P, room.v_pairs, D, end / P,
                          room.block, D);
    write<typename Type::Element>(head, room.block, D, over_sums, first, BLOCK, head.out,
                                  head.out_stride);
  }
}

// --- backward ------------------------------------------------------------------------------

// Σ dO ∘ O of each of the block's queries.
template <class Element>
void inner_products(const Head &head, int64_t first, float *to) {
  for (int64_t r = 0; r < BLOCK; ++r) {
    to[r] = 0;
    if (first + r >= head.tokens) continue;
    const int64_t at = (first + r) * head.out_stride;
    auto *out = static_cast<const Element *>(head.out) + at;
    auto *d_out = static_cast<const Element *>(head.d_out) + at;
    int64_t d = 0;
    Vec sum{};
    for (; d + LANES <= head.channels; d += LANES) sum += load(out + d) * load(d_out + d);
    if (d < head.channels)
      sum += load_some(out + d, head.channels - d, Element(0)) *
             load_some(d_out + d, head.channels - d, Element(0));
    to[r] = sum_of(sum);
  }
}

template <class Type>
void backward(const Head &head, void *memory) {
  typedef typename Type::Element Element;
  constexpr int64_t P = Type::PER_WORD;
  const Room<Type> room(head.tokens, head.channels, memory);
  const int64_t T = room.T, D = room.D;
  room.copy(head, head.q, head.qkv_stride, room.q);
  room.copy(head, head.k, head.qkv_stride, room.k);
  room.copy(head, head.v, head.qkv_stride, room.v);
  room.copy(head, head.d_out, head.out_stride, room.d_out);
  transpose(room.as_words(room.k), T, D / P, room.k_across);
  transpose(room.as_words(room.v), T, D / P, room.v_across);
  pair_rows<Type>(room.q, T, D, room.q_pairs);
  pair_rows<Type>(room.k, T, D, room.k_pairs);
  pair_rows<Type>(room.d_out, T, D, room.d_out_pairs);
  for (int64_t i = 0; i < T * D; i += LANES) store(room.dk + i, Vec{}), store(room.dv + i, Vec{});

  for (int64_t first = 0; first < head.tokens; first += BLOCK) {
    const int64_t end = first + BLOCK;
    room.multiply_scores(first);
    product<false, false>(BLOCK, end, room.as_words(room.d_out + first * D), D / P, room.v_across,
                          T, D / P, room.d_weights, T);
    float inner[BLOCK];
    inner_products<Element>(head, first, inner);
    for (int64_t r = 0; r < BLOCK; r += 2) {
      for (int64_t j = 0; j < end; j += LANES) {
        Vec weight[2], d_score[2];
        for (int which = 0; which < 2; ++which) {
          const int64_t row = r + which, query = first + row;
          // Rows beyond the last token have no gradient: any sum will do.
          const float lse = query < head.tokens ? head.lse[query] : 0.0f;
          Vec power = exp(load(room.scores + row * T + j) * head.scale - lse);
          weight[which] = seen(power, j, query, 0.0f);
          Vec d_weight = load(room.d_weights + row * T + j) - inner[row];
          d_score[which] = weight[which] * d_weight * head.scale;
          store(room.weights + row * T + j, d_score[which]);
        }
        put_pair(room.weight_pairs + r / P * T + j, T, weight[0], weight[1]);
        put_pair(room.d_score_pairs + r / P * T + j, T, d_score[0], d_score[1]);
      }
    }
    product<false, false>(BLOCK, D, room.as_words(room.weights), T / P, room.k_pairs, D, end / P,
                          room.block, D);
    write<Element>(head, room.block, D, nullptr, first, BLOCK, head.dq, head.qkv_stride);
    product<true, true>(end, D, room.weight_pairs, T, room.d_out_pairs + first / P * D, D,
                        BLOCK / P, room.dv, D);
    product<true, true>(end, D, room.d_score_pairs, T, room.q_pairs + first / P * D, D, BLOCK / P,
                        room.dk, D);
  }
  write<Element>(head, room.dk, D, nullptr, 0, T, head.dk, head.qkv_stride);
  write<Element>(head, room.dv, D, nullptr, 0, T, head.dv, head.qkv_stride);
}

template <class Type>
int64_t scratch(int64_t tokens, int64_t channels) {
  return Room<Type>(tokens, channels, nullptr).bytes;
}

template <class Type>
constexpr Kernels KERNELS = {scratch<Type>, forward<Type>, backward<Type>};

}  // namespace

namespace attention {
extern const Kernels SHIM_NAMED(SHIM_ISA, _fp32) = KERNELS<Fp32>;
extern const Kernels SHIM_NAMED(SHIM_ISA, _bf16) = KERNELS<Bf16>;
}  // namespace attention
