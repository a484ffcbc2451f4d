// How a kernel uses threads it does not own: the caller (torch's pool, a test, a benchmark) lends them.
#pragma once

#include <atomic>
#include <cstdint>

#include "csrc/spec/float_types.h"

namespace torchao_ops {

struct Parallel {
  int64_t threads = 1;
  // Calls worker(context) at most `threads` times, in as many threads as it likes, and returns when all calls have returned. At least one
  // call is made.
  void (*run)(int64_t threads, void (*worker)(void*), void* context) = nullptr;
};

// Calls body(piece, worker) once for each piece in [0, pieces), in any order and in any thread; `worker` in [0, threads) is not in use twice at
// the same time and selects scratch memory. Workers take the next piece when they are done with one, so a core that a neighbour
// takes away does not stall the others. A body that writes only what belongs to its piece gives the same bits for any number of threads.
template <class Body>
TORCHAO_OPS_INLINE void for_each_piece(const Parallel& parallel, int64_t pieces, const Body& body) {
  if (parallel.run == nullptr || parallel.threads <= 1 || pieces <= 1) {
    for (int64_t piece = 0; piece < pieces; ++piece) body(piece, int64_t{0});
    return;
  }
  struct Shared {
    std::atomic<int64_t> next_piece, next_worker;
    int64_t pieces;
    const Body* body;
  } shared{{0}, {0}, pieces, &body};
  const int64_t threads = parallel.threads < pieces ? parallel.threads : pieces;
  parallel.run(
      threads,
      [](void* context) {
        Shared& s = *static_cast<Shared*>(context);
        const int64_t worker = s.next_worker.fetch_add(1);
        for (int64_t piece = s.next_piece.fetch_add(1); piece < s.pieces; piece = s.next_piece.fetch_add(1)) {
          (*s.body)(piece, worker);
        }
      },
      &shared);
}

}  // namespace torchao_ops
