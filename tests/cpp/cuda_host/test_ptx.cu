// The wrappers of csrc/cuda/ptx.cuh: fragments, rounding, ldmatrix, and when the bytes of cp.async can be seen.
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "csrc/spec/float_types.h"
#include "tests/cpp/cuda_host/self_test.h"

namespace cuda_host::self_test {
namespace {

using torchao_ops::BFloat16;
using torchao_ops::Half;

// ---- mma ----

enum class Type { bf16, f16, s8 };

struct Fragments {  // of a warp
  uint32_t a[32][4], b[32][2];
  uint32_t d[32][4];  // fp32 or int32
};

__global__ void mma_kernel(Type type, Fragments* f) {
  const unsigned lane = threadIdx.x;
  uint32_t a[4], b[2];
  float real[4];
  int32_t whole[4];
  memcpy(a, f->a[lane], sizeof(a));
  memcpy(b, f->b[lane], sizeof(b));
  memcpy(real, f->d[lane], sizeof(real));
  memcpy(whole, f->d[lane], sizeof(whole));
  switch (type) {
    case Type::bf16: ptx::mma_m16n8k16_bf16(real, a, b); break;
    case Type::f16: ptx::mma_m16n8k16_f16(real, a, b); break;
    case Type::s8: ptx::mma_m16n8k32_s8(whole, a, b); break;
  }
  if (type == Type::s8) {
    memcpy(f->d[lane], whole, sizeof(whole));
  } else {
    memcpy(f->d[lane], real, sizeof(real));
  }
}

// Where the PTX ISA puts element i of a lane's fragment, in its own words ("Matrix Fragments for mma.m16n8k16 with floating point type", "Matrix
// Fragments for mma.m16n8k32"). An element is 16 bits, two in a register, or 8 bits, four in one.
struct Place {
  int row, column;
};
Place a_place(Type type, int lane, int i) {
  const int groupID = lane >> 2, threadID_in_group = lane % 4;
  if (type == Type::s8) {
    return {(0 <= i && i < 4) || (8 <= i && i < 12) ? groupID : groupID + 8,
            i < 8 ? threadID_in_group * 4 + (i & 3) : threadID_in_group * 4 + (i & 3) + 16};
  }
  return {(0 <= i && i < 2) || (4 <= i && i < 6) ? groupID : groupID + 8,
          i < 4 ? threadID_in_group * 2 + (i & 1) : threadID_in_group * 2 + (i & 1) + 8};
}
Place b_place(Type type, int lane, int i) {
  const int groupID = lane >> 2, threadID_in_group = lane % 4;
  if (type == Type::s8) return {i < 4 ? threadID_in_group * 4 + (i & 3) : threadID_in_group * 4 + (i & 3) + 16, groupID};
  return {i < 2 ? threadID_in_group * 2 + (i & 1) : threadID_in_group * 2 + (i & 1) + 8, groupID};
}
Place d_place(int lane, int i) {
  const int groupID = lane >> 2, threadID_in_group = lane % 4;
  return {i < 2 ? groupID : groupID + 8, threadID_in_group * 2 + (i & 1)};
}

int k_of(Type type) { return type == Type::s8 ? 32 : 16; }
int elements_per_register(Type type) { return type == Type::s8 ? 4 : 2; }

uint32_t bits_of(Type type, float value) {
  if (type == Type::s8) return static_cast<uint8_t>(static_cast<int>(value));
  if (type == Type::bf16) {
    BFloat16 x;
    torchao_ops::from_float(value, &x);
    return x.bits;
  }
  Half x;
  torchao_ops::from_float(value, &x);
  return x.bits;
}

uint32_t bits_of_sum(Type type, float value) {
  return type == Type::s8 ? static_cast<uint32_t>(static_cast<int32_t>(value)) : torchao_ops::float_bits(value);
}

using Matrix = std::function<float(int row, int column)>;

// Element (row, column) of d + a * b, as bits.
std::function<uint32_t(int, int)> multiply(Type type, const Matrix& a, const Matrix& b, const Matrix& d) {
  const DeviceArray<Fragments> fragments(1);
  Fragments& f = fragments[0];
  f = {};
  const int per_register = elements_per_register(type), bits = 32 / per_register;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4 * per_register; ++i) {
      const Place place = a_place(type, lane, i);
      f.a[lane][i / per_register] |= bits_of(type, a(place.row, place.column)) << bits * (i % per_register);
    }
    for (int i = 0; i < 2 * per_register; ++i) {
      const Place place = b_place(type, lane, i);
      f.b[lane][i / per_register] |= bits_of(type, b(place.row, place.column)) << bits * (i % per_register);
    }
    for (int i = 0; i < 4; ++i) {
      const Place place = d_place(lane, i);
      f.d[lane][i] = bits_of_sum(type, d(place.row, place.column));
    }
  }
  EXPECT_EQ("", error_of(mma_kernel, 1, 32, 0, type, &f));
  std::array<std::array<uint32_t, 8>, 16> result;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place place = d_place(lane, i);
      result[static_cast<size_t>(place.row)][static_cast<size_t>(place.column)] = f.d[lane][i];
    }
  }
  return [result](int row, int column) { return result[static_cast<size_t>(row)][static_cast<size_t>(column)]; };
}

