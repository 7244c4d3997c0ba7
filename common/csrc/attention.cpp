// Causal self-attention as one operator with its backward pass, on the CPU. What happens within a
// head is in attention_kernel.cpp; here are the layout and the threads.

#include "attention_kernel.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace {

using attention::Head;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Runs `kernel` on every head of every sequence; `dqkv` and `d_out` may be null.
void over_heads(const at::Tensor &qkv, const at::Tensor &out, const at::Tensor &lse, int64_t heads,
                const at::Tensor *d_out, at::Tensor *dqkv) {
  const bool low = qkv.scalar_type() == at::kBFloat16;
  auto &kernels = low ? SHIM_TABLE(attention, bf16) : SHIM_TABLE(attention, fp32);
  const int64_t tokens = qkv.size(1), width = out.size(2), channels = width / heads;
  const auto size = static_cast<int64_t>(qkv.element_size());
  auto bytes = [](const at::Tensor &x) { return static_cast<char *>(x.data_ptr()); };
  at::parallel_for(0, qkv.size(0) * heads, /*grain_size=*/1, [&](int64_t from, int64_t to) {
    auto scratch = at::empty({kernels.scratch(tokens, channels)}, at::kByte);
    for (int64_t i = from; i < to; ++i) {
      const int64_t sequence = i / heads, column = i % heads * channels;
      const int64_t in = (sequence * tokens * 3 * width + column) * size;
      const int64_t at = (sequence * tokens * width + column) * size;
      Head head{};
      head.tokens = tokens;
      head.channels = channels;
      head.qkv_stride = 3 * width;
      head.out_stride = width;
      head.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(channels)));
      head.q = bytes(qkv) + in;
      head.k = bytes(qkv) + in + width * size;
      head.v = bytes(qkv) + in + 2 * width * size;
      head.out = bytes(out) + at;
      head.lse = lse.data_ptr<float>() + i * tokens;
      if (dqkv == nullptr) {
        kernels.forward(head, scratch.data_ptr());
        continue;
      }
      head.d_out = bytes(*d_out) + at;
      head.dq = bytes(*dqkv) + in;
      head.dk = bytes(*dqkv) + in + width * size;
      head.dv = bytes(*dqkv) + in + 2 * width * size;
      kernels.backward(head, scratch.data_ptr());
    }
  });
}

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &qkv, int64_t heads) {
    auto given = qkv.contiguous();
    const int64_t width = qkv.size(2) / 3;
    auto out = at::empty({qkv.size(0), qkv.size(1), width}, given.options());
    auto lse = at::empty({qkv.size(0), heads, qkv.size(1)}, given.options().dtype(at::kFloat));
    over_heads(given, out, lse, heads, nullptr, nullptr);
    ctx->save_for_backward({given, out, lse});
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "attention has no second derivative");
    auto saved = ctx->get_saved_variables();
    auto d_out = grads[0].to(saved[0].scalar_type()).contiguous();
    auto dqkv = at::empty_like(saved[0]);
    over_heads(saved[0], saved[1], saved[2], ctx->saved_data["heads"].toInt(), &d_out, &dqkv);
    return {dqkv, at::Tensor()};
  }
};

}  // namespace

int shim_attention(tensor qkv, int64_t heads, tensor *out) {
  return shim::guarded([&] {
    TORCH_CHECK(qkv->dim() == 3 && heads > 0 && qkv->size(2) % (3 * heads) == 0, "attention of ",
                qkv->sizes(), " in ", heads, " heads, wanted [batch, time, 3 * heads * channels]");
    auto type = qkv->scalar_type();
    TORCH_CHECK(type == at::kFloat || type == at::kBFloat16, "attention of ", type,
                ", wanted float or bfloat16");
    *out = new at::Tensor(Attention::apply(*qkv, heads));
  });
}
