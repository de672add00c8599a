#pragma once
// The work of training by formula, without extra work of the kernels: the basis of MFU and of plans.

#include "model/transformer/parameters.h"

namespace lapilli {

// FLOPs of forward and backward for one token of a sequence of T: 6 for each element of each weight matrix (the head
// counts, the embedding look-up does not), and 6 L T D_attention for causal attention (Q Kt and P V, half of them
// masked: 2 * 2 T D / 2 forward, twice that backward). As PaLM, appendix B, with the causal half counted once.
double flops_per_token(const ModelConfig& config, const ParameterTable& table);

}  // namespace lapilli
