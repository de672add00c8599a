#include "engine/program/step_profile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lapilli::test {
namespace {

using Json = nlohmann::json;

// A step of 1000 ns at `begin_ns`, with the device busy for 900 ns from 50 on.
StepProfile step_at(int64_t begin_ns, uint64_t number) {
  StepProfile step{.step = number};
  step.host = {{.name = "upload", .begin_ns = begin_ns, .end_ns = begin_ns + 30},
               {.name = "wait", .begin_ns = begin_ns + 30, .end_ns = begin_ns + 990, .waits_for_device = true},
               {.name = "read", .begin_ns = begin_ns + 990, .end_ns = begin_ns + 1000}};
  step.device.begin_host_ns = begin_ns + 50;
  step.device.deviation_ns = 7;
  step.device.spans = {{.scope = "forward/matmul", .dispatches = 2, .flops = 3000, .bytes = 100, .begin_ns = 0, .ns = 300.4},
                       {.scope = "forward/norm", .dispatches = 1, .flops = 10, .bytes = 500, .begin_ns = 300.4, .ns = 100.2},
                       {.scope = "forward/matmul", .dispatches = 2, .flops = 3000, .bytes = 100, .begin_ns = 400.6, .ns = 299.4},
                       {.scope = "optimizer", .dispatches = 1, .flops = 0, .bytes = 400, .begin_ns = 700, .ns = 200}};
  return step;
}

const Ceilings kCeilings{.flops_per_s = 20e9, .bytes_per_s = 10e9};

TEST(StepProfile, Summary_AveragesSteps_AndReportsGpuCoverage) {
  StepProfile slow = step_at(5000, 2);
  slow.host[1].end_ns += 1000;
  slow.host[2].begin_ns += 1000;
  slow.host[2].end_ns += 1000;
  const std::vector<StepProfile> steps{step_at(0, 1), slow};
  EXPECT_EQ(steps[0].wall_ns(), 1000);
  EXPECT_EQ(steps[0].host_ns(), 40);
  const StepSummary summary = summarize(steps);
  EXPECT_EQ(summary.wall_ns, 1500);
  EXPECT_DOUBLE_EQ(summary.device.total_ns(), 900);
  EXPECT_DOUBLE_EQ(summary.gpu_coverage(), 0.6);
  EXPECT_DOUBLE_EQ(summary.host_share(), 40.0 / 1500);
  ASSERT_EQ(summary.device.spans.size(), 3U);
  EXPECT_EQ(summary.device.spans[0].scope, "forward/matmul");
  EXPECT_EQ(summary.device.spans[0].dispatches, 4U);
  EXPECT_EQ(summary.device.spans[0].flops, 6000);
  const std::string table = profile_table(summary, kCeilings);
  EXPECT_NE(table.find("GPU coverage 60.0 % of the step; host 2.67 %"), std::string::npos) << table;
  EXPECT_NE(table.find("50.0% compute"), std::string::npos) << table;  // 10 of 20 FLOP/ns
}

TEST(StepProfile, CeilingShare_IsOfTheLowerCeiling) {
  const ProfileSpan span{.scope = "x", .flops = 100, .bytes = 100, .ns = 50};
  EXPECT_DOUBLE_EQ(share_of_ceiling(span, kCeilings).share, 0.2);
  EXPECT_TRUE(share_of_ceiling(span, kCeilings).of_memory);
  EXPECT_FALSE(share_of_ceiling(span, {.flops_per_s = 20e9}).of_memory);
  EXPECT_EQ(share_of_ceiling(span, {}).share, 0);
  EXPECT_EQ(share_of_ceiling({.scope = "x", .flops = 1}, kCeilings).share, 0);
}

TEST(StepProfile, CeilingShare_OfMatrices_UsesTheMatrixCeiling) {
  const Ceilings both{.flops_per_s = 20e9, .bytes_per_s = 10e9, .matrix_flops_per_s = 200e9};
  // 800 FLOPs of matrices take 4 ns at least, 200 others 10 ns.
  const ProfileSpan span{.scope = "x", .flops = 1000, .bytes = 10, .matrix_flops = 800, .ns = 28};
  EXPECT_DOUBLE_EQ(share_of_ceiling(span, both).share, 0.5);
  EXPECT_FALSE(share_of_ceiling(span, both).of_memory);
  EXPECT_DOUBLE_EQ(share_of_ceiling(span, kCeilings).share, 1000.0 / 20 / 28);  // not measured: ceiling of the others
  EXPECT_EQ(both.matmul_flops_per_s(), 200e9);
  EXPECT_EQ(kCeilings.matmul_flops_per_s(), 20e9);
}

TEST(StepProfile, Summary_TakesMeansOfAllWork) {
  std::vector<StepProfile> steps{step_at(0, 1), step_at(0, 2)};
  steps[1].device.spans[0].matrix_flops = 600;
  steps[1].device.spans[0].flops = 5000;
  const StepSummary summary = summarize(steps);
  EXPECT_EQ(summary.device.spans[0].matrix_flops, 300);
  EXPECT_EQ(summary.device.spans[0].flops, 7000);
  EXPECT_EQ(summary.device.spans[0].bytes, 200);
}

TEST(Trace, DeviceEvents_NestInWholeNanoseconds_OnTheHostsClock) {
  const std::vector<StepProfile> steps{step_at(1'000'000'000'000'001, 41)};
  const Json trace = Json::parse(trace_json(steps, kCeilings, {{"device", "a \"card\""}}));
  EXPECT_EQ(trace["otherData"]["device"], "a \"card\"");
  EXPECT_EQ(trace["otherData"]["clock_alignment"], "calibrated timestamps, within 7 ns");
  std::vector<std::string> seen;
  for (const Json& event : trace["traceEvents"])
    if (event["ph"] == "X")
      seen.push_back(fmt::format("{} {} {} {}", event["pid"].get<int>(), event["name"].get<std::string>(), event["ts"].get<double>(),
                                 event["dur"].get<double>()));
  const std::vector<std::string> expected{"1 step 0 1",           "1 upload 0 0.03",     "1 wait 0.03 0.96",  "1 read 0.99 0.01",
                                          "2 step 0.05 0.9",      "2 forward 0.05 0.7",  "2 matmul 0.05 0.3", "2 norm 0.35 0.101",
                                          "2 matmul 0.451 0.299", "2 optimizer 0.75 0.2"};
  EXPECT_EQ(seen, expected);
}

TEST(Trace, WithoutCalibratedTimestamps_SaysSo) {
  std::vector<StepProfile> steps{step_at(0, 1)};
  steps[0].device.deviation_ns.reset();
  EXPECT_NE(trace_json(steps, {}, {}).find("no calibrated timestamps: the device's first scope is put at the moment of submission"),
            std::string::npos);
  steps[0].device.spans.clear();
  EXPECT_NE(trace_json(steps, {}, {}).find("the device has no timestamps"), std::string::npos);
}

}  // namespace
}  // namespace lapilli::test
