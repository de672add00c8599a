#include "model/ops/rope.h"

#include <cmath>
#include "shaders/ops/args.h"

namespace lapilli {

std::vector<float> make_cos_sin_table(uint32_t context, uint32_t head_width, double theta, const RopeScaling& scaling) {
  const std::vector<double> frequencies = rope_frequencies(head_width, theta, scaling);
  std::vector<float> cos_sin_table;
  cos_sin_table.reserve(uint64_t{context} * head_width);
  for (uint32_t position = 0; position < context; ++position)
    for (const double frequency : frequencies) {
      const double angle = position * frequency;
      cos_sin_table.push_back(static_cast<float>(std::cos(angle)));
      cos_sin_table.push_back(static_cast<float>(std::sin(angle)));
    }
  return cos_sin_table;
}

void rope(Ops& ops, Tensor qkv, const Rotary& rotary, RopeDirection direction) {
  check_rotary(rotary, qkv);
  element_count(qkv);  // CHECKs that indices fit
  CHECK(size_bytes(qkv.dtype()) == 4 || qkv.row_stride() % 2 == 0, "rows of qkv {} begin within a word", qkv.shape().to_string());
  SpecConstants constants = type_constants(qkv);
  constants.push_back({args::SPEC_HEAD_WIDTH, rotary.head_width()});
  ops.program.dispatch(ops.kernel("rope", ops.row_workgroup(), constants),
                       args::RopeArgs{.qkv = qkv,
                                      .cos_sin_table = rotary.cos_sin_table,
                                      .rows = qkv.rows(),
                                      .row_stride = qkv.row_stride(),
                                      .context = rotary.context,
                                      .rotary_heads = rotary.rotary_heads,
                                      .direction = direction == RopeDirection::forward ? 1.0F : -1.0F},
                       qkv.rows(),
                       {.flops = rope_flops(rotary, qkv.rows()),
                        .bytes = 2 * static_cast<double>(size_bytes(qkv.dtype())) * qkv.rows() * rotary.rotary_cols()});
}

}  // namespace lapilli
