#include "distributed.h"

#include <stdexcept>

#ifdef SHIM_GLOO

// What gloo's own headers declare may be older than libtorch's gloo: only c10d's classes are used here.
#define USE_C10D_GLOO
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <chrono>

struct shim_store {
  c10::intrusive_ptr<c10d::Store> store;
};

struct shim_group {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
};

struct shim_reducer {
  std::unique_ptr<c10d::Reducer> reducer;
};

namespace {

using std::chrono::milliseconds;

std::vector<at::Tensor> listed(const tensor *tensors, size_t n) {
  std::vector<at::Tensor> list;
  list.reserve(n);
  for (size_t i = 0; i < n; ++i) list.push_back(*tensors[i]);
  return list;
}

}  // namespace

int shim_gloo_built() { return 1; }

int shim_store_open(const char *host, int port, int serve, const char *prefix, int64_t timeout_ms,
                    shim_store **out) {
  return shim::guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = serve != 0;
    options.waitWorkers = false;  // whoever needs another process waits for its key
    options.timeout = milliseconds(timeout_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    *out = new shim_store{c10::make_intrusive<c10d::PrefixStore>(prefix, tcp)};
  });
}

int shim_store_clone(const shim_store *store, shim_store **out) {
  return shim::guarded([&] { *out = new shim_store{store->store->clone()}; });
}

int shim_store_set(shim_store *store, const char *key, const uint8_t *bytes, size_t n) {
  return shim::guarded([&] { store->store->set(key, std::vector<uint8_t>(bytes, bytes + n)); });
}

int shim_store_get(shim_store *store, const char *key, int64_t timeout_ms,
                   void (*take)(void *context, const uint8_t *bytes, size_t n), void *context) {
  return shim::guarded([&] {
    store->store->wait({key}, milliseconds(timeout_ms));
    auto bytes = store->store->get(key);
    take(context, bytes.data(), bytes.size());
  });
}

int shim_store_has(shim_store *store, const char *key, int *has) {
  return shim::guarded([&] { *has = store->store->check({key}); });
}

int shim_store_add(shim_store *store, const char *key, int64_t amount, int64_t *now) {
  return shim::guarded([&] { *now = store->store->add(key, amount); });
}

void shim_store_drop(shim_store *store) { delete store; }

int shim_group_open(const shim_store *store, int rank, int size, int64_t timeout_ms,
                    shim_nccl_backend nccl, shim_group **out) {
  return shim::guarded([&] {
    using Group = c10d::ProcessGroup;
    auto group = c10::make_intrusive<Group>(store->store, rank, size);
    // Takes GLOO_SOCKET_IFNAME, else the address of this machine's name.
    auto options = c10d::ProcessGroupGloo::Options::create_default(milliseconds(timeout_ms));
    c10::intrusive_ptr<c10d::Backend> gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", store->store), rank, size, options);
    group->setBackend(at::kCPU, Group::BackendType::GLOO, gloo);
    group->setDefaultBackend(Group::BackendType::GLOO);
    if (nccl != nullptr) {
      c10::intrusive_ptr<c10d::Store> own =
          c10::make_intrusive<c10d::PrefixStore>("nccl", store->store);
      c10::intrusive_ptr<c10d::Backend> backend;
      char error[512] = "";
      if (nccl(&own, rank, size, timeout_ms, &backend, error, sizeof error) != 0) {
        throw std::runtime_error(error);
      }
      group->setBackend(at::kCUDA, Group::BackendType::NCCL, backend);
      group->setDefaultBackend(Group::BackendType::NCCL);
    }
    *out = new shim_group{group};
  });
}

int shim_group_sum(shim_group *group, tensor xs) {
  return shim::guarded([&] {
    std::vector<at::Tensor> tensors{*xs};
    group->group->allreduce(tensors)->wait();
  });
}