class Mma : public testing::TestWithParam<Type> {};

TEST_P(Mma, IsTheProductOfMatrices) {
  // Small integers, different in every place, so that all sums are exact.
  const Matrix a = [](int row, int k) { return static_cast<float>((row * 7 + k * 3) % 11 - 5); };
  const Matrix b = [](int k, int column) { return static_cast<float>((k * 5 + column * 2) % 13 - 6); };
  const Matrix d = [](int row, int column) { return static_cast<float>(100 * row + column); };
  const auto result = multiply(GetParam(), a, b, d);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float sum = d(row, column);
      for (int k = 0; k < k_of(GetParam()); ++k) sum += a(row, k) * b(k, column);
      EXPECT_EQ(result(row, column), bits_of_sum(GetParam(), sum)) << row << "," << column;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Mma, testing::Values(Type::bf16, Type::f16, Type::s8));

// The places above once more, as numbers: a one in one register of one lane picks one element of b.
TEST(MmaFragments, OfSixteenBits) {
  const DeviceArray<Fragments> fragments(1);
  Fragments& f = fragments[0];
  f = {};
  f.a[6][3] = 0x3f800000u;   // lane 6 is row 1; register 3 its row 9, columns 12 and 13; the high half is column 13
  f.b[22][1] = 0x40000000u;  // 2 in row 13, column 5
  EXPECT_EQ("", error_of(mma_kernel, 1, 32, 0, Type::bf16, &f));
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(f.d[lane][i], lane == 6 && i == 3 ? 0x40000000u : 0u) << lane << " " << i;  // row 9, column 5
  }
}

TEST(MmaFragments, OfEightBits) {
  const DeviceArray<Fragments> fragments(1);
  Fragments& f = fragments[0];
  f = {};
  f.a[31][1] = 0x00fd0000u;  // -3 in row 15, column 14
  f.b[3][0] = 0x00050000u;   // 5 in row 14, column 0
  EXPECT_EQ("", error_of(mma_kernel, 1, 32, 0, Type::s8, &f));
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(f.d[lane][i], lane == 28 && i == 2 ? static_cast<uint32_t>(-15) : 0u) << lane << " " << i;
  }
}

TEST(MmaArithmetic, RoundsToFp32Once) {
  const Matrix halves = [](int, int) { return 0.5f; }, ones = [](int, int) { return 1.0f; };
  // One after another, 16 halves would vanish beside 2^24; their sum, 8, does not.
  const auto result = multiply(Type::bf16, halves, ones, [](int, int) { return 0x1p24f; });
  EXPECT_EQ(result(0, 0), torchao_ops::float_bits(0x1p24f + 8));
}

