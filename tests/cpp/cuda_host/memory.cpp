#include "tests/cpp/cuda_host/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/sanitizer.h"

namespace cuda_host {
namespace {

constexpr size_t global_alignment = 256, dynamic_shared_alignment = 128;
// Larger allocations are not filled: tests make some of many GB, and workspaces of 32 MB for a GEMM, of which they touch little.
constexpr size_t most_filled_bytes = size_t{16} << 20;

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
size_t round_up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// The part of the pages that can be touched.
char* first_accessible(const Region& region) { return region.pages + page_bytes(); }
char* end_accessible(const Region& region) { return region.pages + region.pages_bytes - page_bytes(); }
char* end_of(const Region& region) { return region.begin + region.bytes; }

// Calls body(begin, bytes) for what can be touched before the region and after it.
template <class Body>
void for_slack(const Region& region, const Body& body) {
  body(first_accessible(region), static_cast<size_t>(region.begin - first_accessible(region)));
  body(end_of(region), static_cast<size_t>(end_accessible(region) - end_of(region)));
}

void unset(void* begin, size_t bytes) { std::memset(begin, unset_byte, bytes); }

// A region that ends less than `alignment` bytes before an unmapped page, null if there is no memory.
Region map_region(size_t bytes, size_t alignment, const char* name) {
  const size_t page = page_bytes(), room = round_up(bytes, alignment), accessible = round_up(room, page);
  const size_t all = accessible + 2 * page;
  Region region{nullptr, bytes, name, nullptr, all};
  void* pages = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return region;
  region.pages = static_cast<char*>(pages);
  if (mprotect(region.pages + page, accessible, PROT_READ | PROT_WRITE) != 0) {
    munmap(pages, all);
    return region;
  }
  region.begin = end_accessible(region) - room;
  for_slack(region, [](char* begin, size_t slack) {
    unset(begin, slack);
    forbid(begin, slack);
  });
  return region;
}

// Other things may come to lie at these addresses.
void allow_slack(const Region& region) { for_slack(region, allow); }

// ---- global ----

std::map<const char*, Region> allocations;  // by the end of their pages
const Region* last_found;
// What was freed last keeps its addresses, which cannot be touched, so that the next allocations get others.
std::deque<Region> freed;
constexpr size_t most_freed = 64;

void retire(const Region& region) {
  allow_slack(region);
  mmap(region.pages, region.pages_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  freed.push_back(region);
  if (freed.size() <= most_freed) return;
  munmap(freed.front().pages, freed.front().pages_bytes);
  freed.pop_front();
}

bool slack_is_untouched(const Region& region) {
  bool untouched = true;
  for_slack(region, [&](const char* begin, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) untouched = untouched && static_cast<unsigned char>(begin[i]) == unset_byte;
  });
  return untouched;
}

// ---- shared ----

struct SharedRegion {
  const SharedArray* array;  // null: dynamic
  Region region;
};
std::vector<SharedRegion> shared;  // of the launch, the dynamic part first
size_t static_bytes;
int unset_shared_byte;

void begin_shared(const Region& region) {
  allow(region.begin, region.bytes);
  unset_shared(region.begin, region.bytes);
}

}  // namespace

void unset_shared(void* begin, size_t bytes) { std::memset(begin, unset_shared_byte, bytes); }

void* allocate_global(size_t bytes) {
  const Region region = map_region(bytes == 0 ? 1 : bytes, global_alignment, "an allocation");
  if (region.pages == nullptr) return nullptr;
  if (bytes <= most_filled_bytes) unset(region.begin, region.bytes);
  allocations.insert({region.pages + region.pages_bytes, region});
  return region.begin;
}

bool free_global(void* begin) {
  const Region* found = find_global(begin);
  if (found == nullptr || found->begin != begin) return false;
  const Region region = *found;
  last_found = nullptr;
  allocations.erase(region.pages + region.pages_bytes);
  retire(region);
  return true;
}

const Region* find_global(const void* p) {
  if (last_found != nullptr && last_found->is_near(p)) return last_found;
  const auto after = allocations.upper_bound(static_cast<const char*>(p));
  if (after == allocations.end() || !after->second.is_near(p)) return nullptr;
  return last_found = &after->second;
}

void check_slack(const char* what) {
  for (const auto& entry : allocations) {
    const Region& region = entry.second;
    if (slack_is_untouched(region)) continue;
    throw Error(std::string(what) + " wrote around an allocation of " + std::to_string(region.bytes) + " bytes");
  }
}

void begin_launch_of_shared(int64_t dynamic_bytes) {
  for (const SharedRegion& one : shared) {
    allow(one.region.begin, one.region.bytes);  // a failed launch may have left copies in flight
    allow_slack(one.region);
    munmap(one.region.pages, one.region.pages_bytes);
  }
  shared.clear();
  static_bytes = 0;
  constexpr int ordinary_byte = 0x42;  // 3.1 in fp16, 48.6 in bf16 and fp32, 66 in a byte, 4 and 2 in nibbles
  unset_shared_byte = random_below(2) == 0 ? unset_byte : ordinary_byte;
  const Region region = map_region(static_cast<size_t>(dynamic_bytes), dynamic_shared_alignment, "dynamic shared memory");
  if (region.pages == nullptr) {
    std::perror("shared memory");
    std::abort();
  }
  shared.push_back({nullptr, region});
}

void begin_block_of_shared() {
  for (const SharedRegion& one : shared) begin_shared(one.region);
}

void* dynamic_shared() { return shared[0].region.begin; }

void* static_shared(const SharedArray& array, size_t bytes, size_t alignment, Site site) {
  for (const SharedRegion& one : shared) {
    if (one.array == &array) return one.region.begin;
  }
  static_bytes += bytes;
  if (static_bytes > static_cast<size_t>(static_shared_bytes_per_block) ||
      static_bytes + shared[0].region.bytes > static_cast<size_t>(shared_bytes_per_block)) {
    fail(site, "%s: %zu bytes of static and %zu of dynamic shared memory are more than a block can have", array.name,
         static_bytes, shared[0].region.bytes);
  }
  const Region region = map_region(bytes, alignment, array.name);
  if (region.pages == nullptr) fail(site, "%s: no memory", array.name);
  shared.push_back({&array, region});
  begin_shared(region);
  return region.begin;
}

const Region* find_shared(const void* p) {
  for (const SharedRegion& one : shared) {
    if (one.region.is_near(p)) return &one.region;
  }
  return nullptr;
}

void require_shared(const char* what, const void* p, size_t bytes, Site site) {
  const Region* region = find_shared(p);
  if (region == nullptr) fail(site, "%s: %p is not shared memory", what, p);
  if (!region->has(p, bytes)) {
    fail(site, "%s: %zu bytes at offset %td of %s, which has %zu", what, bytes, static_cast<const char*>(p) - region->begin,
         region->name, region->bytes);
  }
}

void require_global(const char* what, const void* p, size_t bytes, Site site) {
  if (bytes == 0) return;
  if (find_shared(p) != nullptr) fail(site, "%s: shared memory", what);
  const Region* region = find_global(p);
  if (region == nullptr || region->has(p, bytes)) return;
  fail(site, "%s: %zu bytes at offset %td of an allocation of %zu", what, bytes, static_cast<const char*>(p) - region->begin,
       region->bytes);
}

}  // namespace cuda_host
