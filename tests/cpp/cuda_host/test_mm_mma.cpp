// The tensor-core product in a few shapes that take it all its ways: rings that go round, several slabs, splits, partial rows and columns, both
// widths of copies, every shape of block. What mutants.py breaks is found by this program.
#include <gtest/gtest.h>

#include <cuda_runtime.h>

#include <cmath>
#include <string>

#include "csrc/cuda/fp8_mm_mma.h"
#include "csrc/cuda/int4_mm_mma.h"
#include "csrc/cuda/sparse24_mm_mma.h"
#include "tests/cpp/fp8_problem.h"
#include "tests/cpp/int4_problem.h"
#include "tests/cpp/sparse24_problem.h"

namespace torchao_ops::test {
namespace {

// Many multiprocessors ask for splits along K, one for none.
int multiprocessors;
// Of compute capabilities 8.6 and 8.9, which have the least, or as much as the device has.
bool least_shared_memory = false;

template <class Args, Status (*multiply)(const Args&, const cuda::Context&),
          int64_t (*workspace_bytes)(const Args&, const cuda::Device&), bool (*supports)(const Args&)>
Status run(const Args& args, const Parallel&) {
  EXPECT_TRUE(supports(args));
  cuda::Context context{};
  EXPECT_EQ(cuda::get_device(0, &context.device), Status::ok);
  context.device.multiprocessors = multiprocessors;
  if (least_shared_memory) {
    context.device.shared_bytes_per_block = 99 << 10;
    context.device.shared_bytes_per_multiprocessor = 100 << 10;
  }
  EXPECT_EQ(cudaMalloc(&context.workspace, static_cast<size_t>(workspace_bytes(args, context.device))), cudaSuccess);
  const Status status = multiply(args, context);
  EXPECT_EQ(cudaFree(context.workspace), cudaSuccess);
  return status;
}

// Runs a problem whose operands are set.
template <class Args, class Problem>
void expect_reference(const char* name, Status (*run)(const Args&, const Parallel&), void (*reference)(const Args&, double*),
                      Problem& problem) {
  const MmCase& c = problem.shape();
  std::vector<double> expected(static_cast<size_t>(c.M * c.N));
  reference(problem.args(), expected.data());
  const std::vector<uint8_t> y = problem.run(name, run, Parallel{});
  for (int64_t i = 0; i < c.M * c.N; ++i) {
    const float value = round_to(c.x_type, static_cast<float>(expected[static_cast<size_t>(i)])), got = y_at(y, c.x_type, i);
    ASSERT_TRUE(got == value || (std::isnan(got) && std::isnan(value)))
        << "y[" << i / c.N << ", " << i % c.N << "] of " << text_of(c) << " is " << got << ", not " << value;
  }
}

struct Operator {
  const char* name;
  // Of random operands with which all sums are exact: one wrong code, row or register is a wrong bit.
  void (*expect_exact)(const Operator& op, MmCase c, Random& random);
};

template <bool dynamic>
void expect_exact_int4(const Operator& op, MmCase c, Random& random) {
  Int4Problem problem(c);
  problem.fill_exact(random, dynamic);
  if (dynamic) {
    expect_reference(
        op.name,
        run<Int4MmArgs, cuda::int4_dynamic_mm_mma, cuda::int4_dynamic_mm_mma_workspace_bytes, cuda::supports_int4_dynamic_mm_mma>,
        int4_dynamic_mm_ref, problem);
  } else {
    expect_reference(op.name, run<Int4MmArgs, cuda::int4_mm_mma, cuda::int4_mm_mma_workspace_bytes, cuda::supports_int4_mm_mma>,
                     int4_mm_ref, problem);
  }
}

// One scale for each row, or for pieces.
template <bool dynamic>
Status run_fp8(const Fp8MmArgs& args, const Parallel& parallel) {
  if (dynamic) {
    return run<Fp8MmArgs, cuda::fp8_dynamic_mm_mma, cuda::fp8_dynamic_mm_mma_workspace_bytes, cuda::supports_fp8_dynamic_mm_mma>(
        args, parallel);
  }
  return run<Fp8MmArgs, cuda::fp8_mm_mma, cuda::fp8_mm_mma_workspace_bytes, cuda::supports_fp8_mm_mma>(args, parallel);
}
MmCase fp8_case(MmCase c, Float8Type type) {
  c.float8_type = type;
  c.row_block = c.M % 2 == 0 ? 1 : fp8::block;
  if (c.M % 3 == 0) c.group_size = fp8::all;
  return c;
}
template <bool dynamic, Float8Type type>
void expect_exact_fp8(const Operator& op, MmCase c, Random& random) {
  Fp8Problem problem(fp8_case(c, type));
  problem.fill_exact(random, dynamic);
  expect_reference(op.name, run_fp8<dynamic>, dynamic ? fp8_dynamic_mm_ref : fp8_mm_ref, problem);
}

// Rows of a bitmask are multiples of 4 bytes, and their last byte has bits beyond K.
template <bool dynamic>
Status run_sparse24(const Sparse24MmArgs& args, const Parallel& parallel) {
  if (dynamic) {
    return run<Sparse24MmArgs, cuda::sparse24_dynamic_mm_mma, cuda::sparse24_dynamic_mm_mma_workspace_bytes,
               cuda::supports_sparse24_dynamic_mm_mma>(args, parallel);
  }
  return run<Sparse24MmArgs, cuda::sparse24_mm_mma, cuda::sparse24_mm_mma_workspace_bytes, cuda::supports_sparse24_mm_mma>(
      args, parallel);
}
MmCase sparse24_case(MmCase c, sparse24::ValueType type) {
  c.K = ceil_div(c.K, 32) * 32 - (c.M % 2 == 0 ? 0 : 3);
  c.value_type = type;
  return c;
}
template <bool dynamic, sparse24::ValueType type>
void expect_exact_sparse24(const Operator& op, MmCase c, Random& random) {
  Sparse24Problem problem(sparse24_case(c, type));
  problem.fill_exact(random, dynamic);
  expect_reference(op.name, run_sparse24<dynamic>, dynamic ? sparse24_dynamic_mm_ref : sparse24_mm_ref, problem);
}

const Operator operators[] = {{"Bf16", expect_exact_int4<false>},
                              {"Int8", expect_exact_int4<true>},
                              {"Fp8E4m3fn", expect_exact_fp8<true, Float8Type::e4m3fn>},
                              {"Fp8E5m2Bf16", expect_exact_fp8<false, Float8Type::e5m2>},
                              {"Sparse24Bf16", expect_exact_sparse24<false, sparse24::ValueType::bf16>},
                              {"Sparse24Int8", expect_exact_sparse24<true, sparse24::ValueType::int8>},
                              {"Sparse24E4m3fn", expect_exact_sparse24<true, sparse24::ValueType::e4m3fn>}};
std::ostream& operator<<(std::ostream& out, const Operator& op) { return out << op.name; }

// K bytes of codes a row are a multiple of 4 and, in some cases, not of 16.
class MmMma : public testing::TestWithParam<Operator> {
 protected:
  void expect_exact(MmCase c, int device_multiprocessors) {
    c.x_type = c.scale_type = FloatType::bf16;
    multiprocessors = device_multiprocessors;
    GetParam().expect_exact(GetParam(), c, random_);
  }

