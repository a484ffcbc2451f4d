// Accesses that the processor itself refuses, and where in a kernel they come from.
#pragma once

#include <string>

#include "tests/cpp/cuda_host/error.h"

namespace cuda_host {

// As fail(), at a place that is known as text only.
[[noreturn, gnu::format(printf, 2, 3)]] void fail_at(const std::string& place, const char* format, ...);

// file:line of an instruction (needs addr2line and debug information, -g1), or its address.
std::string place_of(const void* instruction);

// While it lives, a thread that touches unmapped memory or divides by zero fails its launch instead of ending the program.
class CatchFaults {
 public:
  CatchFaults();
  ~CatchFaults();
  CatchFaults(const CatchFaults&) = delete;
  CatchFaults& operator=(const CatchFaults&) = delete;
};

// Until the end of the block or the next call, a fault is reported at this site and not at the instruction, which is one of the harness.
void act_for(Site site);
void act_for_nobody();

}  // namespace cuda_host
