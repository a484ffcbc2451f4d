// What this machine can do at most: streaming reads and the peaks of its dot-product instructions, measured rather than
// looked up, because a virtual CPU's clock and its share of the memory bus are in no data sheet. The benchmark divides
// every figure by these. C interface, loaded by limits.py; needs an x86-64 CPU with AVX2 and FMA.
//
// Each function takes the number of threads, runs for a few tenths of a second, and returns the best trial's total over
// the threads, in 1e9 units per second (bytes, or operations with multiply and add counted as two). A peak whose
// instruction this CPU lacks is 0.

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#define TARGET_AVX2 __attribute__((target("avx2,fma"), noinline))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"), noinline))
#define TARGET_AVX512_VNNI __attribute__((target("avx512f,avx512vnni"), noinline))
#define TARGET_AVX512_BF16 __attribute__((target("avx512f,avx512bf16"), noinline))

// Tells the compiler that a register is read and changed here: nothing is merged, hoisted or dropped across it.
#define OPAQUE_YMM(x) asm volatile("" : "+x"(x))
#define OPAQUE_ZMM(x) asm volatile("" : "+v"(x))

namespace {

using Clock = std::chrono::steady_clock;

bool have_avx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }

// Best total rate over `trials` runs of `work(thread)` on all threads at once; each thread's work is `amount` units.
// The time of a trial runs from the common start to the last thread's end.
template <class Work>
double best_rate(int threads, int trials, double amount, const Work& work) {
  double best = 0;
  for (int trial = 0; trial < trials; ++trial) {
    std::atomic<int> waiting{threads};
    std::vector<Clock::time_point> begin(threads), end(threads);
    const auto body = [&](int thread) {
      waiting.fetch_sub(1);
      while (waiting.load() > 0) _mm_pause();
      begin[thread] = Clock::now();
      work(thread);
      end[thread] = Clock::now();
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(body, thread);
    body(0);
    for (auto& other : others) other.join();
    const std::chrono::duration<double> time =
        *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
    best = std::max(best, threads * amount / time.count());
  }
  return best * 1e-9;
}

// --- streaming reads ---------------------------------------------------------------------------------------------------

// Reads `bytes` (a multiple of Streams * 256) once, as Streams runs of memory side by side, with a software prefetch
// `Ahead` bytes in front (0: none).
template <int Streams, int Ahead>
TARGET_AVX2 void read_avx2(const uint8_t* data, size_t bytes) {
  const size_t run = bytes / Streams;
  __m256i sum[4] = {};
  for (size_t i = 0; i < run; i += 256) {
    for (int stream = 0; stream < Streams; ++stream) {
      const uint8_t* p = data + stream * run + i;
      if constexpr (Ahead > 0) {
        for (int line = 0; line < 256; line += 64) _mm_prefetch(reinterpret_cast<const char*>(p + Ahead + line), _MM_HINT_T0);
      }
      for (int j = 0; j < 8; ++j) {
        sum[j % 4] = _mm256_add_epi64(sum[j % 4], _mm256_load_si256(reinterpret_cast<const __m256i*>(p) + j));
      }
    }
  }
  for (auto& s : sum) OPAQUE_YMM(s);
}

template <int Streams, int Ahead>
TARGET_AVX512 void read_avx512(const uint8_t* data, size_t bytes) {
  const size_t run = bytes / Streams;
  __m512i sum[4] = {};
  for (size_t i = 0; i < run; i += 256) {
    for (int stream = 0; stream < Streams; ++stream) {
      const uint8_t* p = data + stream * run + i;
      if constexpr (Ahead > 0) {
        for (int line = 0; line < 256; line += 64) _mm_prefetch(reinterpret_cast<const char*>(p + Ahead + line), _MM_HINT_T0);
      }
      for (int j = 0; j < 4; ++j) {
        sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(reinterpret_cast<const __m512i*>(p) + j));
      }
    }
  }
  for (auto& s : sum) OPAQUE_ZMM(s);
}

using Read = void (*)(const uint8_t*, size_t);

// Which of them is fastest depends on the machine: hardware prefetchers follow one or several runs, and some need help.
std::vector<Read> read_variants() {
  std::vector<Read> variants = {read_avx2<1, 0>, read_avx2<4, 0>, read_avx2<1, 4096>, read_avx2<1, 16384>, read_avx2<2, 2048>};
  if (have_avx512()) {
    for (Read read : {Read{read_avx512<1, 0>}, Read{read_avx512<4, 0>}, Read{read_avx512<1, 4096>}, Read{read_avx512<1, 16384>},
                      Read{read_avx512<2, 2048>}}) {
      variants.push_back(read);
    }
  }
  return variants;
}

// --- arithmetic peaks --------------------------------------------------------------------------------------------------
// Each keeps enough independent sums in registers to hide the latency of its instruction.

constexpr int64_t kSteps = 1 << 20;  // loop turns of one trial: a few milliseconds

constexpr int kFmaAvx2Sums = 12;
TARGET_AVX2 void fma_avx2(int64_t steps) {
  const __m256 a = _mm256_set1_ps(1e-20f);
  __m256 sum[kFmaAvx2Sums] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (auto& s : sum) {
      s = _mm256_fmadd_ps(a, a, s);
      OPAQUE_YMM(s);
    }
  }
}

