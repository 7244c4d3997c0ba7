// What tch does not expose of libtorch, as C functions.
//
// Every function returns 0, or 1 after an exception; `shim_last_error` then holds its message for
// this thread. A `tensor` is tch's `C_tensor`: a pointer to an `at::Tensor` that the caller owns.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

typedef at::Tensor *tensor;

namespace shim {

// The message of the last exception in this thread.
std::string &last_error();

// Runs `body`; an exception becomes the return value 1 and a message.
template <typename F>
int guarded(const F &body) {
  try {
    body();
    return 0;
  } catch (const c10::Error &err) {
    last_error() = err.what_without_backtrace();
  } catch (const std::exception &err) {
    last_error() = err.what();
  } catch (...) {
    last_error() = "unknown C++ exception";
  }
  return 1;
}

// What products on the CPU are computed in: bf16 under such an autocast, else fp32.
at::ScalarType product_type();

// Autocast has decided: as long as this lives, operators take their inputs' types.
struct NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::DispatchKey::AutocastCPU};
};

}  // namespace shim

extern "C" {
const char *shim_last_error();

// Device types as in c10: 0 CPU, 1 CUDA. `dtype` as in c10::ScalarType: 5 half, 15 bfloat16.
int shim_autocast_enter(int device_type, int dtype, int *old_enabled, int *old_dtype);
int shim_autocast_leave(int device_type, int old_enabled, int old_dtype);

// `cuda_index` -1 means the CPU. The state is a new byte tensor on the CPU.
int shim_rng_state(int cuda_index, tensor *out);
int shim_set_rng_state(int cuda_index, tensor state);

int shim_set_deterministic(int on);
int shim_set_cudnn_benchmark(int on);
int shim_set_tf32(int on);
// Makes malloc keep freed memory instead of giving it back; does nothing where malloc is not
// glibc's.
void shim_keep_memory();

// How many threads a parallel loop of this library ran on.
int shim_parallel_threads(int *distinct);
// These two point into static storage.
const char *shim_cpu_capability();
const char *shim_libtorch_version();

// Loads libtorch_cuda, which the linker drops since nothing names its symbols.
int shim_cuda_open();
// The GPU's model, at most `size` bytes with the closing zero.
int shim_cuda_name(int cuda_index, char *name, int size);
int shim_cuda_peak_memory(int cuda_index, int64_t *allocated, int64_t *reserved);

// The functions below take parameters and read their gradients; one without a gradient is skipped.

int shim_has_grad(const tensor *params, size_t n, uint8_t *out);
int shim_clear_grads(const tensor *params, size_t n);
int shim_grad_norm(const tensor *params, size_t n, double *norm);
int shim_scale_grads(const tensor *params, size_t n, double factor);

// buffer <- momentum * buffer + (grad + decay * param);
// param <- param - lr * (nesterov ? grad + decay * param + momentum * buffer : buffer).
int shim_sgd_pytorch(const tensor *params, const tensor *buffers, size_t n, double lr,
                     double momentum, double weight_decay, int nesterov);
// buffer <- momentum * buffer - decay * lr * param - lr * grad; param <- param + buffer.
int shim_sgd_paper(const tensor *params, const tensor *buffers, size_t n, double lr,
                   double momentum, double weight_decay);
// `step` counts this update, from 1; `decoupled` chooses AdamW's decay instead of the L2 penalty.
int shim_adam(const tensor *params, const tensor *exp_avgs, const tensor *exp_avg_sqs, size_t n,
              int64_t step, double lr, double beta1, double beta2, double eps,
              double weight_decay, int decoupled);

// Local response normalisation of `xs: [N, C, H, W]`, with its gradient:
// xs * (k + scale * sum of squares over the window)^-beta. The window reaches `radius` maps to both
// sides, or `radius` pixels in the four directions of a map.
int shim_response_norm(tensor xs, int within_map, int64_t radius, double scale, double beta,
                       double k, tensor *out);

// Own filters at each position of maps `xs: [N, c_in, S, S]`, with its gradients, to
// [N, c_out, S', S'] with the channels last in memory. Filters are [S'², kernel² · c_in, c_out], a
// tap's maps adjacent; biases [S'², c_out].
int shim_locally_connected(tensor xs, tensor filters, tensor biases, int64_t kernel,
                           int64_t padding, tensor *out);

// Causal self-attention of `qkv: [batch, time, 3 * heads * channels]` (first all queries, then keys,
// then values; head by head), fp32 or bf16; out: [batch, time, heads * channels] of the same type.
int shim_attention(tensor qkv, int64_t heads, tensor *out);

// gelu(xs W1' + b1) W2' + b2 with GELU in its tanh form. xs: [..., C]; w1: [inner, C]; w2: [C,
// inner]; biases may both be null. Products are in bf16 under such an autocast.
int shim_mlp(tensor xs, tensor w1, tensor b1, tensor w2, tensor b2, tensor *out);

// `call(context, xs, out)`, of which only xs is kept: backward calls it again, with the same random
// numbers and autocast. It leaves *out as it is if it fails. `drop` is called once, when nobody
// needs the context any more.
typedef void (*shim_piece)(void *context, tensor xs, tensor *out);
int shim_recompute(tensor xs, void *context, shim_piece call, void (*drop)(void *), tensor *out);

// The sum of the losses of `states: [n, C]` for `targets: [n]`, in nats, each times its weight of
// `weights: [n]`; scores are states times `table: [vocab, C]` transposed. Has a gradient for states
// and table.
int shim_tied_loss(tensor states, tensor table, tensor targets, tensor weights, tensor *out);

// Of such scores times `scale`, which is above 0: the log-probabilities of `targets`, with a gradient
// for states and table, and the entropies of all tokens' distributions, without one. out: [n] both.
int shim_log_probs(tensor states, tensor table, tensor targets, double scale, tensor *out);
}

// The multiplicative LSTM over a segment (mlstm.cpp), on the CPU. symbols: [time, batch] integers;
// embedding: [vocab, e]; wx: [e, 4 hidden], wh: [hidden, 4 hidden], wmx: [e, hidden], wmh: [hidden,
// hidden] as they are to be used (normalised), b: [4 hidden], all fp32; h, c: [batch, hidden] fp32.
// out: hs [time, batch, hidden], bf16 under such an autocast; the last h and c; cs [time, batch,
// hidden], which has no gradient.
extern "C" int shim_mlstm(tensor symbols, tensor embedding, tensor wx, tensor wh, tensor wmx,
                          tensor wmh, tensor b, tensor h, tensor c, tensor *out);
