// The tensor-core product in a few shapes that take it all its ways: rings that go round, several slabs, splits, partial rows and columns, both
// widths of copies, every shape of block. What mutants.py breaks is found by this program.
#include <gtest/gtest.h>

#include <cuda_runtime.h>

#include "csrc/cuda/int4_mm_mma.h"
#include "tests/cpp/int4_problem.h"

namespace torchao_ops::test {
namespace {

// Many multiprocessors ask for splits along K, one for none.
int multiprocessors;

template <Status (*multiply)(const Int4MmArgs&, const cuda::Context&),
          int64_t (*workspace_bytes)(const Int4MmArgs&, const cuda::Device&)>
Status run(const Int4MmArgs& args, const Parallel&) {
  cuda::Context context{};
  EXPECT_EQ(cuda::get_device(0, &context.device), Status::ok);
  context.device.multiprocessors = multiprocessors;
  EXPECT_EQ(cudaMalloc(&context.workspace, static_cast<size_t>(workspace_bytes(args, context.device))), cudaSuccess);
  const Status status = multiply(args, context);
  EXPECT_EQ(cudaFree(context.workspace), cudaSuccess);
  return status;
}

struct Operator {
  const char* name;
  bool dynamic;
  Status (*run)(const Int4MmArgs&, const Parallel&);
  void (*reference)(const Int4MmArgs&, double*);
};
const Operator bf16{"Bf16", false, run<cuda::int4_mm_mma, cuda::int4_mm_mma_workspace_bytes>, int4_mm_ref};
const Operator int8{"Int8", true, run<cuda::int4_dynamic_mm_mma, cuda::int4_dynamic_mm_mma_workspace_bytes>, int4_dynamic_mm_ref};
std::ostream& operator<<(std::ostream& out, const Operator& op) { return out << op.name; }

class MmMma : public testing::TestWithParam<Operator> {
 protected:
  // Values with which all sums are exact: one wrong code, row or register is a wrong bit. K bytes of codes a row are a multiple of 4 and, in some cases,
  // not of 16.
  void expect_exact(MmCase c, int device_multiprocessors) {
    c.x_type = c.scale_type = FloatType::bf16;
    multiprocessors = device_multiprocessors;
    Int4Problem problem(c);
    problem.fill_exact(random_, GetParam().dynamic);
    std::vector<double> reference(static_cast<size_t>(c.M * c.N));
    GetParam().reference(problem.args(), reference.data());
    const std::vector<uint8_t> y = problem.run(GetParam().name, GetParam().run, Parallel{});
    for (int64_t i = 0; i < c.M * c.N; ++i) {
      ASSERT_EQ(y_at(y, c.x_type, i), round_to(c.x_type, static_cast<float>(reference[static_cast<size_t>(i)])))
          << "y[" << i / c.N << ", " << i % c.N << "] of " << text_of(c);
    }
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

INSTANTIATE_TEST_SUITE_P(Operators, MmMma, testing::Values(bf16, int8),
                         [](const testing::TestParamInfo<Operator>& info) { return info.param.name; });

}  // namespace
}  // namespace torchao_ops::test