constexpr int kAvx512Sums = 16;
TARGET_AVX512 void fma_avx512(int64_t steps) {
  const __m512 a = _mm512_set1_ps(1e-20f);
  __m512 sum[kAvx512Sums] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (auto& s : sum) {
      s = _mm512_fmadd_ps(a, a, s);
      OPAQUE_ZMM(s);
    }
  }
}

// Without VNNI the integer product is vpmaddubsw: unsigned 4-bit codes times signed bytes may be added up in 16 bits for
// 8 steps before they are widened to 32, which is the least work that stays exact.
constexpr int kInt8Avx2Sums = 4, kNarrowSteps = 8;
TARGET_AVX2 void int8_avx2(int64_t steps) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i codes = _mm256_set1_epi8(15), signed_bytes = _mm256_set1_epi8(-127), wide[kInt8Avx2Sums] = {};
  for (int64_t i = 0; i < steps; ++i) {
    __m256i narrow[kInt8Avx2Sums];
    for (int step = 0; step < kNarrowSteps; ++step) {
      for (auto& n : narrow) {
        OPAQUE_YMM(codes);
        const __m256i product = _mm256_maddubs_epi16(codes, signed_bytes);
        n = step == 0 ? product : _mm256_add_epi16(n, product);
        OPAQUE_YMM(n);
      }
    }
    for (int j = 0; j < kInt8Avx2Sums; ++j) {
      wide[j] = _mm256_add_epi32(wide[j], _mm256_madd_epi16(narrow[j], ones));
      OPAQUE_YMM(wide[j]);
    }
  }
}

TARGET_AVX512_VNNI void int8_avx512_vnni(int64_t steps) {
  const __m512i codes = _mm512_set1_epi32(0x0f0f0f0f), signed_bytes = _mm512_set1_epi32(0x01010101);
  __m512i sum[kAvx512Sums] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (auto& s : sum) {
      s = _mm512_dpbusd_epi32(s, codes, signed_bytes);
      OPAQUE_ZMM(s);
    }
  }
}

TARGET_AVX512_BF16 void bf16_avx512(int64_t steps) {
  const __m512i tiny = _mm512_set1_epi32(0x10001000);  // pairs of bf16 2^-95
  __m512 sum[kAvx512Sums] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (auto& s : sum) {
      s = _mm512_dpbf16_ps(s, (__m512bh)tiny, (__m512bh)tiny);
      OPAQUE_ZMM(s);
    }
  }
}

double peak(void (*kernel)(int64_t steps), int threads, double operations_per_step) {
  return best_rate(threads, 20, kSteps * operations_per_step, [&](int) { kernel(kSteps); });
}

}  // namespace

extern "C" {

// Reading `bytes` of memory again and again, an equal part per thread: several times the last-level cache gives the rate
// of main memory, less gives that of the cache that holds them. 0 if the memory cannot be had.
double limits_read_gbps(size_t bytes, int threads) {
  constexpr size_t kGranule = 4 * 4096, kSlack = 32768, kHugePage = size_t{2} << 20;
  const size_t part = std::max(kGranule, bytes / threads / kGranule * kGranule);
  const size_t mapped = (part * threads + kSlack + kHugePage - 1) / kHugePage * kHugePage;
  void* mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return 0;
  madvise(mapping, mapped, MADV_HUGEPAGE);  // a hint: the fallback is small pages
  auto* data = static_cast<uint8_t*>(mapping);
  std::fill(data, data + mapped, uint8_t{1});

  const size_t passes = std::max<size_t>(1, (size_t{32} << 20) / part);  // a trial of a millisecond or more
  double best = 0;
  for (Read read : read_variants()) {
    const auto work = [&](int thread) {
      for (size_t pass = 0; pass < passes; ++pass) read(data + thread * part, part);
    };
    best = std::max(best, best_rate(threads, 8, static_cast<double>(passes) * part, work));
  }
  munmap(mapping, mapped);
  return best;
}

// Fused multiply-add in fp32.
double limits_fp32_gflops(int threads) {
  const double avx2 = peak(fma_avx2, threads, kFmaAvx2Sums * 8 * 2);
  return have_avx512() ? std::max(avx2, peak(fma_avx512, threads, kAvx512Sums * 16 * 2)) : avx2;
}

// Dot product of bf16 pairs into fp32 (vdpbf16ps).
double limits_bf16_gflops(int threads) {
  return __builtin_cpu_supports("avx512bf16") ? peak(bf16_avx512, threads, kAvx512Sums * 32 * 2) : 0;
}

// Dot product of unsigned by signed bytes: vpdpbusd where there is VNNI, else vpmaddubsw.
double limits_int8_gops(int threads) {
  if (__builtin_cpu_supports("avx512vnni")) return peak(int8_avx512_vnni, threads, kAvx512Sums * 64 * 2);
  return peak(int8_avx2, threads, kInt8Avx2Sums * kNarrowSteps * 32 * 2);
}

}  // extern "C"