TEST(MmaArithmetic, KnowsSubnormalsInfinityAndNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Matrix zeros = [](int, int) { return 0.0f; }, ones = [](int, int) { return 1.0f; };
  const Matrix first = [](int, int k) { return k == 0 ? 0x1p-24f : 0.0f; };  // fp16's smallest
  EXPECT_EQ(multiply(Type::f16, first, ones, zeros)(3, 3), torchao_ops::float_bits(0x1p-24f));
  const Matrix infinite = [&](int row, int k) { return row == 2 && k == 5 ? infinity : 1.0f; };
  EXPECT_EQ(multiply(Type::f16, infinite, ones, zeros)(2, 7), torchao_ops::float_bits(infinity));
  EXPECT_EQ(multiply(Type::f16, infinite, ones, zeros)(3, 7), torchao_ops::float_bits(16.0f));
  EXPECT_TRUE(std::isnan(torchao_ops::float_from_bits(multiply(Type::bf16, infinite, zeros, zeros)(2, 7))));
}

TEST(MmaArithmetic, IntegersWrap) {
  const Matrix a = [](int, int k) { return k == 0 ? 1.0f : 0.0f; }, ones = [](int, int) { return 1.0f; };
  const Matrix large = [](int, int) { return 2147483520.0f; };  // 2^31 - 128
  const Matrix most = [](int, int) { return -128.0f; };
  EXPECT_EQ(multiply(Type::s8, a, ones, large)(0, 0), 0x7fffff81u);
  EXPECT_EQ(multiply(Type::s8, most, most, large)(0, 0), 0x7fffff80u + 32 * 128 * 128);
}

__global__ void half_warp_mma_kernel() {
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x < 16) ptx::mma_m16n8k16_bf16(d, a, b);
}

TEST(MmaArithmetic, NeedsAllLanes) { EXPECT_ERROR("mma.m16n8k16.bf16", error_of(half_warp_mma_kernel, 1, 32, 0)); }

TEST(Logic, AndOr) { EXPECT_EQ(ptx::and_or(0x0ff0u, 0x00ffu, 0x8001u), 0x80f1u); }

// ---- ldmatrix ----

// Element c of row i of matrix j is 1000 j + 10 i + c. `shift` displaces addresses.
__global__ void ldmatrix_kernel(int shift, uint32_t* out) {
  TORCHAO_OPS_DYNAMIC_SHARED(uint16_t, elements);
  const unsigned lane = threadIdx.x;
  for (unsigned c = 0; c < 8; ++c) elements[8 * lane + c] = static_cast<uint16_t>(1000 * (lane / 8) + 10 * (lane % 8) + c);
  __syncwarp();
  uint32_t r[4];
  ptx::ldmatrix_x4(r, elements + 8 * lane + shift);
  for (unsigned j = 0; j < 4; ++j) out[4 * lane + j] = r[j];
}
__global__ void ldmatrix_of_global_kernel(const uint32_t* in, uint32_t* out) {
  uint32_t r[4];
  ptx::ldmatrix_x4(r, in);
  out[threadIdx.x] = r[0];
}

TEST(Ldmatrix, GivesEachLaneAPairOfEachMatrix) {
  const DeviceArray<uint32_t> out(128);
  EXPECT_NO_ERROR(error_of(ldmatrix_kernel, 1, 32, 512, 0, out.data()));
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t first = 1000 * j + 10 * (lane / 4) + 2 * (lane % 4);
      EXPECT_EQ(out[4 * lane + j], (first + 1) << 16 | first);
    }
  }
  EXPECT_EQ(out[4 * 13 + 2], 2033u << 16 | 2032u);  // lane 13: row 3, columns 2 and 3
}

TEST(Ldmatrix, MisuseIsReported) {
  const DeviceArray<uint32_t> out(128);
  EXPECT_ERROR("not aligned to 16 bytes", error_of(ldmatrix_kernel, 1, 32, 512, 4, out.data()));
  EXPECT_ERROR("ldmatrix: 16 bytes at offset 512 of dynamic shared memory, which has 512",
               error_of(ldmatrix_kernel, 1, 32, 512, 8, out.data()));
  EXPECT_ERROR("is not shared memory", error_of(ldmatrix_of_global_kernel, 1, 32, 0, out.data(), out.data()));
}

// ---- cp.async ----

// The bytes that a thread sees in shared memory at each step of three copies in two groups.
struct Seen {
  uint32_t issued, committed, after_first, after_all[12];
};

