// Operations of a warp: every lane of a mask has to come, then all get their results.
#pragma once

#include "tests/cpp/cuda_host/block.h"

namespace cuda_host {

enum class Places {
  same,       // all lanes must come from the same place in the source, or the warp has diverged
  different,  // they may come from different places
};

// Waits for the lanes of the mask; the last one calls exchange(), which makes results of what all brought.
void rendezvous(const char* name, unsigned mask, const void* in, void* out, void (*exchange)(const Rendezvous&), Places places,
                Site site);

// The value of `source_lane`.
void shuffle(const char* name, unsigned mask, const void* value, void* result, int bytes, unsigned source_lane, Site site);
// Which lanes of the mask have a predicate that is not 0.
unsigned ballot(const char* name, unsigned mask, bool predicate, Site site);
// Orders memory accesses among the lanes of the mask.
void sync_warp(unsigned mask, Site site);

}  // namespace cuda_host
