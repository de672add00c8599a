#include "model/transformer/flops.h"

namespace lapilli {

double flops_per_token(const ModelConfig& config, const ParameterTable& table) {
  double matrix_elements = 0;
  for (const ParameterSpec& spec : table.specs()) {
    const bool looked_up = spec.name == "wpe.weight" || (spec.name == "wte.weight" && !config.tie_embeddings);
    if (spec.shape.rank() >= 2 && !looked_up) matrix_elements += static_cast<double>(spec.shape.elements());
  }
  const double attention = 6.0 * config.layers * config.context * config.heads * config.head_width();
  return 6 * matrix_elements + attention;
}

}  // namespace lapilli