__global__ void copy_kernel(const uint32_t* in, Seen* seen) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [3]);
  volatile uint32_t* words = reinterpret_cast<volatile uint32_t*>(staged);
  for (int i = 0; i < 12; ++i) words[i] = 7;
  ptx::cp_async_16(&staged[0], in);
  ptx::cp_async_commit();
  ptx::cp_async_16(&staged[1], in + 4, 6);
  ptx::cp_async_4(reinterpret_cast<uint32_t*>(staged) + 8, in + 8, 4);
  ptx::cp_async_4(reinterpret_cast<uint32_t*>(staged) + 9, in, 0);
  ptx::cp_async_commit();
  ptx::cp_async_wait<1>();
  seen->after_first = words[0];
  ptx::cp_async_wait<0>();
  for (int i = 0; i < 12; ++i) seen->after_all[i] = words[i];
}

TEST(CpAsync, BringsBytesAndZeros) {
  const DeviceArray<uint32_t> in(12);
  const DeviceArray<Seen> seen(1);
  for (uint32_t i = 0; i < 12; ++i) in[i] = 0x01010101u * (i + 1);
  EXPECT_NO_ERROR(error_of(copy_kernel, 1, 1, 0, in.data(), seen.data()));
  EXPECT_EQ(seen[0].after_first, 0x01010101u);
  const uint32_t expected[12] = {0x01010101u, 0x02020202u, 0x03030303u, 0x04040404u, 0x05050505u, 0x00000606u,
                                 0,           0,           0x09090909u, 0,           7,           7};
  for (int i = 0; i < 12; ++i) EXPECT_EQ(seen[0].after_all[i], expected[i]) << i;
}

enum class Wait { none, uncommitted, weak, enough };

// Groups 0, 1 and 2 copy a word each; reads the words of groups 0 and 1 after waiting for them, or not quite.
__global__ void wait_kernel(const uint32_t* in, Wait wait, uint32_t* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [3]);
  for (int i = 0; i < 3; ++i) {
    ptx::cp_async_16(&staged[i], in + 4 * i);
    if (wait != Wait::uncommitted) ptx::cp_async_commit();
  }
  switch (wait) {
    case Wait::none: break;
    case Wait::uncommitted: ptx::cp_async_wait<0>(); break;
    case Wait::weak: ptx::cp_async_wait<2>(); break;
    case Wait::enough: ptx::cp_async_wait<1>(); break;
  }
  const volatile uint32_t* words = reinterpret_cast<const volatile uint32_t*>(staged);
  out[0] = words[0];
  out[1] = words[4];
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
}

TEST(CpAsync, BytesComeWithTheWait) {
  const DeviceArray<uint32_t> in(12), out(2);
  in.fill(5);
  set_landing(Landing::late);
  EXPECT_EQ("", error_of(wait_kernel, 1, 1, 0, in.data(), Wait::enough, out.data()));
  EXPECT_EQ(out[0], 5u);
  EXPECT_EQ(out[1], 5u);
  for (const Wait wait : {Wait::none, Wait::uncommitted, Wait::weak}) {
    if (is_race_build()) {
      EXPECT_ERROR("to which the cp.async of thread 0 at test_ptx.cu:",
                   error_of(wait_kernel, 1, 1, 0, in.data(), wait, out.data()));
    } else if (is_asan_build()) {
      EXPECT_ASAN("use-after-poison", error_of(wait_kernel, 1, 1, 0, in.data(), wait, out.data()));
    } else {
      EXPECT_EQ("", error_of(wait_kernel, 1, 1, 0, in.data(), wait, out.data()));
      EXPECT_EQ(out[0] == 5, wait == Wait::weak);
      EXPECT_TRUE(out[1] == 0xffffffffu || out[1] == 0x42424242u) << out[1];
    }
  }
  draw_landing();
}

// What the words hold before the wait, when others have had their turns.
__global__ void early_kernel(const uint32_t* in, uint32_t* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [32]);
  const unsigned lane = threadIdx.x;
  ptx::cp_async_16(&staged[lane], in);
  ptx::cp_async_commit();
  __syncwarp();
  out[lane] = *reinterpret_cast<volatile uint32_t*>(&staged[lane]);
  ptx::cp_async_wait<0>();
}

