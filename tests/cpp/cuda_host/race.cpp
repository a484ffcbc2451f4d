#include "tests/cpp/cuda_host/race.h"

#include <algorithm>
#include <array>
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

constexpr size_t page_bytes = 4096;
using Page = std::array<Byte, page_bytes>;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;  // by number
uintptr_t last_number;
Page* last_page;
// 1024 pages are 230 MB. What earlier launches did needs no checking, so it may be forgotten between launches.
constexpr size_t most_kept_pages = 1024;

Byte& byte_at(const char* p) {
  const uintptr_t number = reinterpret_cast<uintptr_t>(p) / page_bytes;
  if (last_page == nullptr || number != last_number) {
    std::unique_ptr<Page>& page = pages[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_number = number;
    last_page = page.get();
  }
  return (*last_page)[reinterpret_cast<uintptr_t>(p) % page_bytes];
}

// ---- order ----

bool active;  // kernels make the calls below

bool warp_knows(const Thread& thread, unsigned warp, unsigned lane, uint32_t sync) {
  if (warp != thread.warp->number) return false;
  const WarpTime& time = times[warp];
  return lane == thread.lane || sync < time.all_know || sync < time.known[thread.lane][lane];
}

// Whether something in an epoch is over for all threads of this block; shared memory of another block is another memory.
bool is_past(uint32_t when, bool shared) {
  return when < (shared ? block_epoch : launch_epoch) || (when >= block_epoch && when < epoch);
}

bool is_ordered(const Write& write, const Thread& thread, bool shared) {
  if (is_past(write.epoch, shared)) return true;
  if (write.epoch < block_epoch) return false;
  return warp_knows(thread, write.thread / warp_lanes, write.thread % warp_lanes, write.sync);
}

// The lanes of the reads that are not ordered before what the thread does now.
uint32_t unordered_lanes(const Reads& reads, const Thread& thread, bool shared) {
  if (is_past(reads.epoch, shared)) return 0;
  if (reads.epoch < block_epoch || reads.warp != thread.warp->number) return reads.lanes;
  uint32_t lanes = 0;
  for (uint32_t rest = reads.lanes; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(rest));
    if (!warp_knows(thread, reads.warp, lane, reads.sync)) lanes |= 1u << lane;
  }
  return lanes;
}

// ---- reports ----

struct Attempt {
  const Thread& thread;
  Access kind;
  Place place;
  const Region& region;
  bool shared;
};

const char* verb(Access kind) { return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "updates"; }

[[noreturn]] void report(const Attempt& now, const char* p, const char* others, unsigned other_thread, uint32_t other_epoch,
                         Place other_place) {
  const bool other_block = other_epoch < block_epoch;
  fail_at(text_of(now.place), "race: thread %u %s offset %td of %s, which thread %u%s %s at %s, and nothing orders the two",
          now.thread.linear, verb(now.kind), p - now.region.begin, now.region.name, other_thread,
          other_block ? " of another block" : "", others, text_of(other_place).c_str());
}

void check_writes(const Attempt& now, const char* p, const Byte& byte) {
  const Write& write = byte.write;
  const bool flies = write.in_flight && write.epoch >= (now.shared ? block_epoch : launch_epoch);
  if (flies) {
    fail_at(text_of(now.place), "thread %u %s offset %td of %s, to which the cp.async of thread %u at %s, not waited for, copies",
            now.thread.linear, verb(now.kind), p - now.region.begin, now.region.name, write.thread, text_of(write.place).c_str());
  }
  if (write.atomic && now.kind == Access::atomic) return;
  if (!is_ordered(write, now.thread, now.shared)) {
    report(now, p, write.atomic ? "updated" : "wrote", write.thread, write.epoch, write.place);
  }
}

void check_reads(const Attempt& now, const char* p, const Reads& reads) {
  const uint32_t lanes = unordered_lanes(reads, now.thread, now.shared);
  if (lanes == 0) return;
  report(now, p, "read", reads.warp * warp_lanes + static_cast<unsigned>(__builtin_ctz(lanes)), reads.epoch, reads.place);
}

void check_is_written(const Attempt& now, const char* p, const Byte& byte) {
  if (!now.shared || byte.write.epoch >= block_epoch) return;
  fail_at(text_of(now.place), "thread %u %s offset %td of %s, to which nothing was written", now.thread.linear, verb(now.kind),
          p - now.region.begin, now.region.name);
}

uint32_t syncs_of(const Thread& thread) { return times[thread.warp->number].syncs; }

void note_write(const Attempt& now, const char* p, Byte& byte, bool in_flight) {
  check_writes(now, p, byte);
  for (const Reads& reads : byte.reads) check_reads(now, p, reads);
  if (!more_reads.empty()) {
    const auto more = more_reads.find(p);
    if (more != more_reads.end()) {
      for (const Reads& reads : more->second) check_reads(now, p, reads);
      more_reads.erase(more);
    }
  }
  byte = {};  // what will be ordered after this write will be ordered after all that came before it
  byte.write = {epoch,    syncs_of(now.thread), now.place, static_cast<uint16_t>(now.thread.linear), now.kind == Access::atomic,
                in_flight};
}

bool merge(const Reads& read, Reads& reads) {
  if (reads.epoch != read.epoch || reads.warp != read.warp || reads.sync != read.sync) return false;
  reads.lanes |= read.lanes;
  reads.place = read.place;
  return true;
}

void note_read(const Attempt& now, const char* p, Byte& byte) {
  check_writes(now, p, byte);
  check_is_written(now, p, byte);
  const Reads read{epoch, syncs_of(now.thread), 1u << now.thread.lane, now.place, static_cast<uint16_t>(now.thread.warp->number)};
  Reads* free = nullptr;
  bool same_warp = false;
  for (Reads& reads : byte.reads) {
    if (merge(read, reads)) return;
    if (unordered_lanes(reads, now.thread, now.shared) == 0) {
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
  const Attempt attempt{thread, kind, place, *region, shared};
  for (const char* end = p + bytes; p < end; ++p) {
    Byte& byte = byte_at(p);
    if (kind == Access::read) {
      note_read(attempt, p, byte);
    } else {
      if (kind == Access::atomic) check_is_written(attempt, p, byte);
      note_write(attempt, p, byte, in_flight);
    }
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
  for (size_t i = 0; i < bytes; ++i) {
    Write& write = byte_at(static_cast<const char*>(p) + i).write;
    write.in_flight = false;
    write.epoch = epoch;
    write.sync = syncs_of(thread);
  }
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