  Random random_{0};
};

TEST_P(MmMma, FewRows) {
  expect_exact({5, 33, 5336, 128}, 132);
  expect_exact({8, 30, 10280, 96, {}, {}, FloatType::bf16}, 1);
}
TEST_P(MmMma, MoreRows) {
  expect_exact({11, 70, 2592, 32}, 132);
  expect_exact({27, 60, 1800, 64, {}, {}, FloatType::f32}, 1);
}
TEST_P(MmMma, ManyRows) {
  expect_exact({67, 260, 648, 96}, 132);
  expect_exact({40, 36, 648, 96}, 1);
}

TEST_P(MmMma, FitsTheSmallestDevices) {
  least_shared_memory = true;
  for (const int64_t M : {8, 16, 32, 64}) expect_exact({M, 40, 640, 32}, 1);
  least_shared_memory = false;
}

// A quad that keeps too many, wherever it is: its column is NaN, whichever lane, warp and split sees it.
class Violations : public testing::TestWithParam<Operator> {};
TEST_P(Violations, AreSeen) {
  multiprocessors = 132;
  Random random(0);
  const bool dynamic = std::string(GetParam().name) != "Sparse24Bf16";
  const auto type = !dynamic                                         ? sparse24::ValueType::bf16
                    : std::string(GetParam().name) == "Sparse24Int8" ? sparse24::ValueType::int8
                                                                     : sparse24::ValueType::e4m3fn;
  MmCase c{3, 40, 2048, 128};
  c.x_type = c.scale_type = FloatType::bf16;
  Sparse24Problem problem(sparse24_case(c, type));
  problem.fill_exact(random, dynamic);
  for (int64_t n = 0; n < c.N; n += 2) problem.set_bits(n, 25 * n / 2 % 512, 0x7);
  expect_reference(GetParam().name, dynamic ? run_sparse24<true> : run_sparse24<false>,
                   dynamic ? sparse24_dynamic_mm_ref : sparse24_mm_ref, problem);
}
// A number that is not finite, wherever it is: its column is NaN, or Inf, whichever lane, warp and split sees it.
TEST(Fp8, WhatIsNotFiniteIsSeen) {
  multiprocessors = 132;
  Random random(0);
  for (const Float8Type type : {Float8Type::e4m3fn, Float8Type::e5m2}) {
    for (const int64_t group_size : {int64_t{128}, fp8::all}) {
      MmCase c{3, 40, 2048, group_size};
      c.x_type = c.scale_type = FloatType::bf16;
      c.float8_type = type;
      Fp8Problem problem(c);
      problem.fill_exact(random, false);
      for (int64_t n = 0; n < c.N; n += 2) {
        problem.set_byte(n, 101 * n % c.K, type == Float8Type::e5m2 && n % 4 == 0 ? 0xfc : 0x7f);
        for (int64_t m = 0; m < c.M; ++m) problem.set_x(m, 101 * n % c.K, 1);
      }
      expect_reference("Fp8", run_fp8<false>, fp8_mm_ref, problem);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operators, Violations, testing::ValuesIn(operators + 4, operators + 7),
                         [](const testing::TestParamInfo<Operator>& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(Operators, MmMma, testing::ValuesIn(operators),
                         [](const testing::TestParamInfo<Operator>& info) { return info.param.name; });

}  // namespace
}  // namespace torchao_ops::test
