// A layer with own filters at each position: one matrix product a position.
//
// With the patches that position p sees gathered as P_p [N, K], K = kernel² · c_in:
//   Y_p = P_p · W_p + b_p,   dW_p = P_pᵀ · dY_p,   dP_p = dY_p · W_pᵀ,   db_p = sum over N of dY_p
// and dx adds up what the patches have of each pixel. A patch lists a tap's maps next to each other
// and the taps of a row one after the other: from channels-last maps a patch is `kernel` runs of
// kernel · c_in adjacent numbers, and filters [p, K, c_out] enter all three products as they lie.
// Backward gathers the patches again, which takes less than keeping them would.

#include "bf16.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>

namespace {

using shim::Bf16;
using shim::narrow;
using shim::Wide;
using shim::widen;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The fewest numbers that are worth a thread of their own.
constexpr int64_t GRAIN = 32768;

struct Geometry {
  int64_t n, c_in, side, kernel, padding;

  int64_t out_side() const { return side + 2 * padding - kernel + 1; }
  int64_t positions() const { return out_side() * out_side(); }
  int64_t patch() const { return kernel * kernel * c_in; }
};

// One row of a patch: `taps` taps from tap `first` on lie inside the picture, from `pixel` on.
struct Run {
  int64_t first, taps, pixel;
};

Run run_of(const Geometry &at, int64_t position, int64_t ky) {
  auto y = position / at.out_side() + ky - at.padding;
  if (y < 0 || y >= at.side) return {0, 0, 0};
  auto left = position % at.out_side() - at.padding;
  auto first = std::clamp<int64_t>(-left, 0, at.kernel);
  auto taps = std::max<int64_t>(std::min(at.side - left, at.kernel) - first, 0);
  return {first, taps, y * at.side + left + first};
}

// The patches [positions, N, K] of `xs` [N, side, side, c_in]; zeros outside the pictures.
template <typename T>
void gather(const Geometry &at, const T *xs, T *patches) {
  auto row = at.kernel * at.c_in;
  auto grain = std::max<int64_t>(GRAIN / at.patch(), 1);
  at::parallel_for(0, at.positions() * at.n, grain, [&](int64_t from, int64_t to) {
    for (auto i = from; i < to; ++i) {
      const T *picture = xs + i % at.n * at.side * at.side * at.c_in;
      for (int64_t ky = 0; ky < at.kernel; ++ky) {
        auto run = run_of(at, i / at.n, ky);
        T *out = patches + i * at.patch() + ky * row;
        T *inside = out + run.first * at.c_in, *end = inside + run.taps * at.c_in;
        std::fill(out, inside, T{});
        std::memcpy(inside, picture + run.pixel * at.c_in, (end - inside) * sizeof(T));
        std::fill(end, out + row, T{});
      }
    }
  });
}

// Adds up each pixel of `dxs` [N, side, side, c_in] from the patches that have it.
template <typename T>
void scatter(const Geometry &at, const T *patches, T *dxs) {
  auto numbers = at.side * at.side * at.c_in;
  auto grain = std::max<int64_t>(GRAIN / (at.positions() * at.patch()), 1);
  at::parallel_for(0, at.n, grain, [&](int64_t from, int64_t to) {
    std::vector<Wide<T>> sums(numbers);
    for (auto picture = from; picture < to; ++picture) {
      std::fill(sums.begin(), sums.end(), Wide<T>(0));
      for (int64_t position = 0; position < at.positions(); ++position) {
        const T *patch = patches + (position * at.n + picture) * at.patch();
        for (int64_t ky = 0; ky < at.kernel; ++ky) {
          auto run = run_of(at, position, ky);
          const T *__restrict in = patch + (ky * at.kernel + run.first) * at.c_in;
          Wide<T> *__restrict out = sums.data() + run.pixel * at.c_in;
          for (int64_t i = 0; i < run.taps * at.c_in; ++i) out[i] += widen(in[i]);
        }
      }
      T *__restrict dx = dxs + picture * numbers;
      for (int64_t i = 0; i < numbers; ++i) dx[i] = narrow<T>(sums[i]);
    }
  });
}

// Products [positions, N, c_out] plus biases [positions, c_out], as `ys` [N, positions, c_out].
template <typename T>
void place(const Geometry &at, int64_t c_out, const T *products, const Wide<T> *biases, T *ys) {
  auto grain = std::max<int64_t>(GRAIN / (at.positions() * c_out), 1);
  at::parallel_for(0, at.n, grain, [&](int64_t from, int64_t to) {
    for (auto i = from * at.positions(); i < to * at.positions(); ++i) {
      auto position = i % at.positions(), picture = i / at.positions();
      const T *__restrict in = products + (position * at.n + picture) * c_out;
      const Wide<T> *__restrict bias = biases + position * c_out;
      T *__restrict out = ys + i * c_out;
      for (int64_t c = 0; c < c_out; ++c) out[c] = narrow<T>(widen(in[c]) + bias[c]);
    }
  });
}

// Calls `body` with a value of the type that tensors of `type` hold.
template <typename F>
void dispatch(at::ScalarType type, const F &body) {
  switch (type) {
    case at::kFloat: body(float{}); break;
    case at::kDouble: body(double{}); break;
    case at::kBFloat16: body(Bf16{}); break;
    default:
      TORCH_CHECK(false, "a locally connected layer of ", type, ", wanted float, double, bfloat16");
  }
}

// The type of biases beside maps of `type`.
at::ScalarType wide(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

template <typename T>
const T *numbers(const at::Tensor &of) {
  return static_cast<const T *>(of.const_data_ptr());
}

template <typename T>
T *mutable_numbers(at::Tensor &of) {
  return static_cast<T *>(of.mutable_data_ptr());
}

// [count, rows, columns] to [count, columns, rows], block by block.
at::Tensor transposed(const at::Tensor &of) {
  constexpr int64_t BLOCK = 16;
  auto rows = of.size(1), columns = of.size(2);
  auto out = at::empty({of.size(0), columns, rows}, of.options());
  const float *from = numbers<float>(of);
  float *to = mutable_numbers<float>(out);
  auto grain = std::max<int64_t>(GRAIN / (rows * columns), 1);
  at::parallel_for(0, of.size(0), grain, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const float *in = from + i * rows * columns;
      float *moved = to + i * rows * columns;
      for (int64_t row = 0; row < rows; row += BLOCK) {
        auto height = std::min(BLOCK, rows - row);
        for (int64_t column = 0; column < columns; ++column) {
          for (int64_t r = 0; r < height; ++r) {
            moved[column * rows + row + r] = in[(row + r) * columns + column];
          }
        }
      }
    }
  });
  return out;
}

