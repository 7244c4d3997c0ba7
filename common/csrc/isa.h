// Which vector instructions a kernel may use: those that libtorch's own kernels use here, so that
// `ATEN_CPU_CAPABILITY` holds for both.
//
// A kernel's body is an always-inlined template; wrappers with `SHIM_AVX2` or `SHIM_AVX512` compile
// it for those processors, one without for every other. Contraction is off, so that all three give
// the same bits unless the body fuses multiplications and additions itself.
#pragma once

#include <ATen/Version.h>

#define SHIM_INLINE [[gnu::always_inline]] inline

#if defined(__x86_64__)
#define SHIM_AVX2 [[gnu::target("avx2,fma")]]
#define SHIM_AVX512 \
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")]]
#else
#define SHIM_AVX2
#define SHIM_AVX512
#endif

namespace shim {

enum class Isa { baseline, avx2, avx512 };

inline Isa isa() {
  static const Isa found = [] {
    // Later processors have names that only begin so, such as AVX512_VNNI.
    auto name = at::get_cpu_capability();
    return name.starts_with("AVX512") ? Isa::avx512
           : name.starts_with("AVX2") ? Isa::avx2
                                      : Isa::baseline;
  }();
  return found;
}

}  // namespace shim
