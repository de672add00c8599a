#pragma once
// Parses AMD machine code as Mesa prints it: labels "BB3:", then one instruction per line. For a chip that its LLVM
// does not support, Mesa prints the compiler's final IR instead: labels "BB3", then "v1: %5:v[6] = v_fma_f32 ...".

#include <cstdint>
#include <optional>
#include <string_view>

namespace lapilli {

// Work issued by a subgroup.
struct VectorWork {
  double instructions = 0;     // on the vector units, including `matrix_products`
  double matrix_products = 0;  // 16 x 16 x 16 (WMMA)
  double multiply_adds = 0;    // per lane, including its part of `matrix_products`
};

// One iteration of the loop with `per_iteration` multiply-adds per lane and iteration; the compiler may have unrolled all of
// them, or left one inner loop. Empty if neither is so. Code that a subgroup may skip - divergent branches, or branches
// over code without multiply-adds - is not counted.
std::optional<VectorWork> find_loop_iteration(std::string_view assembly, uint32_t per_iteration, uint32_t subgroup_size);

// For the loop that reads global memory and has the most multiply-adds: the share of these issued between a load and
// the first wait for it, averaged over its loads. Close to 1 if loads overlap with the math of an iteration, 0 if it
// waits for them first.
std::optional<double> find_fetch_overlap(std::string_view assembly);

// Multiply-adds per lane, weighted as in the model of RADV's "Inverse Throughput" (Mesa, aco_statistics.cpp): a loop
// has 8 iterations, one inside it 4, one inside that 2; a uniform branch is taken half the time, a divergent one three
// quarters.
double count_modelled_multiply_adds(std::string_view assembly, uint32_t subgroup_size);

}  // namespace lapilli
