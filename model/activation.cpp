#include "model/activation.h"

#include "model/elements.h"

namespace lapilli {

namespace {

// exp counted as 8, a division as 1.
constexpr double kSigmoidFlops = 12;

double bytes(const ConstTensor& tensor) { return static_cast<double>(tensor.size_bytes()); }

void check_halves(const ConstTensor& gate_up, const ConstTensor& y) {
  CHECK(gate_up.rows() == y.rows() && gate_up.cols() == 2 * y.cols(), "gate_up {} for {}", gate_up.shape().to_string(),
        y.shape().to_string());
}

}  // namespace

void gelu_forward(Ops& ops, Tensor y, ConstTensor x) {
  check_same_size(x, y, "y");
  const uint32_t count = element_count(x);
  dispatch_elements(ops, "gelu_forward", args::GeluForwardArgs{.y = y, .x = x, .count = count}, lanes(y, count),
                    {.flops = (kSigmoidFlops + 5) * count, .bytes = bytes(x) + bytes(y)}, type_constants(y, x));
}

void gelu_backward(Ops& ops, Tensor d_x, ConstTensor d_y, ConstTensor x) {
  check_same_size(x, d_x, "d_x");
  check_same_size(x, d_y, "d_y");
  const uint32_t count = element_count(x);
  dispatch_elements(ops, "gelu_backward", args::GeluBackwardArgs{.d_x = d_x, .d_y = d_y, .x = x, .count = count}, lanes(d_x, count),
                    {.flops = (kSigmoidFlops + 13) * count, .bytes = bytes(x) + bytes(d_y) + bytes(d_x)}, type_constants(d_x, d_y, x));
}

void swiglu_forward(Ops& ops, Tensor y, ConstTensor gate_up) {
  check_halves(gate_up, y);
  const double count = element_count(gate_up) / 2;
  ops.program.dispatch(ops.kernel("swiglu_forward", ops.row_workgroup(), type_constants(y, gate_up)),
                       args::SwigluForwardArgs{.y = y, .gate_up = gate_up, .rows = y.rows(), .width = y.cols()}, y.rows(),
                       {.flops = (kSigmoidFlops + 2) * count, .bytes = bytes(gate_up) + bytes(y)});
}

void swiglu_backward(Ops& ops, Tensor d_gate_up, ConstTensor d_y, ConstTensor gate_up) {
  check_halves(gate_up, d_y);
  check_halves(d_gate_up, d_y);
  const double count = element_count(gate_up) / 2;
  ops.program.dispatch(ops.kernel("swiglu_backward", ops.row_workgroup(), type_constants(d_gate_up, d_y, gate_up)),
                       args::SwigluBackwardArgs{
                           .d_gate_up = d_gate_up, .d_y = d_y, .gate_up = gate_up, .rows = d_y.rows(), .width = d_y.cols()},
                       d_y.rows(), {.flops = (kSigmoidFlops + 7) * count, .bytes = bytes(gate_up) + bytes(d_y) + bytes(d_gate_up)});
}

}  // namespace lapilli
