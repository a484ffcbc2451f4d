#include "tests/cpp/cuda_host/race.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/cpp/cuda_host/fault.h"
#include "tests/cpp/cuda_host/memory.h"

extern "C" char __executable_start;  // the linker's: where the program is loaded

namespace cuda_host::race {
namespace {

// ---- places ----

// Where an access came from: an instruction, as its distance from the program's beginning, or number `place - first_site` of `sites`.
using Place = uint32_t;
constexpr Place first_site = 1u << 31;
std::vector<Site> sites;

Place place_of_site(Site site) {
  const auto known = std::find(sites.begin(), sites.end(), site);
  const auto number = static_cast<Place>(known - sites.begin());
  if (known == sites.end()) sites.push_back(site);
  return first_site + number;
}

Place place_of_caller(const void* return_address) {  // - 1: within the call
  return static_cast<Place>(static_cast<const char*>(return_address) - &__executable_start - 1);
}

std::string text_of(Place place) {
  if (place < first_site) return place_of(&__executable_start + place);
  std::string file = sites[place - first_site].file;
  file.erase(0, file.rfind('/') + 1);
  return file + ":" + std::to_string(sites[place - first_site].line);
}

// ---- time ----

// Every __syncthreads, every block and every launch begins a new epoch: the numbers only grow. What happened before `launch_epoch` belongs to
// earlier launches; from there to `block_epoch`, to other blocks of this launch; then, up to the current epoch, it lies before a barrier.
uint32_t epoch = 1, launch_epoch = 1, block_epoch = 1;

// Within an epoch, only lanes of one warp can be ordered. `syncs` counts the __syncwarps of a warp; lane l knows what lane o did before number
// known[l][o]. What was done before number `all_know`, all lanes know.
struct WarpTime {
  uint32_t syncs, all_know;
  uint32_t known[warp_lanes][warp_lanes];
};
std::vector<WarpTime> times;

// ---- what happened to a byte ----

struct Write {
  uint32_t epoch;  // 0: none
  uint32_t sync;   // how many __syncwarps the warp had had
  Place place;
  uint16_t thread;
  bool atomic;
  bool in_flight;  // by cp.async
};

// Reads by lanes of one warp between two of its __syncwarps.
struct Reads {
  uint32_t epoch;  // 0: none
  uint32_t sync;
  uint32_t lanes;
  Place place;  // of the last one
  uint16_t warp;
};

// Of unordered reads by more than two warps two are kept: every write, whichever warp it comes from, is unordered with one of them.
struct Byte {
  Write write;
  Reads reads[2];
};
// Further reads by the warps of `reads`: what lies between is a __syncwarp that has not ordered all of them. Of this block.
std::unordered_map<const char*, std::vector<Reads>> more_reads;

// Kernels mostly access whole words. As long as nobody accessed a part of it, the word's first byte stands for all four.
constexpr size_t word_bytes = 4, page_bytes = 4096;
struct Page {
  Byte bytes[page_bytes];
  bool split[page_bytes / word_bytes];
};
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;  // by number
uintptr_t last_number;
Page* last_page;
// 1024 pages are 230 MB. What earlier launches did needs no checking, so it may be forgotten between launches.
constexpr size_t most_kept_pages = 1024;

Page& page_of(const char* p) {
  const uintptr_t number = reinterpret_cast<uintptr_t>(p) / page_bytes;
  if (last_page == nullptr || number != last_number) {
    std::unique_ptr<Page>& page = pages[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_number = number;
    last_page = page.get();
  }
  return *last_page;
}

// Calls body(p, byte) for all that is to be known of `bytes` bytes. `all_alike`: afterwards the bytes have the same past.
template <class Body>
void for_each_byte(const char* p, size_t bytes, bool all_alike, const Body& body) {
  const char* const end = p + bytes;
  while (p < end) {
    Page& page = page_of(p);
    const size_t at = reinterpret_cast<uintptr_t>(p) % page_bytes, in_word = at % word_bytes;
    Byte* const word = page.bytes + at - in_word;
    bool& split = page.split[at / word_bytes];
    const bool whole = in_word == 0 && p + word_bytes <= end;
    if (whole && !split) {
      body(p, word[0]);
      p += word_bytes;
      continue;
    }
    if (!split) {
      split = true;
      const auto found = more_reads.find(p - in_word);
      const std::vector<Reads>* more = found == more_reads.end() ? nullptr : &found->second;  // stays where it is
      for (size_t i = 1; i < word_bytes; ++i) {
        word[i] = word[0];
        if (more != nullptr) more_reads[p - in_word + i] = std::vector<Reads>(*more);
      }
    }
    const size_t count = whole ? word_bytes : 1;
    for (size_t i = 0; i < count; ++i) body(p + i, word[in_word + i]);
    if (whole && all_alike) split = false;
    p += count;
  }
}

// ---- order ----

bool active;  // kernels make the calls below

// An access that is about to happen.
struct Attempt {
  const Thread& thread;
  unsigned warp;
  uint32_t sync;
  Access kind;
  Place place;
  const Region& region;
  bool shared;
  uint32_t first_epoch;  // of the memory: what is older has nothing to do with it
};

// Whether what happened in an epoch is over for all threads of this block.
bool is_past(const Attempt& now, uint32_t when) { return when < now.first_epoch || (when >= block_epoch && when < epoch); }

// Whether the thread knows what a lane of its warp did in this epoch.
bool knows(const Attempt& now, unsigned lane, uint32_t sync) {
  const WarpTime& time = times[now.warp];
  return lane == now.thread.lane || sync < time.all_know || sync < time.known[now.thread.lane][lane];
}

bool is_ordered(const Attempt& now, const Write& write) {
  if (is_past(now, write.epoch)) return true;
  return write.epoch >= block_epoch && write.thread / warp_lanes == now.warp && knows(now, write.thread % warp_lanes, write.sync);
}

// The lanes of the reads that are not ordered before what the thread does now.
uint32_t unordered_lanes(const Attempt& now, const Reads& reads) {
  if (is_past(now, reads.epoch)) return 0;
  if (reads.epoch < block_epoch || reads.warp != now.warp) return reads.lanes;
  uint32_t lanes = 0;
  for (uint32_t rest = reads.lanes; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(rest));
    if (!knows(now, lane, reads.sync)) lanes |= 1u << lane;
  }
  return lanes;
}

// ---- reports ----

const char* verb(Access kind) { return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "updates"; }

[[noreturn]] void report(const Attempt& now, const char* p, const char* others, unsigned other_thread, uint32_t other_epoch,
                         Place other_place) {
  const bool other_block = other_epoch < block_epoch;
  fail_at(text_of(now.place), "race: thread %u %s offset %td of %s, which thread %u%s %s at %s, and nothing orders the two",
          now.thread.linear, verb(now.kind), p - now.region.begin, now.region.name, other_thread,
          other_block ? " of another block" : "", others, text_of(other_place).c_str());
}

void check_write(const Attempt& now, const char* p, const Write& write) {
  if (write.in_flight && write.epoch >= now.first_epoch) {
    fail_at(text_of(now.place), "thread %u %s offset %td of %s, to which the cp.async of thread %u at %s, not waited for, copies",
            now.thread.linear, verb(now.kind), p - now.region.begin, now.region.name, write.thread, text_of(write.place).c_str());
  }
  if ((write.atomic && now.kind == Access::atomic) || is_ordered(now, write)) return;
  report(now, p, write.atomic ? "updated" : "wrote", write.thread, write.epoch, write.place);
}

void check_reads(const Attempt& now, const char* p, const Reads& reads) {
  const uint32_t lanes = unordered_lanes(now, reads);
  if (lanes == 0) return;
  report(now, p, "read", reads.warp * warp_lanes + static_cast<unsigned>(__builtin_ctz(lanes)), reads.epoch, reads.place);
}

void check_is_written(const Attempt& now, const char* p, const Write& write) {
  if (!now.shared || write.epoch >= block_epoch) return;
  fail_at(text_of(now.place), "thread %u %s offset %td of %s, to which nothing was written", now.thread.linear, verb(now.kind),
          p - now.region.begin, now.region.name);
}

// ---- what accesses leave behind ----

void note_write(const Attempt& now, const char* p, Byte& byte, bool in_flight) {
  if (now.kind == Access::atomic) check_is_written(now, p, byte.write);
  check_write(now, p, byte.write);
  for (const Reads& reads : byte.reads) check_reads(now, p, reads);
  if (!more_reads.empty()) {
    const auto more = more_reads.find(p);
    if (more != more_reads.end()) {
      for (const Reads& reads : more->second) check_reads(now, p, reads);
      more_reads.erase(more);
    }
  }
  byte = {};  // what will be ordered after this write will be ordered after all that came before it
  byte.write = {epoch, now.sync, now.place, static_cast<uint16_t>(now.thread.linear), now.kind == Access::atomic, in_flight};
}

bool merge(const Reads& read, Reads& reads) {
  if (reads.epoch != read.epoch || reads.warp != read.warp || reads.sync != read.sync) return false;
  reads.lanes |= read.lanes;
  reads.place = read.place;
  return true;
}

void note_read(const Attempt& now, const char* p, Byte& byte) {
  if (byte.write.in_flight || !is_past(now, byte.write.epoch)) check_write(now, p, byte.write);
  check_is_written(now, p, byte.write);
  const Reads read{epoch, now.sync, 1u << now.thread.lane, now.place, static_cast<uint16_t>(now.warp)};
  Reads* free = nullptr;
  bool same_warp = false;
  for (Reads& reads : byte.reads) {
    if (merge(read, reads)) return;
    if (unordered_lanes(now, reads) == 0) {
      free = &reads;  // what will be ordered after this read will be ordered after those
    } else if (reads.epoch == read.epoch && reads.warp == read.warp) {
      same_warp = true;
    }
  }
  if (same_warp) {
    std::vector<Reads>& more = more_reads[p];
    const bool merged = std::any_of(more.begin(), more.end(), [&](Reads& reads) { return merge(read, reads); });
    if (!merged) more.push_back(read);
  } else if (free != nullptr) {
    *free = read;
  }
}

void note(const Thread& thread, const void* address, size_t bytes, Access kind, Place place, bool in_flight) {
  const char* p = static_cast<const char*>(address);
  const Region* region = find_shared(p);
  const bool shared = region != nullptr;
  if (!shared) region = find_global(p);
  if (region == nullptr) return;
  if (!region->has(p, bytes)) {
    fail_at(text_of(place), "thread %u: %zu bytes at offset %td of %s, which has %zu", thread.linear, bytes, p - region->begin,
            region->name, region->bytes);
  }
  const unsigned warp = thread.warp->number;
  const Attempt now{thread, warp, times[warp].syncs, kind, place, *region, shared, shared ? block_epoch : launch_epoch};
  if (kind == Access::read) {
    for_each_byte(p, bytes, false, [&](const char* at, Byte& byte) { note_read(now, at, byte); });
  } else {
    for_each_byte(p, bytes, true, [&](const char* at, Byte& byte) { note_write(now, at, byte, in_flight); });
  }
}

uint32_t lanes_of(const Warp& warp) {
  const auto threads = static_cast<unsigned>(threads_of_block().size()), first = warp.number * warp_lanes;
  return threads - first >= warp_lanes ? 0xffffffffu : (1u << (threads - first)) - 1;
}

// What compiled kernels call.
void on_access(const void* p, size_t bytes, Access kind, const void* return_address) {
  if (current == nullptr || is_on_stack(*current, p)) return;
  note(*current, p, bytes, kind, place_of_caller(return_address), false);
}

}  // namespace

bool enabled() { return active; }

void access(const Thread& thread, const void* p, size_t bytes, Access kind, Site site) {
  if (active && bytes > 0) note(thread, p, bytes, kind, place_of_site(site), false);
}

void async_write_begins(const Thread& thread, const void* p, size_t bytes, Site site) {
  if (active) note(thread, p, bytes, Access::write, place_of_site(site), true);
}

void async_write_ends(const Thread& thread, const void* p, size_t bytes) {
  if (!active) return;
  for_each_byte(static_cast<const char*>(p), bytes, false, [&](const char*, Byte& byte) {
    byte.write.in_flight = false;
    byte.write.epoch = epoch;
    byte.write.sync = times[thread.warp->number].syncs;
  });
}

void launch_begins() {
  launch_epoch = ++epoch;
  if (pages.size() <= most_kept_pages) return;
  pages.clear();
  last_page = nullptr;
}

void block_begins(unsigned threads) {
  block_epoch = ++epoch;
  times.assign((threads + warp_lanes - 1) / warp_lanes, {});
  more_reads.clear();
}

void block_barrier() { ++epoch; }

void sync_warp(const Warp& warp, unsigned mask) {
  if (!active) return;
  WarpTime& time = times[warp.number];
  const uint32_t now = ++time.syncs;
  if (mask == lanes_of(warp)) {
    time.all_know = now;
    return;
  }
  uint32_t known[warp_lanes] = {};  // what one of the lanes knows, all of them do now
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    for (unsigned other = 0; other < warp_lanes; ++other) known[other] = std::max(known[other], time.known[lane][other]);
  }
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if (mask >> lane & 1) known[lane] = now;
  }
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if (mask >> lane & 1) std::copy(known, known + warp_lanes, time.known[lane]);
  }
}

}  // namespace cuda_host::race

