#include "tools/perf/amd_assembly.h"

#include <gtest/gtest.h>

#include <string>

namespace lapilli {
namespace {

TEST(LoopIteration, UnrolledLoop_CountsItsVectorInstructionsAlone) {
  constexpr auto kCode =
      "BB0:\n\tv_mov_b32_e32 v1, 0    ; 7e020280\n"
      "BB1:\n\tds_read_b128 v[2:5], v1\n\tv_fma_f32 v6, v2, v3, v6\n\tv_fmac_f32_e32 v7, v2, v4\n\tv_add_nc_u32_e32 v1, 16, v1\n"
      "\ts_cbranch_scc1 BB1      ; bf85fffa\n"
      "BB2:\n\tv_mul_f32_e32 v6, v6, v8\n\ts_endpgm\n";
  const VectorWork iteration = find_loop_iteration(kCode, 2, 64).value();
  EXPECT_EQ(iteration.multiply_adds, 2);
  EXPECT_EQ(iteration.instructions, 3);
  EXPECT_EQ(iteration.matrix_products, 0);
}

// Mesa's output for a chip that its LLVM does not support.
TEST(LoopIteration, CompilersOwnForm_IsParsedToo) {
  constexpr auto kCode =
      "After lowering to hw instructions:\nACO shader stage: SW (CS), HW (COMPUTE_SHADER)\n"
      "BB0\n/* logical preds: / linear preds: / kind: uniform, top-level, */\n\t v1: %0:v[1] = v_mov_b32 0\n"
      "BB1\n\t v1: %421:v[6],  s2: %7:vcc = v_fmac_f32 %4320:v[64], %4316:v[60], %398:v[6]\n\t v1: %2:v[1] = v_add_u32 16, %1:v[1]\n"
      "\ts_cbranch_scc1 block:BB1\n"
      "BB2\n\ts_endpgm\n";
  EXPECT_EQ(find_loop_iteration(kCode, 1, 64).value().instructions, 2);
}

TEST(LoopIteration, InnerLoop_CountsOncePerIteration) {
  constexpr auto kCode =
      "BB0:\n\ts_cbranch_scc0 BB3\n"
      "BB1:\n\tv_add_nc_u32_e32 v1, 16, v1\n\tv_mov_b32_e32 v2, v1\n"
      "BB2:\n\tv_fma_f32 v6, v2, v3, v6\n\tv_add_nc_u32_e32 v2, 4, v2\n\ts_cbranch_scc1 BB2\n"
      "\ts_branch BB1\n"
      "BB3:\n\ts_endpgm\n";
  EXPECT_EQ(find_loop_iteration(kCode, 8, 64).value().instructions, 2 + 8 * 2);
  EXPECT_EQ(find_loop_iteration(kCode, 1, 64).value().instructions, 2);
}

TEST(LoopIteration, MatrixProduct_IsItsLanesMultiplyAddsAndDivergentCodeNone) {
  constexpr auto kCode =
      "BB1:\n\ts_cbranch_execz BB3\n"
      "BB2:\n\tv_mov_b32_e32 v1, 0\n"
      "BB3:\n\tv_wmma_f32_16x16x16_f16 v[0:3], v[8:15], v[16:23], v[0:3]\n\tv_add_nc_u32_e32 v1, 16, v1\n\ts_branch BB1\n";
  const VectorWork iteration = find_loop_iteration(kCode, 64, 64).value();
  EXPECT_EQ(iteration.matrix_products, 1);
  EXPECT_EQ(iteration.multiply_adds, 64);
  EXPECT_EQ(iteration.instructions, 2);
  EXPECT_EQ(find_loop_iteration(kCode, 128, 32).value().multiply_adds, 128);
}

TEST(LoopIteration, InconsistentCounts_GiveNoLoop) {
  EXPECT_FALSE(find_loop_iteration("", 8, 64));
  EXPECT_FALSE(find_loop_iteration("BB0:\n\tv_fma_f32 v6, v2, v3, v6\n\ts_endpgm\n", 1, 64));
  constexpr auto kAlone = "BB0:\n\tv_fma_f32 v6, v2, v3, v6\n\tv_fma_f32 v7, v2, v3, v7\n\ts_cbranch_scc1 BB0\n\ts_endpgm";
  EXPECT_FALSE(find_loop_iteration(kAlone, 3, 64));  // not a multiple
  EXPECT_FALSE(find_loop_iteration(kAlone, 1, 64));
  EXPECT_FALSE(find_loop_iteration(kAlone, 4, 64));  // no loop around it
}

TEST(LoopIteration, CodeForEdges_IsLeftOut) {
  const std::string fma = "\tv_fma_f32 v6, v2, v3, v6\n";
  const std::string code = "BB0:\n\ts_cbranch_scc1 BB1\n\tv_and_b32_e32 v1, v2, v3\nBB1:\n" + fma + "\ts_cbranch_scc1 BB0\n";
  EXPECT_EQ(find_loop_iteration(code, 1, 64).value().instructions, 1);
  const std::string choice = "BB0:\n\ts_cbranch_scc1 BB1\n" + fma + "\tv_and_b32_e32 v1, v2, v3\nBB1:\n" + fma + "\ts_cbranch_scc1 BB0\n";
  EXPECT_EQ(find_loop_iteration(choice, 2, 64).value().instructions, 3);
}

TEST(FetchOverlap, WaitsForOtherLoads_AreNotCounted) {
  const std::string fma = "\tv_fma_f32 v6, v2, v3, v6\n", load = "\tglobal_load_b32 v7, v[8:9], off\n", back = "\ts_cbranch_scc1 BB0\n";
  const auto overlap = [&](const std::string& body) { return find_fetch_overlap("BB0:\n" + body + back); };
  EXPECT_EQ(overlap(load + fma + fma + "\ts_waitcnt vmcnt(0)\n"), 1.0);
  EXPECT_EQ(overlap(load + "\ts_waitcnt vmcnt(0) lgkmcnt(0)\n" + fma + fma), 0.0);
  EXPECT_EQ(overlap(load + "\ts_waitcnt lgkmcnt(0)\n" + fma + "\ts_wait_loadcnt 0x0\n" + fma), 0.5);
  EXPECT_EQ(overlap(load + load + "\ts_wait_loadcnt 0x2\n" + fma + fma), 1.0);    // for loads of the previous iteration
  EXPECT_EQ(overlap(load + load + "\ts_wait_loadcnt 0x1\n" + fma + fma), 0.5);    // for the first of the two
  EXPECT_EQ(overlap(load + load + "\ts_wait_loadcnt imm:1\n" + fma + fma), 0.5);
  EXPECT_EQ(overlap(load + "\ts_wait_loadcnt_dscnt 0x100\n" + fma + fma), 1.0);   // remaining loads, of shared memory
  EXPECT_EQ(overlap(load + "\ts_wait_loadcnt_dscnt 0x1\n" + fma + fma), 0.0);
  EXPECT_FALSE(overlap(fma));
  EXPECT_FALSE(find_fetch_overlap(load + fma));
}

TEST(ModelledMultiplyAdds, LoopsAndBranches_WeighAsInMesasModel) {
  const std::string fma = "\tv_fma_f32 v6, v2, v3, v6\n";
  EXPECT_EQ(count_modelled_multiply_adds("BB0:\n" + fma, 64), 1);
  EXPECT_EQ(count_modelled_multiply_adds("BB0:\n" + fma + "\ts_cbranch_scc1 BB0\n", 64), 8);
  EXPECT_EQ(count_modelled_multiply_adds("BB0:\n" + fma + "BB1:\n" + fma + "\ts_cbranch_scc1 BB1\n\ts_branch BB0\n", 64), 8 + 32);
  const std::string ends = "\ts_cbranch_scc1 BB2\n\ts_cbranch_scc1 BB1\n\ts_branch BB0\n";
  EXPECT_EQ(count_modelled_multiply_adds("BB0:\n\ts_nop\nBB1:\n\ts_nop\nBB2:\n" + fma + ends, 64), 8 * 4 * 2);
  EXPECT_EQ(count_modelled_multiply_adds("\ts_cbranch_scc1 BB1\n" + fma + "\ts_branch BB2\nBB1:\n" + fma + "BB2:\n", 64), 0.5 + 0.5);
  EXPECT_EQ(count_modelled_multiply_adds("\ts_cbranch_execz BB1\n" + fma + "BB1:\n" + fma, 64), 0.75 + 1);
  // Into a loop, to its condition at the end.
  EXPECT_EQ(count_modelled_multiply_adds("\ts_branch BB1\nBB0:\n" + fma + "BB1:\n\ts_cbranch_scc0 BB0\n", 64), 8);
  // The end of an outer iteration before its start, as in Mesa 26's layout.
  EXPECT_EQ(count_modelled_multiply_adds("\ts_branch BB1\nBB0:\n\ts_nop\nBB1:\n\ts_cbranch_scc1 BB3\nBB2:\n\ts_cbranch_scc1 BB0\n" + fma +
                                             "\ts_branch BB2\nBB3:\n",
                                         64),
            8 * 4);
  // A jump out of the loop: the rest of the loop is not conditional.
  EXPECT_EQ(count_modelled_multiply_adds("BB0:\n\ts_cbranch_scc1 BB1\n" + fma + "\ts_branch BB0\nBB1:\n", 64), 8);
}

}  // namespace
}  // namespace lapilli
