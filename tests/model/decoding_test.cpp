// The kernels of single tokens against the double reference, in the form of this device and in that of GPUs, whose lanes share a row.

#include "tests/common/support.h"
#include "tools/check/check_run.h"

namespace lapilli::test {
namespace {

TEST(Decoding, KernelsOfSingleTokens_MatchReference) {
  for (const uint32_t row_subgroups : {0U, 2U}) {
    const std::vector<check::KernelCheck> checks = check::decoding_checks(device().caps(), row_subgroups);
    for (const check::KernelResult& result : check::run_checks(kernels(), checks)) {
      EXPECT_EQ(result.message, "") << result.kernel << ", " << result.variant << ", " << row_subgroups << " subgroups of a row";
      EXPECT_GE(result.cases, 3U);
    }
  }
}

}  // namespace
}  // namespace lapilli::test
