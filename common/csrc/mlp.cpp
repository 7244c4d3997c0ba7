// A transformer's two-layer perceptron, GELU between, as one operator with its backward pass, on the
// CPU: `gelu(xs · W1ᵀ + b1) · W2ᵀ + b2`. Of the inner layer only what goes into GELU is kept.

#include "rows_kernel.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t GRAIN = 16384;

const rows::Kernels &kernels(const at::Tensor &xs) {
  return xs.scalar_type() == at::kBFloat16 ? SHIM_TABLE(rows, bf16) : SHIM_TABLE(rows, fp32);
}

typedef std::optional<at::Tensor> Bias;

at::Tensor affine(const at::Tensor &xs, const at::Tensor &ws, const Bias &bs) {
  return bs ? at::addmm(bs->to(xs.scalar_type()), xs, ws.t()) : at::mm(xs, ws.t());
}

at::Tensor activated(const at::Tensor &us) {
  auto gs = at::empty_like(us);
  const auto size = static_cast<int64_t>(us.element_size());
  auto *u = static_cast<const char *>(us.const_data_ptr());
  auto *g = static_cast<char *>(gs.mutable_data_ptr());
  at::parallel_for(0, us.numel(), GRAIN, [&](int64_t from, int64_t to) {
    kernels(us).gelu(u + from * size, to - from, g + from * size);
  });
  return gs;
}

struct Mlp : torch::autograd::Function<Mlp> {
  // xs: [N, C]; products are in `type`.
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &xs, const at::Tensor &w1,
                            const Bias &b1, const at::Tensor &w2, const Bias &b2,
                            at::ScalarType type) {
    auto x = xs.to(type), w1_low = w1.to(type), w2_low = w2.to(type);
    auto us = affine(x, w1_low, b1);  // [N, inner]
    ctx->save_for_backward({x, us, w1_low, w2_low});
    ctx->saved_data["biases"] = b1.has_value();
    return affine(activated(us), w2_low, b2);  // [N, C]
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "this operator has no second derivative");
    auto saved = ctx->get_saved_variables();
    auto &xs = saved[0], &us = saved[1], &w1 = saved[2], &w2 = saved[3];
    auto dy = grads[0].to(xs.scalar_type()).contiguous();
    auto dus = at::mm(dy, w2);  // [N, inner]: first GELU's output, then its input
    auto gs = at::empty_like(us);
    const int64_t n = us.size(0), inner = us.size(1);
    auto db1 = at::empty({inner}, us.options().dtype(at::kFloat));
    // By columns, so that the sums over rows do not depend on the number of threads.
    at::parallel_for(0, inner, std::max<int64_t>(GRAIN / n, 64), [&](int64_t from, int64_t to) {
      kernels(us).gelu_backward(us.const_data_ptr(), dus.mutable_data_ptr(), n, inner, from, to,
                                gs.mutable_data_ptr(), db1.mutable_data_ptr<float>());
    });
    auto dw2 = at::mm(dy.t(), gs).to(at::kFloat), dw1 = at::mm(dus.t(), xs).to(at::kFloat);
    auto dx = at::mm(dus, w1);
    if (!ctx->saved_data["biases"].toBool()) return {dx, dw1, {}, dw2, {}, {}};
    return {dx, dw1, db1, dw2, dy.sum(0, /*keepdim=*/false, at::kFloat), {}};
  }
};

}  // namespace

int shim_mlp(tensor xs, tensor w1, tensor b1, tensor w2, tensor b2, tensor *out) {
  return shim::guarded([&] {
    auto type = shim::product_type();
    shim::NoAutocast decided;
    auto bias = [](tensor given) { return given == nullptr ? Bias() : Bias(*given); };
    auto rows = xs->reshape({-1, xs->size(-1)});
    auto ys = Mlp::apply(rows, *w1, bias(b1), *w2, bias(b2), type);
    *out = new at::Tensor(ys.view(xs->sizes()));
  });
}
