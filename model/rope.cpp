#include "model/rope.h"

#include <cmath>

namespace lapilli {

RopeTables make_rope_tables(uint32_t context, uint32_t head_width, double theta) {
  CHECK(head_width % 2 == 0, "rope needs an even head width, not {}", head_width);
  RopeTables tables;
  for (uint32_t position = 0; position < context; ++position)
    for (uint32_t i = 0; i < head_width / 2; ++i) {
      const double angle = position * std::pow(theta, -2.0 * i / head_width);
      tables.cosines.push_back(static_cast<float>(std::cos(angle)));
      tables.sines.push_back(static_cast<float>(std::sin(angle)));
    }
  return tables;
}

void rope(Ops& ops, Tensor qkv, ConstTensor cos_table, ConstTensor sin_table, uint32_t context, uint32_t heads,
          uint32_t kv_heads, RopeDirection direction) {
  const uint32_t head_width = 2 * cos_table.cols();
  CHECK(qkv.cols() == (heads + 2 * kv_heads) * head_width, "qkv {} for {} + 2 * {} heads of {}", qkv.shape().to_string(),
        heads, kv_heads, head_width);
  CHECK(context > 0 && cos_table.rows() >= context && cos_table.shape() == sin_table.shape(), "tables {} and {} for {} positions",
        cos_table.shape().to_string(), sin_table.shape().to_string(), context);
  element_count(qkv);  // CHECKs that indices fit
  const uint32_t turned_heads = heads + kv_heads;
  const double turned = static_cast<double>(qkv.rows()) * turned_heads * head_width;
  CHECK(size_bytes(qkv.dtype()) == 4 || head_width % 4 == 0, "qkv of 16 bits with heads of {}", head_width);
  SpecConstants constants = type_constants(qkv);
  constants.push_back({args::SPEC_HEAD_WIDTH, head_width});
  ops.program.dispatch(ops.kernel("rope", ops.row_workgroup(), constants),
                       args::RopeArgs{.qkv = qkv,
                                      .cosines = cos_table,
                                      .sines = sin_table,
                                      .rows = qkv.rows(),
                                      .row_stride = qkv.cols(),
                                      .context = context,
                                      .turned_heads = turned_heads,
                                      .direction = direction == RopeDirection::forward ? 1.0F : -1.0F},
                       qkv.rows(), {.flops = 3 * turned, .bytes = 2 * static_cast<double>(size_bytes(qkv.dtype())) * turned});
}

}  // namespace lapilli