int shim_group_broadcast(shim_group *group, const tensor *tensors, size_t n) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    std::vector<std::vector<at::Tensor>> sent;
    for (auto &xs : listed(tensors, n)) {
      // What is sent is memory as it lies.
      sent.push_back({xs.is_non_overlapping_and_dense() ? xs.detach() : xs.contiguous()});
      works.push_back(group->group->broadcast(sent.back()));
    }
    for (size_t i = 0; i < n; ++i) {
      works[i]->wait();
      if (!sent[i][0].is_alias_of(*tensors[i])) tensors[i]->copy_(sent[i][0]);
    }
  });
}

int shim_group_gather(shim_group *group, tensor rows, tensor *out) {
  return shim::guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> own{rows->detach().contiguous()};
    std::vector<std::vector<at::Tensor>> all(1);
    for (int i = 0; i < group->group->getSize(); ++i) all[0].push_back(at::empty_like(own[0]));
    group->group->allgather(all, own)->wait();
    *out = new at::Tensor(at::cat(all[0], 0));
  });
}

void shim_group_drop(shim_group *group) { delete group; }

int shim_reducer_open(shim_group *group, const tensor *params, const char *const *names, size_t n,
                      shim_reducer **out) {
  return shim::guarded([&] {
    auto list = listed(params, n);
    c10d::verify_params_across_processes(group->group, list, std::nullopt);
    std::unordered_map<size_t, std::string> by_index;
    for (size_t i = 0; i < n; ++i) by_index[i] = names[i];
    // Sizes and order as DistributedDataParallel takes them: gradients come last parameter first.
    size_t first = c10d::kDefaultFirstBucketBytes, cap = c10d::kDefaultBucketBytesCap;
    std::vector<bool> sparse(n, false);
    auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(list, {first, cap}, sparse));
    std::reverse(buckets.begin(), buckets.end());
    *out = new shim_reducer{std::make_unique<c10d::Reducer>(
        list, buckets, group->group, sparse, static_cast<int64_t>(cap),
        /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/false, by_index,
        static_cast<int64_t>(first), /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false, std::vector<int64_t>())};
  });
}

int shim_reducer_backward(shim_reducer *reducer, tensor loss, int last) {
  return shim::guarded([&] {
    if (last != 0) {
      reducer->reducer->rebuild_buckets();  // once, in the order in which gradients came
      reducer->reducer->prepare_for_backward({*loss});
    }
    torch::autograd::backward({*loss}, {});
    // A parameter without a gradient would leave the others waiting.
    if (last != 0) reducer->reducer->check_finalized();
  });
}

void shim_reducer_drop(shim_reducer *reducer) {
  // An unfinished reduction after a lost process is no news.
  shim::guarded([&] { delete reducer; });
}

#else

namespace {

int missing() {
  return shim::guarded([] { throw std::runtime_error("built without gloo's headers"); });
}

}  // namespace

int shim_gloo_built() { return 0; }
int shim_store_open(const char *, int, int, const char *, int64_t, shim_store **) {
  return missing();
}
int shim_store_clone(const shim_store *, shim_store **) { return missing(); }
int shim_store_set(shim_store *, const char *, const uint8_t *, size_t) { return missing(); }
int shim_store_get(shim_store *, const char *, int64_t, void (*)(void *, const uint8_t *, size_t),
                   void *) {
  return missing();
}
int shim_store_has(shim_store *, const char *, int *) { return missing(); }
int shim_store_add(shim_store *, const char *, int64_t, int64_t *) { return missing(); }
void shim_store_drop(shim_store *) {}
int shim_group_open(const shim_store *, int, int, int64_t, shim_nccl_backend, shim_group **) {
  return missing();
}
int shim_group_sum(shim_group *, tensor) { return missing(); }
int shim_group_broadcast(shim_group *, const tensor *, size_t) { return missing(); }
int shim_group_gather(shim_group *, tensor, tensor *) { return missing(); }
void shim_group_drop(shim_group *) {}
int shim_reducer_open(shim_group *, const tensor *, const char *const *, size_t, shim_reducer **) {
  return missing();
}
int shim_reducer_backward(shim_reducer *, tensor, int) { return missing(); }
void shim_reducer_drop(shim_reducer *) {}

#endif
