// Several processes that train one model together: c10d's store, process group and reducer.
//
// Handles are owned by the caller and given back by the `drop` function of their kind. Without
// gloo's headers at build time every function that makes one fails.
#pragma once

#include "shim.h"

extern "C" {
// Whether the shim was built with gloo's headers.
int shim_gloo_built();

// A key-value store that all processes see; process `serve` keeps it, the others connect to it. Keys
// are kept apart from those of others by `prefix`.
typedef struct shim_store shim_store;
int shim_store_open(const char *host, int port, int serve, const char *prefix, int64_t timeout_ms,
                    shim_store **out);
// The same store over a connection of its own, for another thread.
int shim_store_clone(const shim_store *store, shim_store **out);
int shim_store_set(shim_store *store, const char *key, const uint8_t *bytes, size_t n);
// Waits for the key at most this long; calls `take(context, bytes, n)` with its value.
int shim_store_get(shim_store *store, const char *key, int64_t timeout_ms,
                   void (*take)(void *context, const uint8_t *bytes, size_t n), void *context);
int shim_store_has(shim_store *store, const char *key, int *has);
// Adds to the number under `key` (0 at first) and returns it.
int shim_store_add(shim_store *store, const char *key, int64_t amount, int64_t *now);
void shim_store_drop(shim_store *store);

// The processes as one group: gloo for tensors on the CPU and, where `nccl` is not null, NCCL for
// those on GPUs; `nccl` is the function of that name in nccl.cpp.
typedef struct shim_group shim_group;
typedef int (*shim_nccl_backend)(void *store, int rank, int size, int64_t timeout_ms, void *out,
                                 char *error, size_t error_size);
int shim_group_open(const shim_store *store, int rank, int size, int64_t timeout_ms,
                    shim_nccl_backend nccl, shim_group **out);
// Each element becomes the sum over all processes.
int shim_group_sum(shim_group *group, tensor xs);
// Each tensor becomes that of process 0.
int shim_group_broadcast(shim_group *group, const tensor *tensors, size_t n);
// The rows of all processes, in their order; each has as many.
int shim_group_gather(shim_group *group, tensor rows, tensor *out);
void shim_group_drop(shim_group *group);

// Averages gradients over the group, bucket by bucket, while backward still computes others.
typedef struct shim_reducer shim_reducer;
int shim_reducer_open(shim_group *group, const tensor *params, const char *const *names, size_t n,
                      shim_reducer **out);
// Backward from `loss`. With `last` the gradients are the means over all processes afterwards,
// together with what was added to them before; without it they are this process's.
int shim_reducer_backward(shim_reducer *reducer, tensor loss, int last);
void shim_reducer_drop(shim_reducer *reducer);
}
