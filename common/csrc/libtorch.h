// libtorch's headers that nearly all sources include, in the form that build.rs compiles once. Each source still names
// what it needs.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
