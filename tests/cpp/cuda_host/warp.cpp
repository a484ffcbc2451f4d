#include "tests/cpp/cuda_host/warp.h"

#include <cstring>

#include "tests/cpp/cuda_host/race.h"

namespace cuda_host {
namespace {

struct Shuffle {
  const void* value;
  int bytes;
  unsigned source_lane;
};

void exchange_values(const Rendezvous& r) {
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if (!r.has(lane)) continue;
    const Shuffle& shuffle = *static_cast<const Shuffle*>(r.in[lane]);
    if (!r.has(shuffle.source_lane)) {
      fail(r.site, "%s: lane %u reads from lane %u, which is not in the mask %08x", r.name, lane, shuffle.source_lane, r.mask);
    }
    std::memcpy(r.out[lane], static_cast<const Shuffle*>(r.in[shuffle.source_lane])->value, static_cast<size_t>(shuffle.bytes));
  }
}

void collect_predicates(const Rendezvous& r) {
  unsigned votes = 0;
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if (r.has(lane) && *static_cast<const bool*>(r.in[lane])) votes |= 1u << lane;
  }
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    if (r.has(lane)) *static_cast<unsigned*>(r.out[lane]) = votes;
  }
}

Rendezvous& pending_with(Warp& warp, const char* name, unsigned mask, Site site) {
  for (Rendezvous& pending : warp.pending) {
    if (pending.mask == mask) return pending;
  }
  warp.pending.emplace_back();
  Rendezvous& pending = warp.pending.back();
  pending.name = name;
  pending.mask = mask;
  pending.arrived = 0;
  pending.site = site;
  pending.warp = &warp;
  return pending;
}

}  // namespace

void rendezvous(const char* name, unsigned mask, const void* in, void* out, void (*exchange)(const Rendezvous&), Places places,
                Site site) {
  const unsigned lane = current->lane;
  Warp& warp = *current->warp;
  if ((mask >> lane & 1) == 0) fail(site, "%s: lane %u is not in its own mask %08x", name, lane, mask);
  if ((mask & ~warp.alive) != 0) {
    fail(site, "%s: the mask %08x has lanes that have returned or do not exist (there are %08x)", name, mask, warp.alive);
  }
  Rendezvous& pending = pending_with(warp, name, mask, site);
  const bool same_place = pending.site == site;
  if (!is_same(pending.name, name) || (places == Places::same && !same_place)) {
    fail(site, "%s: the warp has diverged, other lanes wait at %s in line %d", name, pending.name, pending.site.line);
  }
  pending.arrived |= 1u << lane;
  pending.in[lane] = in;
  pending.out[lane] = out;
  if (pending.arrived != mask) {
    block_on(name, site);
    return;
  }
  exchange(pending);
  for (unsigned other = 0; other < warp_lanes; ++other) {
    if (mask >> other & 1) make_ready(thread_of(warp, other));
  }
  pending = warp.pending.back();
  warp.pending.pop_back();
  reschedule();
}

void shuffle(const char* name, unsigned mask, const void* value, void* result, int bytes, unsigned source_lane, Site site) {
  const Shuffle shuffle{value, bytes, source_lane};
  rendezvous(name, mask, &shuffle, result, exchange_values, Places::same, site);
}

unsigned ballot(const char* name, unsigned mask, bool predicate, Site site) {
  unsigned votes;
  rendezvous(name, mask, &predicate, &votes, collect_predicates, Places::same, site);
  return votes;
}

void sync_warp(unsigned mask, Site site) {
  rendezvous(
      "__syncwarp", mask, nullptr, nullptr, [](const Rendezvous& r) { race::sync_warp(*r.warp, r.mask); }, Places::different,
      site);
}

}  // namespace cuda_host
