// The time loop of the multiplicative LSTM over a segment of text as one operator with its backward
// pass. What happens within a step is in mlstm_kernel.cpp; here are the loop, the memory, the
// threads, and what is done once per segment.

#include "mlstm_kernel.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Hidden units are padded to a multiple of this: whole panels with every instruction set.
constexpr int64_t UNITS = 64;

const mlstm::Kernels &kernels(at::ScalarType type) {
  return type == at::kBFloat16 ? SHIM_TABLE(mlstm, bf16) : SHIM_TABLE(mlstm, fp32);
}

template <class F>
void over_panels(int64_t n, const F &f) {
  at::parallel_for(0, n, /*grain_size=*/1, f);
}

// w: [k, n] as the right side of a product.
at::Tensor packed(const at::Tensor &w, at::ScalarType type) {
  auto &kernel = kernels(type);
  auto from = w.contiguous();
  auto to = at::empty({w.numel()}, w.options().dtype(type));
  over_panels(w.size(1) / (4 * kernel.lanes), [&](int64_t first, int64_t last) {
    kernel.pack(from.const_data_ptr<float>(), w.size(0), w.size(1), to.mutable_data_ptr(), first,
                last);
  });
  return to;
}

// What the loop leaves behind: hs and cs with the start as their first step.
struct Segment {
  at::Tensor hs, cs, h, hm, gates;
};

// symbols: [time, rows] int32; mx: [vocab, units]; zx: [vocab, 4 units], wmh: [units, units] and
// wh: [units, 4 units] in gate order; h and c: [rows, units].
Segment run(const at::Tensor &symbols, const at::Tensor &mx, const at::Tensor &zx,
            const at::Tensor &wmh, const at::Tensor &wh, const at::Tensor &h, const at::Tensor &c,
            at::ScalarType type, bool for_backward) {
  auto &kernel = kernels(type);
  const int64_t time = symbols.size(0), rows = symbols.size(1), units = wmh.size(0);
  auto fp32 = wmh.options().requires_grad(false);
  auto elements = fp32.dtype(type);
  Segment out;
  out.hs = at::empty({time + 1, rows, units}, elements);
  out.cs = at::empty({time + 1, rows, units}, fp32);
  out.h = at::empty({rows, units}, fp32);
  out.hs[0].copy_(h);
  out.cs[0].copy_(c);
  if (for_backward) {
    out.hm = at::empty({time, rows, units}, fp32);
    out.gates = at::empty({time, rows, 4 * units}, fp32);
  }
  auto m = at::empty({rows, units}, elements);
  auto wmh_packed = packed(wmh, type), wh_packed = packed(wh, type);
  auto mx_table = mx.contiguous(), zx_table = zx.contiguous();
  mlstm::Forward f{rows,
                   units,
                   symbols.const_data_ptr<int32_t>(),
                   mx_table.const_data_ptr<float>(),
                   zx_table.const_data_ptr<float>(),
                   wmh_packed.const_data_ptr(),
                   wh_packed.const_data_ptr(),
                   m.mutable_data_ptr(),
                   out.hs.mutable_data_ptr(),
                   out.cs.mutable_data_ptr<float>(),
                   out.h.mutable_data_ptr<float>(),
                   for_backward ? out.hm.mutable_data_ptr<float>() : nullptr,
                   for_backward ? out.gates.mutable_data_ptr<float>() : nullptr};
  const int64_t panels = units / (4 * kernel.lanes);
  for (int64_t t = 0; t < time; ++t) {
    over_panels(panels, [&](int64_t from, int64_t to) { kernel.forward_m(f, t, from, to); });
    over_panels(4 * panels,
                [&](int64_t from, int64_t to) { kernel.forward_gates(f, t, from, to); });
  }
  return out;
}

