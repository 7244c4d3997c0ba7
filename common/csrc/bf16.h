// bf16 as kernels see it: its bits in memory, a float in registers.
#pragma once

#include "isa.h"

#include <bit>
#include <cstdint>
#include <type_traits>

namespace shim {

struct Bf16 {
  uint16_t bits;
};

// What a number stored as `T` is worked on as.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <typename T>
SHIM_INLINE Wide<T> widen(T value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
  } else {
    return value;
  }
}

// Rounds to the nearest, ties to even; a NaN stays one.
template <typename T>
SHIM_INLINE T narrow(Wide<T> value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    auto bits = std::bit_cast<uint32_t>(value);
    auto rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return {static_cast<uint16_t>(value != value ? 0x7fc0 : rounded)};
  } else {
    return value;
  }
}

}  // namespace shim
