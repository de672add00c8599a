#include "model/ops/rotary.h"

namespace lapilli {

void check_rotary(const Rotary& rotary, const ConstTensor& qkv) {
  CHECK(rotary.cos_sin_table.dtype() == DType::f32 && rotary.head_width() % 2 == 0, "cos_sin_table {}", rotary.cos_sin_table.shape().to_string());
  CHECK(rotary.context > 0 && rotary.cos_sin_table.rows() >= rotary.context, "cos_sin_table {} for {} positions",
        rotary.cos_sin_table.shape().to_string(), rotary.context);
  CHECK(rotary.rotary_cols() <= qkv.cols(), "{} rotary heads of width {} in {}", rotary.rotary_heads, rotary.head_width(), qkv.shape().to_string());
}

double rope_flops(const Rotary& rotary, uint32_t rows) { return 3.0 * rows * rotary.rotary_cols(); }  // two multiplications, one addition

}  // namespace lapilli