class TimeLoop : public torch::autograd::Function<TimeLoop> {
 public:
  // Returns hs: [time, rows, units] of `type`, the last h and c in fp32, and cs: [time, rows, units]
  // without a gradient.
  static variable_list forward(AutogradContext *ctx, const at::Tensor &symbols,
                               const at::Tensor &mx, const at::Tensor &zx, const at::Tensor &wmh,
                               const at::Tensor &wh, const at::Tensor &h, const at::Tensor &c,
                               at::ScalarType type) {
    auto out = run(symbols, mx, zx, wmh, wh, h, c, type, /*for_backward=*/true);
    ctx->save_for_backward({symbols, mx, wmh, wh, out.hs, out.cs, out.hm, out.gates});
    const int64_t time = symbols.size(0);
    auto cs = out.cs.narrow(0, 1, time);
    ctx->mark_non_differentiable({cs});
    return {out.hs.narrow(0, 1, time), out.h, out.cs[time].clone(), cs};
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &symbols = saved[0], &wmh = saved[2], &wh = saved[3], &hs = saved[4];
    const auto type = hs.scalar_type();
    auto &kernel = kernels(type);
    const int64_t time = symbols.size(0), rows = symbols.size(1), units = wmh.size(0);
    auto fp32 = wmh.options().requires_grad(false);
    auto elements = fp32.dtype(type);
    auto mx = saved[1].contiguous();

    auto start_of = [&](const at::Tensor &grad) {
      return grad.defined() ? grad.to(at::kFloat).clone(at::MemoryFormat::Contiguous)
                            : at::zeros({rows, units}, fp32);
    };
    auto dhs = grads[0].defined() ? grads[0].to(type).contiguous() : at::Tensor();
    auto dh = start_of(grads[1]), dc = start_of(grads[2]);
    auto dz = at::empty({rows, 4 * units}, elements), dhm = at::empty({rows, units}, elements);
    auto dz_panels = at::empty({time * rows * 4 * units}, elements);
    auto dhm_panels = at::empty({time * rows * units}, elements);
    auto m_panels = at::empty_like(dhm_panels), h_panels = at::empty_like(dhm_panels);
    auto dmx = at::zeros({mx.size(0), units}, fp32), dzx = at::zeros({mx.size(0), 4 * units}, fp32);
    auto wmh_t = packed(wmh.t(), type), wh_t = packed(wh.t(), type);
    mlstm::Backward b{rows,
                      units,
                      time,
                      symbols.const_data_ptr<int32_t>(),
                      mx.const_data_ptr<float>(),
                      wmh_t.const_data_ptr(),
                      wh_t.const_data_ptr(),
                      hs.const_data_ptr(),
                      saved[5].const_data_ptr<float>(),
                      saved[6].const_data_ptr<float>(),
                      saved[7].const_data_ptr<float>(),
                      dhs.defined() ? dhs.const_data_ptr() : nullptr,
                      dh.mutable_data_ptr<float>(),
                      dc.mutable_data_ptr<float>(),
                      dz.mutable_data_ptr(),
                      dhm.mutable_data_ptr(),
                      dz_panels.mutable_data_ptr(),
                      dhm_panels.mutable_data_ptr(),
                      m_panels.mutable_data_ptr(),
                      h_panels.mutable_data_ptr(),
                      dmx.mutable_data_ptr<float>(),
                      dzx.mutable_data_ptr<float>()};
    const int64_t panels = units / (4 * kernel.lanes);
    for (int64_t t = time - 1; t >= 0; --t) {
      over_panels(panels,
                  [&](int64_t from, int64_t to) { kernel.backward_gates(b, t, from, to); });
      over_panels(panels, [&](int64_t from, int64_t to) { kernel.backward_m(b, t, from, to); });
    }
    over_panels(panels, [&](int64_t from, int64_t to) { kernel.backward_start(b, from, to); });

    // One product over all steps for each recurrent matrix.
    auto weight_gradient = [&](const at::Tensor &left, const at::Tensor &right, int64_t n) {
      auto out = at::empty({units, n}, fp32);
      over_panels(n / (4 * kernel.lanes), [&](int64_t from, int64_t to) {
        kernel.weight_gradient(left.const_data_ptr(), right.const_data_ptr(), time * rows, units,
                               n, out.mutable_data_ptr<float>(), from, to);
      });
      return out;
    };
    auto dwmh = weight_gradient(h_panels, dhm_panels, units);
    auto dwh = weight_gradient(m_panels, dz_panels, 4 * units);
    return {at::Tensor(), dmx, dzx, dwmh, dwh, dh, dc, at::Tensor()};
  }
};

// The last dimension, [4 · units] gate by gate, in gate order, with units padded by zeros.
at::Tensor gate_order(const at::Tensor &x, int64_t padding, int lanes) {
  auto shape = x.sizes().vec();
  const int64_t units = shape.back() / 4 + padding;
  auto gates = at::constant_pad_nd(x.unflatten(-1, {4, shape.back() / 4}), {0, padding});
  shape.back() = 4 * units;
  return gates.unflatten(-1, {units / lanes, lanes}).transpose(-3, -2).reshape(shape);
}

}  // namespace

int shim_mlstm(tensor symbols, tensor embedding, tensor wx, tensor wh, tensor wmx, tensor wmh,
               tensor b, tensor h, tensor c, tensor *out) {
  return shim::guarded([&] {
    auto type = shim::product_type();
    shim::NoAutocast decided;

    const int64_t time = symbols->size(0), batch = symbols->size(1), hidden = wmh->size(0);
    const int64_t vocab = embedding->size(0);
    TORCH_CHECK(time > 0 && batch > 0, "a segment needs at least one symbol, got ", symbols->sizes());
    TORCH_CHECK(symbols->min().item<int64_t>() >= 0 && symbols->max().item<int64_t>() < vocab,
                "a symbol lies outside of the vocabulary of ", vocab);

    // Bf16 takes rows in pairs, and panels are whole: padding stays zero through all steps.
    const int64_t more_units = (UNITS - hidden % UNITS) % UNITS, more_rows = batch % 2;
    const int lanes = kernels(type).lanes;
    auto ids = at::constant_pad_nd(symbols->to(at::kInt), {0, more_rows}).contiguous();
    auto mx = at::constant_pad_nd(at::mm(*embedding, *wmx), {0, more_units});
    auto zx = gate_order(at::addmm(*b, *embedding, *wx), more_units, lanes);
    auto wmh_padded = at::constant_pad_nd(*wmh, {0, more_units, 0, more_units});
    auto wh_padded = at::constant_pad_nd(gate_order(*wh, more_units, lanes), {0, 0, 0, more_units});
    auto h_padded = at::constant_pad_nd(*h, {0, more_units, 0, more_rows});
    auto c_padded = at::constant_pad_nd(*c, {0, more_units, 0, more_rows});

    bool differentiable = false;
    for (auto &input : {mx, zx, wmh_padded, wh_padded, h_padded, c_padded})
      differentiable |= input.requires_grad();
    variable_list outs;
    if (differentiable && at::GradMode::is_enabled()) {
      outs = TimeLoop::apply(ids, mx, zx, wmh_padded, wh_padded, h_padded, c_padded, type);
    } else {
      auto segment = run(ids, mx, zx, wmh_padded, wh_padded, h_padded, c_padded, type, false);
      outs = {segment.hs.narrow(0, 1, time), segment.h, segment.cs[time].clone(),
              segment.cs.narrow(0, 1, time)};
    }
    for (int i = 0; i < 4; ++i)
      out[i] = new at::Tensor(outs[i].narrow(-2, 0, batch).narrow(-1, 0, hidden));
  });
}
