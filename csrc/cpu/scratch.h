// Scratch memory of one call, aligned to a cache line (and so to the widest vector).
#pragma once

#include <cstdint>
#include <cstdlib>

#include "csrc/spec/float_types.h"

namespace torchao_ops {

template <class T>
class Scratch {
 public:
  TORCHAO_OPS_INLINE explicit Scratch(int64_t count)
      : data_(static_cast<T*>(std::aligned_alloc(64, (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64 + 64))) {}
  TORCHAO_OPS_INLINE ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  TORCHAO_OPS_INLINE T* get() const { return data_; }  // null if there was no memory

 private:
  T* data_;
};

template <class... T>
TORCHAO_OPS_INLINE bool all_allocated(const Scratch<T>&... scratch) {
  return (... && (scratch.get() != nullptr));
}

}  // namespace torchao_ops
