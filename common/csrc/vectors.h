// Vectors of the instruction set that a kernel is compiled for, elements in fp32 or bf16, and
// functions of them.
//
// For files that build.rs compiles once for each instruction set. Everything is in an unnamed
// namespace: of an inline function the linker would keep one copy, perhaps of an instruction set
// that the processor lacks. Vectors are the compiler's own type, so that one text serves all.
#pragma once

#include <cstdint>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

// The name of a table of kernels for this instruction set.
#define SHIM_JOINED(a, b) a##b
#define SHIM_NAMED(isa, type) SHIM_JOINED(isa, type)

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t Half __attribute__((vector_size(2 * LANES)));
// The same, at any address of an element.
typedef float VecAt __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef uint32_t BitsAt __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef uint16_t HalfAt __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// --- elements ------------------------------------------------------------------------------

inline Vec load(const float *at) { return *reinterpret_cast<const VecAt *>(at); }
inline void store(float *at, Vec x) { *reinterpret_cast<VecAt *>(at) = x; }

// To nearest, ties to even, in the upper half of each word. A NaN of arithmetic stays one.
inline Bits rounded(Vec x) {
  Bits bits = reinterpret_cast<Bits>(x);
  return bits + 0x7fff + ((bits >> 16) & 1);
}

inline Vec load(const uint16_t *at) {
  Bits bits = __builtin_convertvector(*reinterpret_cast<const HalfAt *>(at), Bits) << 16;
  return reinterpret_cast<Vec>(bits);
}
inline void store(uint16_t *at, Vec x) {
  *reinterpret_cast<HalfAt *>(at) = __builtin_convertvector(rounded(x) >> 16, Half);
}

// `Element` is what an array holds, `Word` what a product reads at a time: one fp32 or two bf16.
struct Fp32 {
  typedef float Element;
  typedef float Word;
  typedef Vec Words;
  static constexpr int PER_WORD = 1;
};
struct Bf16 {
  typedef uint16_t Element;
  typedef uint32_t Word;
  typedef Bits Words;
  static constexpr int PER_WORD = 2;
};

// Numbers of an even row and of the next one as words, at the even one's place; rows of words are
// `stride` apart.
inline void put_pair(float *words, int64_t stride, Vec even, Vec odd) {
  store(words, even);
  store(words + stride, odd);
}
inline void put_pair(uint32_t *words, int64_t, Vec even, Vec odd) {
  Bits pairs = (rounded(even) >> 16) | (rounded(odd) & 0xffff0000);
  *reinterpret_cast<BitsAt *>(words) = pairs;
}

inline Vec load_words(const float *at) { return load(at); }
inline Bits load_words(const uint32_t *at) { return *reinterpret_cast<const BitsAt *>(at); }

inline Vec multiply_add(Vec sum, float a, Vec b) { return sum + a * b; }
inline Vec multiply_add(Vec sum, uint32_t a, Bits b) {
  Bits all = Bits{} + a;
#ifdef __AVX512BF16__
  return reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                reinterpret_cast<__m512bh>(all),
                                                reinterpret_cast<__m512bh>(b)));
#else
  Bits low_a = all << 16, high_a = all & 0xffff0000, low_b = b << 16, high_b = b & 0xffff0000;
  sum += reinterpret_cast<Vec>(low_a) * reinterpret_cast<Vec>(low_b);
  return sum + reinterpret_cast<Vec>(high_a) * reinterpret_cast<Vec>(high_b);
#endif
}

// What e^x is made of: 2^n and e^r − 1, of x = n·ln 2 + r with |r| ≤ ln 2 / 2; x beyond ±87 counts
// as ±87. e^r − 1 by its series to r^7: relative error below 3e-7.
struct Power {
  Vec power, series;
};
inline Power power_of(Vec x) {
  x = x > 87.0f ? Vec{} + 87.0f : x;
  x = x < -87.0f ? Vec{} - 87.0f : x;
  const float to_integer = 12582912.0f;  // 1.5 · 2^23: adding it leaves no place for a fraction
  Vec shifted = x * 1.44269504f + to_integer;
  Vec n = shifted - to_integer;
  Vec r = x - n * (355.0f / 512);  // ln 2 in two parts: the first times n is exact
  r = r + n * 2.12194440e-4f;
  Vec series = r * (1.0f / 5040) + (1.0f / 720);
  series = series * r + (1.0f / 120);
  series = series * r + (1.0f / 24);
  series = series * r + (1.0f / 6);
  series = series * r + 0.5f;
  series = series * r * r + r;
  Bits power_bits = (reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000;
  return {reinterpret_cast<Vec>(power_bits), series};
}

inline Vec exp(Vec x) {
  Power e = power_of(x);
  return e.power * e.series + e.power;
}

inline Vec exp_minus_1(Vec x) {
  Power e = power_of(x);
  return e.power * e.series + (e.power - 1.0f);
}

inline Vec sigmoid(Vec x) { return 1.0f / (exp_minus_1(-x) + 2.0f); }

inline Vec tanh(Vec x) {
  Vec e = exp_minus_1(x + x);
  return e / (e + 2.0f);
}

inline int64_t rounded_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

inline float sum_of(Vec x) {
  float sum = 0;
  for (int i = 0; i < LANES; ++i) sum += x[i];
  return sum;
}

inline float largest_of(Vec x) {
  float largest = x[0];
  for (int i = 1; i < LANES; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// The first `n` elements, `rest` beyond; and back.
template <class Element>
inline Vec load_some(const Element *at, int64_t n, Element rest) {
  Element all[LANES];
  for (int i = 0; i < LANES; ++i) all[i] = i < n ? at[i] : rest;
  return load(all);
}
template <class Element>
inline void store_some(Element *at, int64_t n, Vec x) {
  Element all[LANES];
  store(all, x);
  for (int i = 0; i < LANES && i < n; ++i) at[i] = all[i];
}

}  // namespace