// a [count, m, k] · b [count, k, n]. In fp32 one call of oneDNN's kernel each: the library that
// at::bmm takes for fp32 runs at half the speed on processors that are not Intel's.
at::Tensor product(const at::Tensor &a, const at::Tensor &b) {
  if (a.scalar_type() != at::kFloat) return at::bmm(a, b);
  auto m = a.size(1), k = a.size(2), n = b.size(2);
  auto out = at::empty({a.size(0), m, n}, a.options());
  const float *left = numbers<float>(a), *right = numbers<float>(b);
  float *sums = mutable_numbers<float>(out);
  at::parallel_for(0, a.size(0), 1, [&](int64_t from, int64_t to) {
    for (auto i = from; i < to; ++i) {
      at::native::cpublas::brgemm(m, n, k, k, n, n, /*add_C=*/false, left + i * m * k,
                                  right + i * k * n, sums + i * m * n);
    }
  });
  return out;
}

// a · bᵀ and aᵀ · b. That kernel takes no transposes; of each product the smaller matrices are
// moved for it.
at::Tensor product_with_transpose(const at::Tensor &a, const at::Tensor &b) {
  return product(a, a.scalar_type() == at::kFloat ? transposed(b) : b.transpose(1, 2));
}
at::Tensor product_of_transpose(const at::Tensor &a, const at::Tensor &b) {
  if (a.scalar_type() != at::kFloat) return at::bmm(a.transpose(1, 2), b);
  return transposed(product(transposed(b), a));
}

at::Tensor patches_of(const Geometry &at, const at::Tensor &xs) {
  auto patches = at::empty({at.positions(), at.n, at.patch()}, xs.options());
  dispatch(xs.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    gather(at, numbers<T>(xs), mutable_numbers<T>(patches));
  });
  return patches;
}

