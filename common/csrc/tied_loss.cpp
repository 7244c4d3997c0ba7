// The loss of a language model whose output layer is its embedding, and the log-probabilities that it
// gives to tokens, some rows at a time, on the CPU. For the loss, scores of all tokens for all rows are
// never in memory together: forward computes the gradients too. For log-probabilities, whose gradients
// need what comes in from behind, all probabilities are kept.

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

// Rows of a piece, of `n`.
int64_t piece_of(int64_t n, int64_t vocab) { return std::min(std::max(SCORES / vocab, ROWS), n); }

// Rows that a thread takes at least.
int64_t grain_of(int64_t vocab) { return std::max<int64_t>(16384 / vocab, 1); }

const rows::Kernels &kernels_of(at::ScalarType type) {
  return type == at::kBFloat16 ? SHIM_TABLE(rows, bf16) : SHIM_TABLE(rows, fp32);
}

// Adds the scores' gradient, [rows, V], times the states `x: [rows, C]` to that of the table.
void add_to_table(at::Tensor &dtable, const at::Tensor &dscores, const at::Tensor &x) {
  if (x.scalar_type() == at::kFloat) {
    dtable.addmm_(dscores.t(), x);
  } else {
    dtable.add_(at::mm(dscores.t(), x));
  }
}

struct Loss {
  at::Tensor sum;              // of all rows' losses times their weights
  at::Tensor dstates, dtable;  // defined if they were asked for
};

Loss compute(const at::Tensor &states, const at::Tensor &table, const at::Tensor &targets,
             const at::Tensor &weights, at::ScalarType type, bool gradients) {
  auto &kernels = kernels_of(type);
  const int64_t n = states.size(0), vocab = table.size(0);
  const auto size = static_cast<int64_t>(c10::elementSize(type));
  const int64_t piece = piece_of(n, vocab);
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
    at::parallel_for(0, rows, grain_of(vocab), [&](int64_t from, int64_t to) {
      kernels.cross_entropy(bytes + from * vocab * size, target + first + from,
                            gradients ? weight + first + from : nullptr, to - from, vocab,
                            loss + first + from);
    });
    if (!gradients) continue;
    auto dx = out.dstates.narrow(0, first, rows);
    at::mm_out(dx, score, ws);
    add_to_table(out.dtable, score, x);
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

struct LogProbs : torch::autograd::Function<LogProbs> {
  // The targets' log-probabilities and the rows' entropies.
  static variable_list forward(AutogradContext *ctx, const at::Tensor &states,
                               const at::Tensor &table, const at::Tensor &targets, double scale,
                               at::ScalarType type, bool keep) {
    auto &kernels = kernels_of(type);
    const int64_t n = states.size(0), vocab = table.size(0);
    const auto size = static_cast<int64_t>(c10::elementSize(type));
    const int64_t piece = piece_of(n, vocab);
    auto xs = states.to(type).contiguous(), ws = table.to(type).contiguous();
    auto scores = at::empty({keep ? n : piece, vocab}, xs.options());  // then probabilities
    auto found = at::empty({2, n}, xs.options().dtype(at::kFloat));
    auto *out = found.mutable_data_ptr<float>();
    auto *target = targets.const_data_ptr<int64_t>();
    for (int64_t first = 0; first < n; first += piece) {
      const int64_t rows = std::min(piece, n - first);
      auto score = scores.narrow(0, keep ? first : 0, rows);
      at::mm_out(score, xs.narrow(0, first, rows), ws.t());  // [rows, V]
      auto *bytes = static_cast<char *>(score.mutable_data_ptr());
      at::parallel_for(0, rows, grain_of(vocab), [&](int64_t from, int64_t to) {
        kernels.log_probs(bytes + from * vocab * size, target + first + from,
                          static_cast<float>(scale), to - from, vocab, keep, out + first + from,
                          out + n + first + from);
      });
    }
    auto entropies = found.select(0, 1);
    ctx->save_for_backward({xs, ws, targets, scores});
    ctx->saved_data["scale"] = scale;
    ctx->mark_non_differentiable({entropies});
    return {found.select(0, 0), entropies};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "this operator has no second derivative");
    auto saved = ctx->get_saved_variables();
    auto &xs = saved[0], &ws = saved[1], &targets = saved[2], &probabilities = saved[3];
    auto type = xs.scalar_type();
    auto &kernels = kernels_of(type);
    const int64_t n = xs.size(0), vocab = ws.size(0);
    const auto size = static_cast<int64_t>(c10::elementSize(type));
    const int64_t piece = piece_of(n, vocab);
    auto scaled = at::mul(grads[0], ctx->saved_data["scale"].toDouble()).to(at::kFloat).contiguous();
    auto dscores = at::empty({piece, vocab}, xs.options());
    auto dstates = at::empty_like(xs);
    auto dtable = at::zeros(ws.sizes(), ws.options().dtype(at::kFloat));
    auto *held = static_cast<const char *>(probabilities.const_data_ptr());
    auto *target = targets.const_data_ptr<int64_t>();
    auto *grad = scaled.const_data_ptr<float>();
    for (int64_t first = 0; first < n; first += piece) {
      const int64_t rows = std::min(piece, n - first);
      auto dscore = dscores.narrow(0, 0, rows);
      auto *bytes = static_cast<char *>(dscore.mutable_data_ptr());
      at::parallel_for(0, rows, grain_of(vocab), [&](int64_t from, int64_t to) {
        kernels.log_probs_backward(held + (first + from) * vocab * size, target + first + from,
                                   grad + first + from, to - from, vocab,
                                   bytes + from * vocab * size);
      });
      auto dx = dstates.narrow(0, first, rows);
      at::mm_out(dx, dscore, ws);
      add_to_table(dtable, dscore, xs.narrow(0, first, rows));
    }
    return {dstates, dtable, {}, {}, {}, {}};
  }
};

