#pragma once
// The type to which factors of matrix products are rounded. Sums, and all else that is stored or computed, are f32.

namespace lapilli {

enum class Precision { f32, f16, bf16 };
const char* to_string(Precision precision);

}  // namespace lapilli
