#include "tests/cpp/cuda_host/ptx_host.h"

#include <cstring>

#include "csrc/spec/float_types.h"
#include "tests/cpp/cuda_host/race.h"
#include "tests/cpp/cuda_host/sanitizer.h"
#include "tests/cpp/cuda_host/warp.h"

namespace torchao_ops::cuda::ptx {
namespace {

using cuda_host::Rendezvous;
constexpr unsigned lanes = cuda_host::warp_lanes, all_lanes = 0xffffffffu;

// ---- mma ----

// d[4], a[4] and b[2] of a lane. Pointers: the lanes wait in the call while the last one reads and writes what they brought.
template <class Sum>
struct Operands {
  Sum* d;
  const uint32_t* a;
  const uint32_t* b;
};

struct Bf16 {
  using Sum = float;
  using Wide = double;  // sums of products of two 16-bit numbers: exact but for huge differences of exponents
  static constexpr int k = 16, per_register = 2;
  static double element(uint32_t bits, int i) { return to_float(BFloat16{static_cast<uint16_t>(bits >> 16 * i)}); }
};
struct F16 : Bf16 {
  static double element(uint32_t bits, int i) { return to_float(Half{static_cast<uint16_t>(bits >> 16 * i)}); }
};
struct S8 {
  using Sum = int32_t;
  using Wide = int64_t;  // taken to 32 bits, it wraps
  static constexpr int k = 32, per_register = 4;
  static int64_t element(uint32_t bits, int i) { return static_cast<int8_t>(bits >> 8 * i); }
};

// PTX ISA, "Matrix Fragments for mma.m16n8k16" and "for mma.m16n8k32". With g = lane / 4, t = lane % 4 and `per_register` elements in each:
// register i of a is row g + 8 * (i % 2), columns per_register * t + ... from k / 2 * (i / 2) on; register i of b the same rows of k, column g;
// register i of d is row g + 8 * (i / 2), column 2t + i % 2.
template <class Type>
void multiply(const Rendezvous& r) {
  using Wide = typename Type::Wide;
  using Lane = Operands<typename Type::Sum>;
  constexpr int k = Type::k, per_register = Type::per_register;
  Wide a[16][k], b[k][8];
  for (int lane = 0; lane < static_cast<int>(lanes); ++lane) {
    const Lane& operands = *static_cast<const Lane*>(r.in[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int e = 0; e < per_register; ++e) {
      for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][per_register * t + e + k / 2 * (i / 2)] = Type::element(operands.a[i], e);
      for (int i = 0; i < 2; ++i) b[per_register * t + e + k / 2 * i][g] = Type::element(operands.b[i], e);
    }
  }
  Wide products[16][8] = {};
  for (int row = 0; row < 16; ++row) {
    for (int i = 0; i < k; ++i) {
      for (int column = 0; column < 8; ++column) products[row][column] += a[row][i] * b[i][column];
    }
  }
  for (int lane = 0; lane < static_cast<int>(lanes); ++lane) {
    const Lane& operands = *static_cast<const Lane*>(r.in[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      operands.d[i] = static_cast<typename Type::Sum>(operands.d[i] + products[g + 8 * (i / 2)][2 * t + i % 2]);
    }
  }
}

template <class Type>
void mma(const char* name, typename Type::Sum* d, const uint32_t* a, const uint32_t* b, Site site) {
  const Operands<typename Type::Sum> operands{d, a, b};
  cuda_host::rendezvous(name, all_lanes, &operands, nullptr, multiply<Type>, cuda_host::Places::same, site);
}

// ---- ldmatrix ----

// PTX ISA, "ldmatrix": lane 8 * j + i gives the address of row i of matrix j, and lane l gets element pair l % 4 of row l / 4 of each matrix.
void load_matrices(const Rendezvous& r) {
  constexpr unsigned matrices = 4, rows = 8 * matrices;
  constexpr size_t row_bytes = 16;
  uint32_t pairs[rows][4];
  for (unsigned lane = 0; lane < rows; ++lane) {
    const void* row = *static_cast<const void* const*>(r.in[lane]);
    if (reinterpret_cast<uintptr_t>(row) % row_bytes != 0) {
      fail(r.site, "ldmatrix: lane %u gives an address that is not aligned to 16 bytes", lane);
    }
    cuda_host::require_shared("ldmatrix", row, row_bytes, r.site);
    if (cuda_host::is_forbidden(row, row_bytes)) {
      fail(r.site, "ldmatrix: lane %u gives the address of a cp.async that has not been waited for", lane);
    }
    cuda_host::race::access(*thread_of(*r.warp, lane), row, row_bytes, cuda_host::race::Access::read, r.site);
    std::memcpy(pairs[lane], row, row_bytes);
  }
  for (unsigned lane = 0; lane < lanes; ++lane) {
    for (unsigned j = 0; j < matrices; ++j) static_cast<uint32_t*>(r.out[lane])[j] = pairs[8 * j + lane / 4][lane % 4];
  }
}

}  // namespace

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  mma<Bf16>("mma.m16n8k16.bf16", d, a, b, site);
}
void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  mma<F16>("mma.m16n8k16.f16", d, a, b, site);
}
void mma_m16n8k32_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  mma<S8>("mma.m16n8k32.s8", d, a, b, site);
}

void ldmatrix_x4(uint32_t (&r)[4], const void* row, Site site) {
  cuda_host::rendezvous("ldmatrix.x4", all_lanes, &row, r, load_matrices, cuda_host::Places::same, site);
}

}  // namespace torchao_ops::cuda::ptx