// The targets, where shapes fit and all are in the table.
at::Tensor checked(const at::Tensor &states, const at::Tensor &table, const at::Tensor &targets) {
  const int64_t n = states.size(0);
  TORCH_CHECK(states.dim() == 2 && table.dim() == 2 && states.size(1) == table.size(1) &&
                  targets.sizes() == at::IntArrayRef({n}),
              "states ", states.sizes(), ", embeddings ", table.sizes(), " and targets ",
              targets.sizes(), " do not fit each other");
  if (n > 0) {
    TORCH_CHECK(targets.min().item<int64_t>() >= 0 &&
                    targets.max().item<int64_t>() < table.size(0),
                "a target lies outside of the vocabulary of ", table.size(0));
  }
  return targets.to(at::kLong).contiguous();
}

bool has_gradients(const at::Tensor &states, const at::Tensor &table) {
  return at::GradMode::is_enabled() && (states.requires_grad() || table.requires_grad());
}

}  // namespace

int shim_tied_loss(tensor states, tensor table, tensor targets, tensor weights, tensor *out) {
  return shim::guarded([&] {
    auto type = shim::product_type();
    shim::NoAutocast decided;
    auto wanted = checked(*states, *table, *targets);
    TORCH_CHECK(weights->sizes() == wanted.sizes(), "weights ", weights->sizes(), " of targets ",
                wanted.sizes());
    auto shares = weights->to(at::kFloat).contiguous();
    if (has_gradients(*states, *table)) {
      *out = new at::Tensor(TiedLoss::apply(*states, *table, wanted, shares, type));
    } else {
      *out = new at::Tensor(compute(*states, *table, wanted, shares, type, false).sum);
    }
  });
}

int shim_log_probs(tensor states, tensor table, tensor targets, double scale, tensor *out) {
  return shim::guarded([&] {
    auto type = shim::product_type();
    shim::NoAutocast decided;
    auto wanted = checked(*states, *table, *targets);
    auto found = LogProbs::apply(*states, *table, wanted, scale, type,
                                 has_gradients(*states, *table));
    for (int i = 0; i < 2; ++i) out[i] = new at::Tensor(found[i]);
  });
}
