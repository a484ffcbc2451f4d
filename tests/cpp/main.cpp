// Prints what the tests ran with, reports crashes by case, and fails if a kernel that this machine can run was not run.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/cpp/guarded_buffer.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/random.h"

namespace torchao_ops::test {
namespace {

uint64_t number_from_environment(const char* name, uint64_t by_default) {
  const char* text = std::getenv(name);
  return text == nullptr ? by_default : std::strtoull(text, nullptr, 10);
}

class Report : public testing::Environment {
 public:
  void SetUp() override { std::printf("TORCHAO_OPS_TEST_SEED=%llu\n", static_cast<unsigned long long>(base_seed())); }
  void TearDown() override {
    const Summary result = summary();
    std::printf("%s", result.text.c_str());
    const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
    const bool all_tests_ran = tests.test_to_run_count() == tests.total_test_count();
    if (all_tests_ran && !result.complete) ADD_FAILURE() << "a kernel that this machine can run was not run:\n" << result.text;
  }
};

}  // namespace

uint64_t base_seed() {
  static const uint64_t seed = number_from_environment("TORCHAO_OPS_TEST_SEED", 1);
  return seed;
}

int64_t case_count(int64_t by_default) {
  static const int64_t percent = static_cast<int64_t>(number_from_environment("TORCHAO_OPS_TEST_PERCENT", 100));
  const int64_t count = by_default * percent / 100;
  return count < 1 ? 1 : count;
}

bool is_selected(Random& random) {
  static const int64_t percent = static_cast<int64_t>(number_from_environment("TORCHAO_OPS_TEST_EXHAUSTIVE_PERCENT", 100));
  return percent >= 100 || random.integer(0, 99) < percent;
}

}  // namespace torchao_ops::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new torchao_ops::test::Report);
  torchao_ops::test::report_crashes();
  if (const char* reason = torchao_ops::test::skip_reason()) {
    std::printf("PROGRAM SKIPPED: %s\n", reason);
    return torchao_ops::test::skip_exit_code;
  }
  return RUN_ALL_TESTS();
}
