#include "tools/amd_assembly.h"

#include <gtest/gtest.h>

namespace lapilli {
namespace {

TEST(MultiplyAddShare, UnrolledLoop_CountsItsVectorInstructionsAlone) {
  constexpr auto kCode =
      "BB0:\n\tv_mov_b32_e32 v1, 0    ; 7e020280\n"
      "BB1:\n\tds_read_b128 v[2:5], v1\n\tv_fma_f32 v6, v2, v3, v6\n\tv_fmac_f32_e32 v7, v2, v4\n\tv_add_nc_u32_e32 v1, 16, v1\n"
      "\ts_cbranch_scc1 BB1      ; bf85fffa\n"
      "BB2:\n\tv_mul_f32_e32 v6, v6, v8\n\ts_endpgm\n";
  EXPECT_DOUBLE_EQ(multiply_add_share(kCode, 2).value(), 2.0 / 3);
}

TEST(MultiplyAddShare, LoopLeftInside_CountsAsOftenAsItTurns) {
  constexpr auto kCode =
      "BB0:\n\ts_cbranch_scc0 BB3\n"
      "BB1:\n\tv_add_nc_u32_e32 v1, 16, v1\n\tv_mov_b32_e32 v2, v1\n"
      "BB2:\n\tv_fma_f32 v6, v2, v3, v6\n\tv_add_nc_u32_e32 v2, 4, v2\n\ts_cbranch_scc1 BB2\n"
      "\ts_branch BB1\n"
      "BB3:\n\ts_endpgm\n";
  EXPECT_DOUBLE_EQ(multiply_add_share(kCode, 8).value(), 8.0 / (2 + 8 * 2));
  EXPECT_DOUBLE_EQ(multiply_add_share(kCode, 1).value(), 1.0 / 2);
}

TEST(MultiplyAddShare, WhatDoesNotFit_IsNothing) {
  EXPECT_FALSE(multiply_add_share("", 8));
  EXPECT_FALSE(multiply_add_share("BB0:\n\tv_fma_f32 v6, v2, v3, v6\n\ts_endpgm\n", 1));
  constexpr auto kAlone = "BB0:\n\tv_fma_f32 v6, v2, v3, v6\n\tv_fma_f32 v7, v2, v3, v7\n\ts_cbranch_scc1 BB0\n\ts_endpgm";
  EXPECT_FALSE(multiply_add_share(kAlone, 3));  // not a multiple
  EXPECT_FALSE(multiply_add_share(kAlone, 4));  // no loop around it
}

}  // namespace
}  // namespace lapilli
