// One update of many parameters in one call.

#include "shim.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <stdexcept>

namespace {

using Tensors = std::vector<at::Tensor>;

// The gradient of `param`, laid out in memory as `param` is: the kernels walk both by address.
at::Tensor grad_like(const at::Tensor &param) {
  const auto &grad = param.grad();
  if (grad.strides() == param.strides() && grad.scalar_type() == param.scalar_type()) return grad;
  return at::empty_like(param).copy_(grad);
}

// Those of `params` that have a gradient, their gradients, and `state` of the same ones.
struct Selected {
  Tensors params, grads;
  std::vector<Tensors> state;

  Selected(const tensor *all, size_t n, std::initializer_list<const tensor *> lists) {
    params.reserve(n);
    grads.reserve(n);
    state.resize(lists.size());
    for (size_t i = 0; i < n; ++i) {
      if (!all[i]->grad().defined()) continue;
      TORCH_CHECK(all[i]->is_non_overlapping_and_dense(),
                  "a parameter must fill its memory without holes or overlaps");
      params.push_back(*all[i]);
      grads.push_back(grad_like(*all[i]));
      size_t which = 0;
      for (const tensor *list : lists) {
        TORCH_CHECK(list[i]->strides() == all[i]->strides(),
                    "optimiser state must be laid out as its parameter");
        state[which++].push_back(*list[i]);
      }
    }
  }
};

Tensors grads_of(const tensor *params, size_t n) {
  Tensors grads;
  grads.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    if (params[i]->grad().defined()) grads.push_back(params[i]->grad());
  }
  return grads;
}

template <typename scalar>
void paper_kernel(scalar *__restrict param, const scalar *__restrict grad,
                  scalar *__restrict buffer, int64_t n, scalar momentum, scalar decay_lr,
                  scalar lr) {
  for (int64_t i = 0; i < n; ++i) {
    buffer[i] = momentum * buffer[i] - decay_lr * param[i] - lr * grad[i];
    param[i] += buffer[i];
  }
}

}  // namespace

int shim_has_grad(const tensor *params, size_t n, uint8_t *out) {
  return shim::guarded([&] {
    for (size_t i = 0; i < n; ++i) out[i] = params[i]->grad().defined();
  });
}

int shim_clear_grads(const tensor *params, size_t n) {
  return shim::guarded([&] {
    for (size_t i = 0; i < n; ++i) params[i]->mutable_grad() = at::Tensor();
  });
}

int shim_grad_norm(const tensor *params, size_t n, double *norm) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    auto grads = grads_of(params, n);
    *norm = grads.empty()
                ? 0.0
                : at::stack(at::_foreach_norm(grads, 2)).to(at::kDouble).norm().item<double>();
  });
}

int shim_scale_grads(const tensor *params, size_t n, double factor) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    auto grads = grads_of(params, n);
    if (!grads.empty()) at::_foreach_mul_(grads, factor);
  });
}

int shim_sgd_pytorch(const tensor *params, const tensor *buffers, size_t n, double lr,
                     double momentum, double weight_decay, int nesterov) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    Selected with(params, n, {buffers});
    if (with.params.empty()) return;
    // The kernel wants no buffers where there is no momentum.
    auto buffers_or_none = momentum == 0.0 ? Tensors() : with.state[0];
    at::_fused_sgd_(with.params, with.grads, buffers_or_none, weight_decay, momentum, lr,
                    /*dampening=*/0.0, nesterov != 0, /*maximize=*/false,
                    /*is_first_step=*/false);
  });
}

int shim_sgd_paper(const tensor *params, const tensor *buffers, size_t n, double lr,
                   double momentum, double weight_decay) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    Selected with(params, n, {buffers});
    if (with.params.empty()) return;
    auto &moving = with.state[0];
    if (!with.params[0].is_cpu()) {
      at::_foreach_mul_(moving, momentum);
      at::_foreach_add_(moving, with.params, -weight_decay * lr);
      at::_foreach_add_(moving, with.grads, -lr);
      at::_foreach_add_(with.params, moving);
      return;
    }
    for (size_t k = 0; k < with.params.size(); ++k) {
      auto &param = with.params[k];
      AT_DISPATCH_FLOATING_TYPES(param.scalar_type(), "sgd_paper", [&] {
        auto *p = param.mutable_data_ptr<scalar_t>();
        const auto *g = with.grads[k].const_data_ptr<scalar_t>();
        auto *v = moving[k].mutable_data_ptr<scalar_t>();
        at::parallel_for(0, param.numel(), /*grain_size=*/16384, [&](int64_t from, int64_t to) {
          paper_kernel<scalar_t>(p + from, g + from, v + from, to - from,
                                 static_cast<scalar_t>(momentum),
                                 static_cast<scalar_t>(weight_decay * lr),
                                 static_cast<scalar_t>(lr));
        });
      });
      param.unsafeGetTensorImpl()->bump_version();
    }
  });
}

int shim_adam(const tensor *params, const tensor *exp_avgs, const tensor *exp_avg_sqs, size_t n,
              int64_t step, double lr, double beta1, double beta2, double eps,
              double weight_decay, int decoupled) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    Selected with(params, n, {exp_avgs, exp_avg_sqs});
    if (with.params.empty()) return;
    // The kernel reads the count of each parameter; they are the same here, so they share one.
    auto count = at::full({}, static_cast<double>(step),
                          with.params[0].options().dtype(at::kFloat).requires_grad(false));
    Tensors counts(with.params.size(), count);
    auto update = decoupled ? at::_ops::_fused_adamw_::call : at::_ops::_fused_adam_::call;
    update(with.params, with.grads, with.state[0], with.state[1], /*max_exp_avg_sqs=*/{}, counts,
           lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false,
           /*grad_scale=*/{}, /*found_inf=*/{});
  });
}
