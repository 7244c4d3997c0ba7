// A piece of a network whose inner results are not kept: backward computes them again.

#include "shim.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>
#include <stdexcept>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The caller's piece, dropped with the graph that holds it.
struct Piece : torch::CustomClassHolder {
  void *context;
  shim_piece call;
  void (*drop)(void *);

  Piece(void *context_, shim_piece call_, void (*drop_)(void *))
      : context(context_), call(call_), drop(drop_) {}
  ~Piece() override { drop(context); }

  at::Tensor operator()(const at::Tensor &xs) const {
    tensor out = nullptr;
    auto given = xs;
    call(context, &given, &out);
    if (out == nullptr) throw std::runtime_error("the piece to recompute failed");
    at::Tensor ys = std::move(*out);
    delete out;
    return ys;
  }
};

at::Generator generator_of(const at::Tensor &xs) {
  return xs.is_cpu() ? at::detail::getDefaultCPUGenerator()
                     : at::globalContext().defaultGenerator(xs.device());
}

at::Tensor random_state(const at::Tensor &xs) {
  auto generator = generator_of(xs);
  std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

void set_random_state(const at::Tensor &xs, const at::Tensor &state) {
  auto generator = generator_of(xs);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

// Autocast as it was in the forward pass.
struct Autocast {
  c10::DeviceType device;
  bool was_on;
  at::ScalarType was;

  Autocast(c10::DeviceType device_, bool on, at::ScalarType type)
      : device(device_),
        was_on(at::autocast::is_autocast_enabled(device_)),
        was(at::autocast::get_autocast_dtype(device_)) {
    at::autocast::set_autocast_dtype(device, type);
    at::autocast::set_autocast_enabled(device, on);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, was_on);
    at::autocast::set_autocast_dtype(device, was);
  }
};

struct Recompute : torch::autograd::Function<Recompute> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &xs,
                            const c10::intrusive_ptr<Piece> &piece) {
    auto device = xs.device().type();
    ctx->saved_data["random"] = random_state(xs);
    ctx->saved_data["autocast"] = at::autocast::is_autocast_enabled(device);
    ctx->saved_data["type"] = static_cast<int64_t>(at::autocast::get_autocast_dtype(device));
    ctx->saved_data["piece"] = c10::IValue::make_capsule(piece);
    ctx->save_for_backward({xs});
    return (*piece)(xs);  // without a graph: a Function's forward has none
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "what is recomputed has no second derivative");
    auto &saved = ctx->saved_data;
    auto piece = c10::static_intrusive_pointer_cast<Piece>(saved["piece"].toCapsule());
    auto given = ctx->get_saved_variables()[0];
    auto xs = given.detach().set_requires_grad(true);
    auto now = random_state(xs);
    at::Tensor ys;
    {
      at::AutoGradMode graph(true);
      set_random_state(xs, saved["random"].toTensor());
      Autocast as_before(xs.device().type(), saved["autocast"].toBool(),
                         static_cast<at::ScalarType>(saved["type"].toInt()));
      ys = (*piece)(xs);
    }
    set_random_state(xs, now);
    // The piece's own parameters get their gradients here, those of `xs` go on.
    torch::autograd::backward({ys}, {grads[0]});
    return {xs.grad(), at::Tensor()};
  }
};

}  // namespace

int shim_recompute(tensor xs, void *context, shim_piece call, void (*drop)(void *), tensor *out) {
  return shim::guarded([&] {
    auto piece = c10::make_intrusive<Piece>(context, call, drop);
    auto kept = at::GradMode::is_enabled() && xs->requires_grad();
    *out = new at::Tensor(kept ? Recompute::apply(*xs, piece) : (*piece)(*xs));
  });
}
