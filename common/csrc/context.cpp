// Autocast, random state, switches, threads, CUDA: everything that is not an optimiser.

#include "shim.h"
#include "tables.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <dlfcn.h>
#include <malloc.h>
#include <mutex>
#include <stdexcept>

namespace shim {

std::string &last_error() {
  thread_local std::string message;
  return message;
}

at::ScalarType product_type() {
  auto device = c10::DeviceType::CPU;
  bool low = at::autocast::is_autocast_enabled(device) &&
             at::autocast::get_autocast_dtype(device) == at::kBFloat16;
  return low ? at::kBFloat16 : at::kFloat;
}

int instruction_set() {
#ifdef __x86_64__
  static const int found = [] {
    auto allowed = at::get_cpu_capability();
    if (allowed.starts_with("AVX512") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      return __builtin_cpu_supports("avx512bf16") ? 3 : 2;
    }
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return allowed != "DEFAULT" && avx2 ? 1 : 0;
  }();
  return found;
#else
  return 0;
#endif
}

}  // namespace shim

namespace {

c10::DeviceType device_type_of(int value) {
  return value == 0 ? c10::DeviceType::CPU : c10::DeviceType::CUDA;
}

at::Generator generator_of(int cuda_index) {
  if (cuda_index < 0) return at::detail::getDefaultCPUGenerator();
  auto device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda_index));
  return at::globalContext().defaultGenerator(device);
}

}  // namespace

const char *shim_last_error() { return shim::last_error().c_str(); }

int shim_autocast_enter(int device_type, int dtype, int *old_enabled, int *old_dtype) {
  return shim::guarded([&] {
    auto type = device_type_of(device_type);
    *old_enabled = at::autocast::is_autocast_enabled(type);
    *old_dtype = static_cast<int>(at::autocast::get_autocast_dtype(type));
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(type, true);
    at::autocast::increment_nesting();
  });
}

int shim_autocast_leave(int device_type, int old_enabled, int old_dtype) {
  return shim::guarded([&] {
    auto type = device_type_of(device_type);
    // The cache holds low-precision copies of the weights: they are stale after the next update.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type, old_enabled != 0);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(old_dtype));
  });
}

int shim_rng_state(int cuda_index, tensor *out) {
  return shim::guarded([&] {
    auto generator = generator_of(cuda_index);
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

int shim_set_rng_state(int cuda_index, tensor state) {
  return shim::guarded([&] {
    auto generator = generator_of(cuda_index);
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}

int shim_set_deterministic(int on) {
  return shim::guarded([&] {
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(on != 0, /*warn_only=*/false);
    // Filling every new tensor with NaN finds bugs in kernels but changes no result of a sound one.
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(on != 0);
    context.setDeterministicMkldnn(on != 0);
  });
}

int shim_set_cudnn_benchmark(int on) {
  return shim::guarded([&] { at::globalContext().setBenchmarkCuDNN(on != 0); });
}

int shim_set_tf32(int on) {
  return shim::guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(on != 0);
    at::globalContext().setAllowTF32CuDNN(on != 0);
  });
}

void shim_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);         // take everything from the heap …
  mallopt(M_TRIM_THRESHOLD, -1);  // … let the heap only grow …
  mallopt(M_ARENA_MAX, 1);        // … and have one for all threads
#endif
}

int shim_parallel_threads(int *distinct) {
  return shim::guarded([&] {
    std::vector<int> seen;
    std::mutex lock;
    at::parallel_for(0, 1024, 1, [&](int64_t, int64_t) {
      std::lock_guard<std::mutex> held(lock);
      seen.push_back(at::get_thread_num());
    });
    std::sort(seen.begin(), seen.end());
    *distinct = static_cast<int>(std::unique(seen.begin(), seen.end()) - seen.begin());
  });
}

const char *shim_libtorch_version() { return TORCH_VERSION; }

const char *shim_cpu_capability() {
  static const std::string name = at::get_cpu_capability();
  return name.c_str();
}

int shim_cuda_open() {
  return shim::guarded([&] {
    // Never closed: it registers kernels with libtorch.
    static void *handle = nullptr;
    if (handle == nullptr) handle = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr) throw std::runtime_error(dlerror());
  });
}

int shim_cuda_name(int cuda_index, char *name, int size) {
  return shim::guarded([&] {
    // The driver's own functions: libtorch exposes no name, and the shim links no CUDA.
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (driver == nullptr) throw std::runtime_error(dlerror());
    auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
    auto get = reinterpret_cast<int (*)(int *, int)>(dlsym(driver, "cuDeviceGet"));
    auto get_name =
        reinterpret_cast<int (*)(char *, int, int)>(dlsym(driver, "cuDeviceGetName"));
    int device = 0;
    if (init == nullptr || get == nullptr || get_name == nullptr || init(0) != 0 ||
        get(&device, cuda_index) != 0 || get_name(name, size, device) != 0) {
      throw std::runtime_error("the CUDA driver gives no name for this device");
    }
  });
}

int shim_cuda_peak_memory(int cuda_index, int64_t *allocated, int64_t *reserved) {
  return shim::guarded([&] {
    auto stats = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(cuda_index));
    auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *allocated = stats.allocated_bytes[all].peak;
    *reserved = stats.reserved_bytes[all].peak;
  });
}
