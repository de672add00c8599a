#pragma once
// AMD's machine code as Mesa prints it: labels "BB3:", then an instruction a line. For a chip that its LLVM does not know it prints its
// compiler's last form instead: labels "BB3", then "v1: %5:v[6] = v_fma_f32 ...".

#include <cstdint>
#include <optional>
#include <string_view>

namespace lapilli {

// What a subgroup issues.
struct VectorWork {
  double instructions = 0;     // of the vector units, `matrix_products` included
  double matrix_products = 0;  // 16 x 16 x 16 (WMMA)
  double multiply_adds = 0;    // of each lane, its part of `matrix_products` included
};

// A turn of the loop that does `per_turn` multiply-adds of a lane a turn; the compiler may have unrolled all of them, or left one loop
// inside. Nothing where neither is so. What a subgroup may step over - as none of its lanes takes it (divergent branches), or without a
// multiply-add - is left out.
std::optional<VectorWork> find_loop_turn(std::string_view assembly, uint32_t per_turn, uint32_t subgroup_size);

// Of the loop that reads global memory and has the most multiply-adds: what share of these is issued between a load and the first wait for
// it, on average over its loads. Close to 1 where the fetches of a turn travel during its math, 0 where they are waited for first.
std::optional<double> find_fetch_overlap(std::string_view assembly);

// Multiply-adds of a lane as often as the model behind RADV's "Inverse Throughput" reckons with each (Mesa, aco_statistics.cpp): a loop
// turns 8 times, one inside it 4 times, one in that twice; a uniform branch is taken half the time, a divergent one three quarters of it.
double count_modelled_multiply_adds(std::string_view assembly, uint32_t subgroup_size);

}  // namespace lapilli
