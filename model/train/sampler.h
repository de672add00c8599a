#pragma once
// The next token, drawn from a model's logits.
//
// In this order, as in Hugging Face's generate(): the repetition penalty (Keskar et al. 2019, arXiv:1909.05858), the temperature, then the cuts,
// each on the probabilities that the one before left, renormalised: top-k, top-p (Holtzman et al. 2019, arXiv:1904.09751), min-p (Nguyen et al.
// 2024, arXiv:2407.01082).

#include <cstdint>
#include <span>

namespace lapilli {

struct SamplingOptions {
  uint32_t tokens = 200;        // number to generate
  double temperature = 0.8;     // 0: always the most likely token
  uint32_t top_k = 0;           // 0: all
  double top_p = 1.0;           // nucleus: the smallest set of most likely tokens with this total probability
  double min_p = 0.0;           // only tokens at least this share as likely as the most likely one; 0: all
  double repeat_penalty = 1.0;  // the logits of tokens that the model has seen are divided by it where positive, else multiplied; 1: none
  uint64_t seed = 1;            // same seed, model, prompt and device: same tokens
};

// One sample from softmax(logits / temperature), restricted as `options` say; `seen`: the tokens of repeat_penalty; `uniform` in [0,1). Of equally
// likely tokens the cuts prefer that with the smaller id. REQUIRES: logits not empty, ids of `seen` below their number.
uint32_t sample_token(std::span<const float> logits, std::span<const uint32_t> seen, const SamplingOptions& options, double uniform);

}  // namespace lapilli