TEST(CpAsync, BytesMayComeEarlier) {
  if (is_asan_build() || is_race_build()) return;  // they report that the kernel looks at the bytes too early
  const DeviceArray<uint32_t> in(4), out(32);
  in.fill(5);
  set_landing(Landing::random);
  int early = 0, late = 0;
  for (int order = 0; order < orders; ++order) {
    ASSERT_EQ("", error_of(early_kernel, 1, 32, 0, in.data(), out.data()));
    for (int i = 0; i < 32; ++i) (out[i] == 5 ? early : late) += 1;
  }
  EXPECT_GT(early, 0);
  EXPECT_GT(late, 0);
  draw_landing();
}

__global__ void changed_source_kernel(uint32_t* in, uint32_t* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [1]);
  ptx::cp_async_16(staged, in);
  ptx::cp_async_commit();
  in[0] = 6;
  ptx::cp_async_wait<0>();
  out[0] = staged[0].x;
}

TEST(CpAsync, ReadsItsSourceAnyTimeUntilTheWait) {
  const DeviceArray<uint32_t> in(4), out(1);
  in.fill(5);
  set_landing(Landing::late);
  EXPECT_EQ("", error_of(changed_source_kernel, 1, 1, 0, in.data(), out.data()));
  EXPECT_EQ(out[0], 6u);
  draw_landing();
}

__global__ void misuse_kernel(const char* in, int to, int from, int bytes, int source_bytes, bool wait) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [2]);
  if (bytes == 16) {
    ptx::cp_async_16(reinterpret_cast<char*>(staged) + to, in + from, source_bytes);
  } else {
    ptx::cp_async_4(reinterpret_cast<char*>(staged) + to, in + from, source_bytes);
  }
  if (wait) {
    ptx::cp_async_commit();
    ptx::cp_async_wait<0>();
  }
}
__global__ void copy_to_global_kernel(char* in) {
  ptx::cp_async_16(in, in + 16);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
}
__global__ void copy_twice_kernel(const char* in) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [1]);
  ptx::cp_async_16(staged, in);
  ptx::cp_async_16(staged, in);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
}
__global__ void ldmatrix_too_early_kernel(const char* in) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [32]);
  ptx::cp_async_16(&staged[threadIdx.x], in);
  ptx::cp_async_commit();
  uint32_t r[4];
  ptx::ldmatrix_x4(r, &staged[threadIdx.x]);
  ptx::cp_async_wait<0>();
}

TEST(CpAsync, MisuseIsReported) {
  const DeviceArray<char> in(32);
  auto error = [&](int to, int from, int bytes, int source_bytes, bool wait = true) {
    return error_of(misuse_kernel, 1, 1, 0, in.data(), to, from, bytes, source_bytes, wait);
  };
  EXPECT_ERROR("", error(16, 16, 16, 16));
  EXPECT_ERROR("the destination is not aligned to 16 bytes", error(8, 0, 16, 16));
  EXPECT_ERROR("the source is not aligned to 16 bytes", error(0, 8, 16, 16));
  EXPECT_ERROR("the source is not aligned to 16 bytes", error(0, 8, 16, 0));
  EXPECT_ERROR("the destination is not aligned to 4 bytes", error(2, 0, 4, 4));
  EXPECT_ERROR("cp.async: 17 source bytes of 16", error(0, 0, 16, 17));
  EXPECT_ERROR("cp.async to: 16 bytes at offset 32 of staged, which has 32", error(32, 0, 16, 16));
  EXPECT_ERROR("cp.async from: 16 bytes at offset 32 of an allocation of 32", error(0, 32, 16, 16));
  EXPECT_NO_ERROR(error(0, 32, 16, 0));
  EXPECT_ERROR("the thread returns from the kernel and has not waited for this copy", error(0, 0, 16, 16, false));
  EXPECT_ERROR("is not shared memory", error_of(copy_to_global_kernel, 1, 1, 0, in.data()));
  if (is_asan_build() || is_race_build()) {
    EXPECT_ERROR("waited for", error_of(copy_twice_kernel, 1, 1, 0, in.data()));
    EXPECT_ERROR("waited for", error_of(ldmatrix_too_early_kernel, 1, 32, 0, in.data()));
  }
}

}  // namespace
}  // namespace cuda_host::self_test
