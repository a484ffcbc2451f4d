#include "tests/cpp/cuda_host/async_copy.h"

#include <cstring>

#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/fault.h"
#include "tests/cpp/cuda_host/memory.h"
#include "tests/cpp/cuda_host/race.h"
#include "tests/cpp/cuda_host/sanitizer.h"

namespace cuda_host {
namespace {

// A copy in flight is forbidden to all where ASAN's granules can say so.
bool can_be_forbidden(const AsyncCopy& copy) { return copy.bytes % 8 == 0; }

bool landing_is_set;
Landing landing_set, landing;
int64_t copies_in_flight;  // of the block, not landed

void land(AsyncCopy& copy) {
  if (copy.landed) return;
  copy.landed = true;
  --copies_in_flight;
  if (can_be_forbidden(copy)) allow(copy.to, static_cast<size_t>(copy.bytes));  // for the harness, which writes it now
  act_for(copy.site);
  std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.source_bytes));
  act_for_nobody();
  std::memset(copy.to + copy.source_bytes, 0, static_cast<size_t>(copy.bytes - copy.source_bytes));
}

}  // namespace

void copy_async(void* to, const void* from, int bytes, int source_bytes, Site site) {
  const auto count = static_cast<size_t>(bytes);
  const auto source_count = static_cast<size_t>(source_bytes);
  if (source_bytes < 0 || source_bytes > bytes) fail(site, "cp.async: %d source bytes of %d", source_bytes, bytes);
  if (reinterpret_cast<uintptr_t>(to) % count != 0) fail(site, "cp.async: the destination is not aligned to %d bytes", bytes);
  // The instruction asks it of the address, whatever is read from there.
  if (reinterpret_cast<uintptr_t>(from) % count != 0) fail(site, "cp.async: the source is not aligned to %d bytes", bytes);
  require_shared("cp.async to", to, count, site);
  require_global("cp.async from", from, source_count, site);
  if (is_forbidden(to, count)) fail(site, "cp.async: the destination is that of a copy that has not been waited for");
  race::access(*current, from, source_count, race::Access::read, site);
  race::async_write_begins(*current, to, count, site);

  AsyncCopies& copies = current->copies;
  copies.in_flight.push_back(
      {static_cast<char*>(to), static_cast<const char*>(from), bytes, source_bytes, false, copies.open_group, site});
  ++copies_in_flight;
  unset_shared(to, count);
  if (can_be_forbidden(copies.in_flight.back())) forbid(to, count);
}

void commit_copies() { ++current->copies.open_group; }

void wait_for_copies(int pending) {
  AsyncCopies& copies = current->copies;
  size_t waited = 0;
  for (; waited < copies.in_flight.size(); ++waited) {
    AsyncCopy& copy = copies.in_flight[waited];
    if (copy.group + pending >= copies.open_group) break;
    land(copy);
    if (can_be_forbidden(copy)) allow(copy.to, static_cast<size_t>(copy.bytes));
    race::access(*current, copy.from, static_cast<size_t>(copy.source_bytes), race::Access::read, copy.site);  // until now
    race::async_write_ends(*current, copy.to, static_cast<size_t>(copy.bytes));
  }
  copies.in_flight.erase(copies.in_flight.begin(), copies.in_flight.begin() + static_cast<ptrdiff_t>(waited));
}

void land_a_random_copy() {
  constexpr unsigned turns_per_landing = 16;  // several copies of a warp land between its steps
  if (landing == Landing::late || copies_in_flight == 0 || random_below(turns_per_landing) != 0) return;
  const std::vector<Thread*>& threads = threads_of_block();
  AsyncCopies& copies = threads[random_below(static_cast<unsigned>(threads.size()))]->copies;
  if (copies.in_flight.empty()) return;
  AsyncCopy& copy = copies.in_flight[random_below(static_cast<unsigned>(copies.in_flight.size()))];
  land(copy);
  if (can_be_forbidden(copy))
    forbid(copy.to, static_cast<size_t>(copy.bytes));  // it is there, and may be used after the wait only
}

void check_no_copy_in_flight(const Thread& thread) {
  if (thread.copies.in_flight.empty()) return;
  fail(thread.copies.in_flight.front().site, "cp.async: the thread returns from the kernel and has not waited for this copy");
}

void set_landing(Landing value) {
  landing_is_set = true;
  landing_set = value;
}
void draw_landing() { landing_is_set = false; }

void begin_launch_of_copies() { landing = landing_is_set ? landing_set : random_below(2) == 0 ? Landing::late : Landing::random; }
void begin_block_of_copies() { copies_in_flight = 0; }

}  // namespace cuda_host
