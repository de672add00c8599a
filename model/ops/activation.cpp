#include "model/ops/activation.h"

#include "shaders/ops/args.h"

namespace lapilli {

namespace {

double bytes(const ConstTensor& tensor) { return static_cast<double>(tensor.size_bytes()); }

}  // namespace

void gelu_forward(Ops& ops, Tensor y, ConstTensor x) {
  check_same_size(x, y, "y");
  const uint32_t count = element_count(x);
  dispatch_elements(ops, "gelu_forward", args::GeluForwardArgs{.y = y, .x = x, .count = count}, lanes(y, count),
                    {.flops = kGeluFlops * count, .bytes = bytes(x) + bytes(y)}, type_constants(y, x));
}

void swiglu_forward(Ops& ops, Tensor y, ConstTensor gate_up) {
  CHECK(gate_up.rows() == y.rows() && gate_up.cols() == 2 * y.cols(), "gate_up {} for {}", gate_up.shape().to_string(), y.shape().to_string());
  const uint32_t count = element_count(gate_up) / 2;
  dispatch_elements(ops, "swiglu_forward", args::SwigluForwardArgs{.y = y, .gate_up = gate_up, .count = count}, lanes(y, count),
                    {.flops = kSwigluFlops * count, .bytes = bytes(gate_up) + bytes(y)}, type_constants(y, gate_up));
}

}  // namespace lapilli
