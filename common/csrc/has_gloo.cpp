// Compiles where gloo's headers are: those that c10d's ProcessGroupGloo.hpp includes.
#include <gloo/algorithm.h>
#include <gloo/common/error.h>
#include <gloo/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/device.h>
