// The loss of a language model whose output layer is its embedding, some rows at a time, on the CPU:
// scores of all tokens for all rows are never in memory together. Forward computes the gradients too.

#include "rows_kernel.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Scores at a time; and the fewest rows, since each piece adds to the embedding's whole gradient.
constexpr int64_t SCORES = 1 << 22;
constexpr int64_t ROWS = 512;

struct Loss {
  at::Tensor sum;              // of all rows' losses times their weights
  at::Tensor dstates, dtable;  // defined if they were asked for
};

Loss compute(const at::Tensor &states, const at::Tensor &table, const at::Tensor &targets,
             const at::Tensor &weights, at::ScalarType type, bool gradients) {
  auto &kernels = type == at::kBFloat16 ? SHIM_TABLE(rows, bf16) : SHIM_TABLE(rows, fp32);
  const int64_t n = states.size(0), vocab = table.size(0);
  const auto size = static_cast<int64_t>(c10::elementSize(type));
  const int64_t piece = std::min(std::max(SCORES / vocab, ROWS), n);
  auto xs = states.to(type).contiguous(), ws = table.to(type).contiguous();
  auto scores = at::empty({piece, vocab}, xs.options());
  auto losses = at::empty({n}, xs.options().dtype(at::kFloat));
  auto *loss = losses.mutable_data_ptr<float>();
  auto *target = targets.const_data_ptr<int64_t>();
  auto *weight = weights.const_data_ptr<float>();
  Loss out;
  if (gradients) {
    out.dstates = at::empty_like(xs);
    out.dtable = at::zeros(table.sizes(), table.options().requires_grad(false));
  }
  for (int64_t first = 0; first < n; first += piece) {
    const int64_t rows = std::min(piece, n - first);
    auto x = xs.narrow(0, first, rows), score = scores.narrow(0, 0, rows);
    at::mm_out(score, x, ws.t());  // [rows, V]
    auto *bytes = static_cast<char *>(score.mutable_data_ptr());
    at::parallel_for(0, rows, std::max<int64_t>(16384 / vocab, 1), [&](int64_t from, int64_t to) {
      kernels.cross_entropy(bytes + from * vocab * size, target + first + from,
                            gradients ? weight + first + from : nullptr, to - from, vocab,
                            loss + first + from);
    });
    if (!gradients) continue;
    auto dx = out.dstates.narrow(0, first, rows);
    at::mm_out(dx, score, ws);
    if (type == at::kFloat) {
      out.dtable.addmm_(score.t(), x);
    } else {
      out.dtable.add_(at::mm(score.t(), x));
    }
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(weight[i]) * loss[i];
  out.sum = at::empty({}, losses.options()).fill_(sum);
  return out;
}

struct TiedLoss : torch::autograd::Function<TiedLoss> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &states, const at::Tensor &table,
                            const at::Tensor &targets, const at::Tensor &weights,
                            at::ScalarType type) {
    auto loss = compute(states, table, targets, weights, type, /*gradients=*/true);
    ctx->save_for_backward({loss.dstates, loss.dtable});
    return loss.sum;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "this operator has no second derivative");
    auto saved = ctx->get_saved_variables();
    auto factor = grads[0].item<double>();
    auto scaled = [&](const at::Tensor &x) { return factor == 1 ? x : at::mul(x, factor); };
    return {scaled(saved[0]), scaled(saved[1]), {}, {}, {}};
  }
};

}  // namespace

int shim_tied_loss(tensor states, tensor table, tensor targets, tensor weights, tensor *out) {
  return shim::guarded([&] {
    auto type = shim::product_type();
    shim::NoAutocast decided;
    const int64_t n = states->size(0);
    TORCH_CHECK(states->dim() == 2 && table->dim() == 2 && states->size(1) == table->size(1) &&
                    targets->sizes() == at::IntArrayRef({n}) &&
                    weights->sizes() == at::IntArrayRef({n}),
                "a loss of states ", states->sizes(), ", embeddings ", table->sizes(), ", targets ",
                targets->sizes(), " and weights ", weights->sizes());
    if (n > 0) {
      TORCH_CHECK(targets->min().item<int64_t>() >= 0 &&
                      targets->max().item<int64_t>() < table->size(0),
                  "a target lies outside of the vocabulary of ", table->size(0));
    }
    auto wanted = targets->to(at::kLong).contiguous();
    auto shares = weights->to(at::kFloat).contiguous();
    if (at::GradMode::is_enabled() && (states->requires_grad() || table->requires_grad())) {
      *out = new at::Tensor(TiedLoss::apply(*states, *table, wanted, shares, type));
    } else {
      *out = new at::Tensor(compute(*states, *table, wanted, shares, type, false).sum);
    }
  });
}