struct LocallyConnected : torch::autograd::Function<LocallyConnected> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &given,
                            const at::Tensor &filters, const at::Tensor &biases, int64_t kernel,
                            int64_t padding) {
    auto xs = given.contiguous(at::MemoryFormat::ChannelsLast);
    const Geometry at = {xs.size(0), xs.size(1), xs.size(2), kernel, padding};
    ctx->save_for_backward({xs, filters});
    ctx->saved_data["kernel"] = kernel;
    ctx->saved_data["padding"] = padding;
    auto products = product(patches_of(at, xs), filters);  // [positions, N, c_out]
    auto c_out = filters.size(2), side = at.out_side();
    auto ys = at::empty({at.n, c_out, side, side}, xs.options(), at::MemoryFormat::ChannelsLast);
    auto bs = biases.contiguous();
    dispatch(xs.scalar_type(), [&](auto zero) {
      using T = decltype(zero);
      place(at, c_out, numbers<T>(products), numbers<Wide<T>>(bs), mutable_numbers<T>(ys));
    });
    return ys;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "a locally connected layer has no second derivative");
    auto saved = ctx->get_saved_variables();
    const auto &xs = saved[0], &filters = saved[1];
    const Geometry at = {xs.size(0), xs.size(1), xs.size(2), ctx->saved_data["kernel"].toInt(),
                         ctx->saved_data["padding"].toInt()};
    auto dys = grads[0].permute({2, 3, 0, 1}).contiguous();  // [side, side, N, c_out]
    dys = dys.view({at.positions(), at.n, filters.size(2)});
    at::Tensor dxs, dws, dbs;
    if (ctx->needs_input_grad(0)) {
      auto patches = product_with_transpose(dys, filters);  // [positions, N, K]
      dxs = at::empty(xs.sizes(), xs.options(), at::MemoryFormat::ChannelsLast);
      dispatch(xs.scalar_type(), [&](auto zero) {
        using T = decltype(zero);
        scatter(at, numbers<T>(patches), mutable_numbers<T>(dxs));
      });
    }
    if (ctx->needs_input_grad(1)) dws = product_of_transpose(patches_of(at, xs), dys);
    if (ctx->needs_input_grad(2)) dbs = dys.sum(1, /*keepdim=*/false, wide(dys.scalar_type()));
    return {dxs, dws, dbs, {}, {}};
  }
};

}  // namespace

int shim_locally_connected(tensor xs, tensor filters, tensor biases, int64_t kernel,
                           int64_t padding, tensor *out) {
  return shim::guarded([&] {
    TORCH_CHECK(xs->dim() == 4 && xs->size(2) == xs->size(3), "a locally connected layer of maps ",
                xs->sizes(), ", wanted [N, C, S, S]");
    const Geometry at = {xs->size(0), xs->size(1), xs->size(2), kernel, padding};
    TORCH_CHECK(at.out_side() > 0 && filters->dim() == 3 && filters->size(0) == at.positions() &&
                    filters->size(1) == at.patch(),
                "a locally connected layer of maps ", xs->sizes(), " with filters ",
                filters->sizes(), ", kernel ", kernel, ", padding ", padding,
                ": wanted filters [positions, kernel² · maps, outputs]");
    TORCH_CHECK(biases->sizes() == at::IntArrayRef({filters->size(0), filters->size(2)}),
                "a locally connected layer with filters ", filters->sizes(), " and biases ",
                biases->sizes(), ": wanted biases [positions, outputs]");
    // As autocast does for products: the low precision for both sides. Biases stay as they are.
    auto cast = [](const at::Tensor &of) {
      if (!at::autocast::is_autocast_enabled(at::kCPU)) return of;
      return at::autocast::cached_cast(at::autocast::get_autocast_dtype(at::kCPU), of, at::kCPU);
    };
    auto maps = cast(*xs);
    TORCH_CHECK(biases->scalar_type() == wide(maps.scalar_type()),
                "a locally connected layer of ", maps.scalar_type(), " with biases of ",
                biases->scalar_type(), ", wanted ", wide(maps.scalar_type()));
    *out = new at::Tensor(LocallyConnected::apply(maps, cast(*filters).contiguous(), *biases,
                                                  kernel, padding));
  });
}
