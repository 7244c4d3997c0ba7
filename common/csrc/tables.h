// Tables of kernels that build.rs compiles for several instruction sets, and the choice of one.
//
// A table is named by instruction set and element type: `avx512_bf16`. The fourth set has products
// of bf16.
#pragma once

#ifdef __x86_64__
#define SHIM_TABLES(Kernels)                                   \
  extern const Kernels baseline_fp32, avx2_fp32, avx512_fp32,  \
      avx512bf16_fp32, baseline_bf16, avx2_bf16, avx512_bf16,  \
      avx512bf16_bf16
#else
#define SHIM_TABLES(Kernels) extern const Kernels baseline_fp32, baseline_bf16
#endif

namespace shim {

// 0 baseline, 1 AVX2, 2 AVX-512, 3 AVX-512 with bf16: what this processor has and libtorch's own
// limit (ATEN_CPU_CAPABILITY) allows.
int instruction_set();

}  // namespace shim

// The table of `space` for this processor: those of fp32, or of bf16.
#ifdef __x86_64__
#define SHIM_TABLE(space, type)                                                     \
  (*(const decltype(space::baseline_##type) *[]){                                   \
      &space::baseline_##type, &space::avx2_##type, &space::avx512_##type,          \
      &space::avx512bf16_##type}[shim::instruction_set()])
#else
#define SHIM_TABLE(space, type) (space::baseline_##type)
#endif
