// A Parallel of plain threads, for kernels that run without torch.
#pragma once

#include <thread>
#include <vector>

#include "csrc/spec/parallel.h"

namespace torchao_ops::test {

inline Parallel std_threads(int64_t threads) {
  return {threads, [](int64_t count, void (*worker)(void*), void* context) {
            std::vector<std::thread> others;
            for (int64_t i = 1; i < count; ++i) others.emplace_back(worker, context);
            worker(context);
            for (std::thread& other : others) other.join();
          }};
}

}  // namespace torchao_ops::test
