#include "model/ops/embedding.h"

#include "shaders/ops/args.h"

namespace lapilli {

void embedding_forward(Ops& ops, Tensor x, ConstTensor tokens, ConstTensor wte, ConstTensor wpe, uint32_t context, ConstTensor position) {
  CHECK(context > 0, "a context of 0 positions");
  CHECK(!position || position.elements() == 1, "position {}", position.shape().to_string());
  CHECK(tokens.elements() == x.rows() && wte.cols() == x.cols(), "{} from tokens {} and wte {}", x.shape().to_string(), tokens.shape().to_string(),
        wte.shape().to_string());
  CHECK(!wpe || (wpe.rows() == context && wpe.cols() == x.cols()), "wpe {} for {} and context {}", wpe.shape().to_string(), x.shape().to_string(),
        context);
  element_count(wte);  // CHECKs that indices fit
  const double elements = element_count(x);
  ops.program.dispatch(ops.kernel("embedding_forward", ops.row_workgroup()),
                       args::EmbeddingForwardArgs{.x = x,
                                                  .tokens = tokens,
                                                  .wte = wte,
                                                  .wpe = wpe,
                                                  .position = position,
                                                  .rows = x.rows(),
                                                  .dim = x.cols(),
                                                  .vocab = wte.rows(),
                                                  .context = context},
                       x.rows(), {.flops = wpe ? elements : 0, .bytes = (wpe ? 12 : 8) * elements});
}

void embedding_backward(Ops& ops, Tensor d_wte, ConstTensor d_x, ConstTensor order, ConstTensor segment_start, ConstTensor segment_count,
                        ConstTensor tokens) {
  const uint32_t rows = d_x.rows();
  CHECK(d_wte.cols() == d_x.cols(), "d_wte {} from d_x {}", d_wte.shape().to_string(), d_x.shape().to_string());
  CHECK(order.elements() == rows && tokens.elements() == rows && segment_start.elements() == uint64_t{rows} + 1 && segment_count.elements() == 1,
        "order {}, tokens {}, segment_start {}, segment_count {} for d_x {}", order.shape().to_string(), tokens.shape().to_string(),
        segment_start.shape().to_string(), segment_count.shape().to_string(), d_x.shape().to_string());
  element_count(d_wte);
  const double elements = element_count(d_x);
  // At most as many rows of d_wte as of d_x are written.
  ops.program.dispatch(ops.kernel("embedding_backward", ops.row_workgroup()),
                       args::EmbeddingBackwardArgs{.d_wte = d_wte,
                                                   .d_x = d_x,
                                                   .order = order,
                                                   .segment_start = segment_start,
                                                   .segment_count = segment_count,
                                                   .tokens = tokens,
                                                   .rows = rows,
                                                   .dim = d_x.cols(),
                                                   .vocab = d_wte.rows()},
                       rows, {.flops = elements, .bytes = 12 * elements});
}

void position_embedding_backward(Ops& ops, Tensor d_wpe, ConstTensor d_x, uint32_t context, Into into) {
  CHECK(d_wpe.rows() == context && d_wpe.cols() == d_x.cols() && context > 0 && d_x.rows() % context == 0, "d_wpe {} from d_x {} and context {}",
        d_wpe.shape().to_string(), d_x.shape().to_string(), context);
  const uint32_t count = element_count(d_wpe);
  const double elements = element_count(d_x);
  const bool accumulate = into == Into::accumulate;
  dispatch_elements(ops, "sequence_sum",
                    args::SequenceSumArgs{.sum = d_wpe, .values = d_x, .sequences = d_x.rows() / context, .count = count, .accumulate = accumulate},
                    count, {.flops = elements, .bytes = 4 * (elements + (accumulate ? 2.0 : 1.0) * count)});
}

}  // namespace lapilli
