// NCCL's process group, in a library of its own: the program links no CUDA and starts without it.
//
// build.rs compiles it where CUDA's and NCCL's headers are; what it names of libtorch_cuda is found
// when it is loaded, after that.

#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>
#include <cstdio>

// `store` and `out` are an intrusive_ptr to a c10d::Store and to a c10d::Backend. 0, or 1 with a message.
extern "C" __attribute__((visibility("default"))) int shim_nccl(void *store, int rank, int size,
                                                                int64_t timeout_ms, void *out,
                                                                char *error, size_t error_size) {
  try {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    *static_cast<c10::intrusive_ptr<c10d::Backend> *>(out) =
        c10::make_intrusive<c10d::ProcessGroupNCCL>(
            *static_cast<c10::intrusive_ptr<c10d::Store> *>(store), rank, size, options);
    return 0;
  } catch (const c10::Error &err) {
    std::snprintf(error, error_size, "%s", err.what_without_backtrace());
  } catch (const std::exception &err) {
    std::snprintf(error, error_size, "%s", err.what());
  }
  return 1;
}