// ---- what compilers call before an access with -fsanitize=thread ----

using cuda_host::race::Access;
using cuda_host::race::on_access;

extern "C" {

void __tsan_init() { cuda_host::race::active = true; }

#define CUDA_HOST_HOOKS(bytes)                                                                                   \
  void __tsan_read##bytes(void* p) { on_access(p, bytes, Access::read, __builtin_return_address(0)); }           \
  void __tsan_write##bytes(void* p) { on_access(p, bytes, Access::write, __builtin_return_address(0)); }         \
  void __tsan_unaligned_read##bytes(void* p) { on_access(p, bytes, Access::read, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##bytes(void* p) { on_access(p, bytes, Access::write, __builtin_return_address(0)); }
CUDA_HOST_HOOKS(1)
CUDA_HOST_HOOKS(2)
CUDA_HOST_HOOKS(4)
CUDA_HOST_HOOKS(8)
CUDA_HOST_HOOKS(16)
#undef CUDA_HOST_HOOKS

void __tsan_read_range(void* p, size_t bytes) { on_access(p, bytes, Access::read, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { on_access(p, bytes, Access::write, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// Host code in the same files, such as that of std::shared_ptr.
int __tsan_atomic32_fetch_add(volatile int* p, int value, int /*order*/) {
  return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_fetch_sub(volatile int* p, int value, int /*order*/) {
  return __atomic_fetch_sub(p, value, __ATOMIC_SEQ_CST);
}

// memcpy and the like in kernels of the race build (race_memory.h).
void* cuda_host_memcpy(void* to, const void* from, size_t bytes) {
  on_access(from, bytes, Access::read, __builtin_return_address(0));
  on_access(to, bytes, Access::write, __builtin_return_address(0));
  return std::memcpy(to, from, bytes);
}
void* cuda_host_memmove(void* to, const void* from, size_t bytes) {
  on_access(from, bytes, Access::read, __builtin_return_address(0));
  on_access(to, bytes, Access::write, __builtin_return_address(0));
  return std::memmove(to, from, bytes);
}
void* cuda_host_memset(void* p, int value, size_t bytes) {
  on_access(p, bytes, Access::write, __builtin_return_address(0));
  return std::memset(p, value, bytes);
}

}  // extern "C"
