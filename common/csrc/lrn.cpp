// Local response normalisation, forward and backward, each in one pass over the maps.
//
// With S_i the sum of x_j² over the window around i and s_i = k + scale * S_i:
//   y_i = x_i * s_i^-beta
//   dx_j = dy_j * s_j^-beta - 2 * scale * beta * x_j * T_j
// with T_j the sum of dy_i * x_i * s_i^(-beta-1) over the window around j (windows are symmetric: j
// lies in the window of i exactly if i lies in that of j). Backward needs only x, and computes s
// again.
//
// Both regions and both layouts are one problem: rows of contiguous numbers, with a window that
// reaches `along` steps of `step` numbers within a row and `over` rows up and down.
//   across maps, channels last    a row is one pixel's C maps            along = radius, step 1
//   across maps, contiguous       a row is a run of pixels of one map    over = radius, a row a map
//   within a map, channels last   a row is a picture row, W·C numbers    both, step C
//   within a map, contiguous      a row is a map's row, W numbers        both, step 1
// Rows are worked off in order. The few that a window reaches are kept in rings that stay in cache.

#include "bf16.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

namespace {

using shim::Bf16;
using shim::narrow;
using shim::Wide;
using shim::widen;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Numbers that one task takes at a time (a thread's share is a multiple).
constexpr int64_t RUN = 512;
constexpr int64_t GRAIN = 32768;

struct Norm {
  bool within_map;
  int64_t radius;
  double scale, beta, k;
};

// A tile: `rows` rows of `length` numbers, `stride` apart.
struct Tile {
  int64_t rows, length, stride;
  int64_t step, along, over;
};

// The working memory of a tile, in rows of `length` numbers.
template <typename A>
struct Scratch {
  A *padded;  // one row with zeros for the window to reach into on both sides
  A *sums;    // a ring of 2·over + 1 rows: sums along a row
  A *total;   // one row: `sums` over the rows of the window
  A *kept;    // a ring of over + 1 rows

  static int64_t size_of(const Tile &tile) {
    return tile.length * (3 * tile.over + 4) + 2 * tile.along * tile.step;
  }

  Scratch(const Tile &tile, A *memory) {
    auto pad = tile.along * tile.step;
    std::fill(memory, memory + pad, A(0));
    std::fill(memory + pad + tile.length, memory + tile.length + 2 * pad, A(0));
    padded = memory + pad;
    sums = padded + tile.length + pad;
    total = sums + (2 * tile.over + 1) * tile.length;
    kept = total + tile.length;
  }
};

// Sums of `padded` within the row, into the ring at `row`.
template <typename A>
SHIM_INLINE void sum_along(const Tile &tile, const Scratch<A> &at, int64_t row) {
  const A *__restrict in = at.padded;
  A *__restrict out = at.sums + row % (2 * tile.over + 1) * tile.length;
  auto n = tile.length;
  for (int64_t i = 0; i < n; ++i) out[i] = in[i];
  for (int64_t d = 1; d <= tile.along; ++d) {
    const A *__restrict before = in - d * tile.step;
    const A *__restrict after = in + d * tile.step;
    for (int64_t i = 0; i < n; ++i) out[i] += before[i] + after[i];
  }
}

// The window sums around `row`: those of the ring's rows, once all that it reaches are there.
template <typename A>
SHIM_INLINE const A *sum_over(const Tile &tile, const Scratch<A> &at, int64_t row) {
  auto n = tile.length, ring = 2 * tile.over + 1;
  if (tile.over == 0) return at.sums;
  A *__restrict out = at.total;
  auto from = std::max<int64_t>(row - tile.over, 0);
  auto to = std::min(row + tile.over, tile.rows - 1);
  const A *__restrict first = at.sums + from % ring * n;
  for (int64_t i = 0; i < n; ++i) out[i] = first[i];
  for (auto other = from + 1; other <= to; ++other) {
    const A *__restrict in = at.sums + other % ring * n;
    for (int64_t i = 0; i < n; ++i) out[i] += in[i];
  }
  return out;
}

template <typename T>
SHIM_INLINE void square(const Tile &tile, const Scratch<Wide<T>> &at, const T *__restrict x) {
  Wide<T> *__restrict out = at.padded;
  for (int64_t i = 0; i < tile.length; ++i) {
    auto value = widen(x[i]);
    out[i] = value * value;
  }
}

template <typename T>
SHIM_INLINE void forward(const Tile &tile, const Norm &norm, const T *x, T *y, Wide<T> *memory) {
  using A = Wide<T>;
  const Scratch<A> at(tile, memory);
  const A scale = norm.scale, k = norm.k, beta = norm.beta;
  for (int64_t row = 0; row < tile.rows + tile.over; ++row) {
    if (row < tile.rows) {
      square(tile, at, x + row * tile.stride);
      sum_along(tile, at, row);
    }
    auto done = row - tile.over;
    if (done < 0) continue;
    const A *__restrict sum = sum_over(tile, at, done);
    const T *__restrict in = x + done * tile.stride;
    T *__restrict out = y + done * tile.stride;
    if (norm.beta == 0.75) {
      for (int64_t i = 0; i < tile.length; ++i) {
        A root = 1 / std::sqrt(k + scale * sum[i]);
        out[i] = narrow<T>(widen(in[i]) * (root * std::sqrt(root)));
      }
    } else {
      for (int64_t i = 0; i < tile.length; ++i) {
        out[i] = narrow<T>(widen(in[i]) * std::pow(k + scale * sum[i], -beta));
      }
    }
  }
}

// `memory` holds two scratches: for the sums of squares, and for those of dy·x·s^(-beta-1), which
// trail by `over` rows.
template <typename T>
SHIM_INLINE void backward(const Tile &tile, const Norm &norm, const T *x, const T *dy, T *dx,
                          Wide<T> *memory) {
  using A = Wide<T>;
  const Scratch<A> squares(tile, memory);
  const Scratch<A> terms(tile, memory + Scratch<A>::size_of(tile));
  const A scale = norm.scale, k = norm.k, beta = norm.beta;
  const A factor = 2 * norm.scale * norm.beta;
  for (int64_t row = 0; row < tile.rows + 2 * tile.over; ++row) {
    if (row < tile.rows) {
      square(tile, squares, x + row * tile.stride);
      sum_along(tile, squares, row);
    }
    auto middle = row - tile.over;
    if (middle >= 0 && middle < tile.rows) {
      const A *__restrict sum = sum_over(tile, squares, middle);
      const T *__restrict in = x + middle * tile.stride;
      const T *__restrict grad = dy + middle * tile.stride;
      A *__restrict term = terms.padded;
      A *__restrict direct = terms.kept + middle % (tile.over + 1) * tile.length;
      if (norm.beta == 0.75) {
        for (int64_t i = 0; i < tile.length; ++i) {
          A root = 1 / std::sqrt(k + scale * sum[i]);
          A through = widen(grad[i]) * (root * std::sqrt(root));
          direct[i] = through;
          term[i] = through * widen(in[i]) * (root * root);
        }
      } else {
        for (int64_t i = 0; i < tile.length; ++i) {
          A s = k + scale * sum[i];
          A through = widen(grad[i]) * std::pow(s, -beta);
          direct[i] = through;
          term[i] = through * widen(in[i]) / s;
        }
      }
      sum_along(tile, terms, middle);
    }
    auto done = middle - tile.over;
    if (done < 0) continue;
    const A *__restrict sum = sum_over(tile, terms, done);
    const A *__restrict direct = terms.kept + done % (tile.over + 1) * tile.length;
    const T *__restrict in = x + done * tile.stride;
    T *__restrict out = dx + done * tile.stride;
    for (int64_t i = 0; i < tile.length; ++i) {
      out[i] = narrow<T>(direct[i] - factor * widen(in[i]) * sum[i]);
    }
  }
}

// Forward where `dy` is null, else backward. One body, compiled for each kind of processor.
template <typename T>
SHIM_INLINE void either(const Tile &tile, const Norm &norm, const T *x, const T *dy, T *out,
                        Wide<T> *memory) {
  if (dy == nullptr) {
    forward(tile, norm, x, out, memory);
  } else {
    backward(tile, norm, x, dy, out, memory);
  }
}
template <typename T>
void baseline(const Tile &tile, const Norm &norm, const T *x, const T *dy, T *out,
              Wide<T> *memory) {
  either(tile, norm, x, dy, out, memory);
}
template <typename T>
SHIM_AVX2 void avx2(const Tile &tile, const Norm &norm, const T *x, const T *dy, T *out,
                    Wide<T> *memory) {
  either(tile, norm, x, dy, out, memory);
}
template <typename T>
SHIM_AVX512 void avx512(const Tile &tile, const Norm &norm, const T *x, const T *dy, T *out,
                        Wide<T> *memory) {
  either(tile, norm, x, dy, out, memory);
}

// The maps cut into tiles that need nothing of each other.
struct Tiling {
  Tile whole;  // the largest tile
  int64_t tiles, numbers;
  int64_t runs = 1;  // tiles that a stack of rows is cut into, side by side
  bool pixels = false;

  Tiling(const at::Tensor &xs, bool channels_last, const Norm &norm) : numbers(xs.numel()) {
    auto n = xs.size(0), c = xs.size(1), h = xs.size(2), w = xs.size(3);
    auto r = norm.radius;
    if (norm.within_map && channels_last) {
      whole = {.rows = h, .length = w * c, .stride = w * c, .step = c, .along = r, .over = r};
      tiles = n;
    } else if (norm.within_map) {
      whole = {.rows = h, .length = w, .stride = w, .step = 1, .along = r, .over = r};
      tiles = n * c;
    } else if (channels_last) {
      auto rows = std::max<int64_t>(RUN * 8 / c, 1);
      whole = {.rows = rows, .length = c, .stride = c, .step = 1, .along = r, .over = 0};
      tiles = (n * h * w + rows - 1) / rows;
      pixels = true;
    } else {
      auto length = std::min(RUN, h * w);
      runs = (h * w + length - 1) / length;
      whole = {.rows = c, .length = length, .stride = h * w, .step = 0, .along = 0, .over = r};
      tiles = n * runs;
    }
  }

  // Tile `i` and where it begins.
  std::pair<Tile, int64_t> at(int64_t i) const {
    auto tile = whole;
    if (pixels) {
      auto begin = i * tile.rows;
      tile.rows = std::min(tile.rows, numbers / tile.length - begin);
      return {tile, begin * tile.length};
    }
    auto begin = i % runs * whole.length;
    if (runs > 1) tile.length = std::min(tile.length, tile.stride - begin);
    return {tile, i / runs * tile.rows * tile.stride + begin};
  }
};

template <typename T>
void run(const at::Tensor &xs, const at::Tensor *dy, at::Tensor &out, bool channels_last,
         const Norm &norm) {
  const Tiling tiling(xs, channels_last, norm);
  auto kernel = shim::isa() == shim::Isa::avx512 ? avx512<T>
                : shim::isa() == shim::Isa::avx2 ? avx2<T>
                                                 : baseline<T>;
  const T *x = static_cast<const T *>(xs.const_data_ptr());
  const T *grad = dy == nullptr ? nullptr : static_cast<const T *>(dy->const_data_ptr());
  T *y = static_cast<T *>(out.mutable_data_ptr());
  auto grain = std::max<int64_t>(GRAIN * tiling.tiles / tiling.numbers, 1);
  at::parallel_for(0, tiling.tiles, grain, [&](int64_t from, int64_t to) {
    std::vector<Wide<T>> memory(2 * Scratch<Wide<T>>::size_of(tiling.whole));
    for (auto i = from; i < to; ++i) {
      auto [tile, begin] = tiling.at(i);
      kernel(tile, norm, x + begin, grad == nullptr ? nullptr : grad + begin, y + begin,
             memory.data());
    }
  });
}

// Forward where `dy` is null, else backward; the result is laid out as `xs`, or contiguous if that
// is neither contiguous nor channels last.
at::Tensor normalise(const at::Tensor &given, const at::Tensor *dy, const Norm &norm) {
  auto format = given.suggest_memory_format();
  auto xs = given.contiguous(format);
  auto out = at::empty_like(xs, format);
  if (xs.numel() == 0) return out;
  auto grad = dy == nullptr ? at::Tensor() : dy->contiguous(format);
  const auto *grad_or_none = dy == nullptr ? nullptr : &grad;
  auto channels_last = format == at::MemoryFormat::ChannelsLast;
  switch (xs.scalar_type()) {
    case at::kFloat: run<float>(xs, grad_or_none, out, channels_last, norm); break;
    case at::kDouble: run<double>(xs, grad_or_none, out, channels_last, norm); break;
    case at::kBFloat16: run<Bf16>(xs, grad_or_none, out, channels_last, norm); break;
    default:
      TORCH_CHECK(false, "response norm of ", xs.scalar_type(), ", wanted float, double, bfloat16");
  }
  return out;
}

struct ResponseNorm : torch::autograd::Function<ResponseNorm> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &xs, bool within_map,
                            int64_t radius, double scale, double beta, double k) {
    ctx->save_for_backward({xs});
    ctx->saved_data["within_map"] = within_map;
    ctx->saved_data["radius"] = radius;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["beta"] = beta;
    ctx->saved_data["k"] = k;
    return normalise(xs, nullptr, {within_map, radius, scale, beta, k});
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "response norm has no second derivative");
    auto &saved = ctx->saved_data;
    const Norm norm = {saved["within_map"].toBool(), saved["radius"].toInt(),
                       saved["scale"].toDouble(), saved["beta"].toDouble(), saved["k"].toDouble()};
    auto dx = normalise(ctx->get_saved_variables()[0], &grads[0], norm);
    return {dx, {}, {}, {}, {}, {}};
  }
};

}  // namespace

int shim_response_norm(tensor xs, int within_map, int64_t radius, double scale, double beta,
                       double k, tensor *out) {
  return shim::guarded([&] {
    TORCH_CHECK(xs->dim() == 4, "response norm of ", xs->sizes(), ", wanted [N, C, H, W]");
    *out = new at::Tensor(ResponseNorm::apply(*xs, within_map != 0, radius, scale, beta, k));
  });
}
