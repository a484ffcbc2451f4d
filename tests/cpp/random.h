// Numbers for tests: pseudo-random, the same on every machine for a given seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace torchao_ops::test {

// TORCHAO_OPS_TEST_SEED, or 1. main() prints it.
uint64_t base_seed();
// How many random cases a test makes, given how many it makes by default: a share of it where TORCHAO_OPS_TEST_PERCENT says so
// (emulated CPUs are slow).
int64_t case_count(int64_t by_default);

class Random;
// Whether a test that goes through all cases of a kind makes this one: every case, or a share at random where TORCHAO_OPS_TEST_EXHAUSTIVE_PERCENT says
// so (a simulated GPU is slower still).
bool is_selected(Random& random);

// The same of a list that is short: at least one of it, in its order.
template <class T>
std::vector<T> selected_of(const std::vector<T>& values, Random& random);

class Random {
 public:
  explicit Random(uint64_t stream) : state_(base_seed() * 0x9e3779b97f4a7c15u + stream) {}

  uint64_t bits() {  // SplitMix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t integer(int64_t lo, int64_t hi) {  // in [lo, hi]
    return lo + static_cast<int64_t>(bits() % static_cast<uint64_t>(hi - lo + 1));
  }
  double uniform(double lo, double hi) { return lo + (hi - lo) * static_cast<double>(bits() >> 11) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(uniform(0x1p-60, 1))) * std::cos(uniform(0, 6.283185307179586)); }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[integer(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  uint64_t state_;
};

template <class T>
std::vector<T> selected_of(const std::vector<T>& values, Random& random) {
  std::vector<T> selected;
  for (const T& value : values) {
    if (is_selected(random)) selected.push_back(value);
  }
  if (selected.empty())
    selected.push_back(values[static_cast<size_t>(random.integer(0, static_cast<int64_t>(values.size()) - 1))]);
  return selected;
}

}  // namespace torchao_ops::test
