#include "model/activation.h"

#include "model/elements.h"

namespace lapilli {

namespace {

// exp counted as 8, a division as 1.
constexpr double kSigmoidFlops = 12;

void check_halves(const ConstTensor& gate_up, const ConstTensor& y) {
  CHECK(gate_up.rows() == y.rows() && gate_up.cols() == 2 * y.cols(), "gate_up {} for {}", gate_up.shape().to_string(),
        y.shape().to_string());
}

}  // namespace

void gelu_forward(Ops& ops, Tensor y, ConstTensor x) {
  check_same_size(x, y, "y");
  const uint32_t count = element_count(x);
  dispatch_elements(ops, "gelu_forward", args::GeluForwardArgs{.y = y, .x = x, .count = count}, count,
                    {.flops = (kSigmoidFlops + 5) * count, .bytes = 8.0 * count});
}

void gelu_backward(Ops& ops, Tensor d_x, ConstTensor d_y, ConstTensor x) {
  check_same_size(x, d_x, "d_x");
  check_same_size(x, d_y, "d_y");
  const uint32_t count = element_count(x);
  dispatch_elements(ops, "gelu_backward", args::GeluBackwardArgs{.d_x = d_x, .d_y = d_y, .x = x, .count = count}, count,
                    {.flops = (kSigmoidFlops + 13) * count, .bytes = 12.0 * count});
}

void swiglu_forward(Ops& ops, Tensor y, ConstTensor gate_up) {
  check_halves(gate_up, y);
  const double count = element_count(gate_up) / 2;
  ops.program.dispatch(ops.kernel("swiglu_forward", ops.row_workgroup()),
                       args::SwigluForwardArgs{.y = y, .gate_up = gate_up, .rows = y.rows(), .width = y.cols()}, y.rows(),
                       {.flops = (kSigmoidFlops + 2) * count, .bytes = 12 * count});
}

void swiglu_backward(Ops& ops, Tensor d_gate_up, ConstTensor d_y, ConstTensor gate_up) {
  check_halves(gate_up, d_y);
  check_halves(d_gate_up, d_y);
  const double count = element_count(gate_up) / 2;
  ops.program.dispatch(ops.kernel("swiglu_backward", ops.row_workgroup()),
                       args::SwigluBackwardArgs{
                           .d_gate_up = d_gate_up, .d_y = d_y, .gate_up = gate_up, .rows = d_y.rows(), .width = d_y.cols()},
                       d_y.rows(), {.flops = (kSigmoidFlops + 7) * count, .bytes = 20 * count});
}

}  // namespace lapilli
