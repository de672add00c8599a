// Token and position embeddings.

#include <algorithm>
#include <random>

#include "model/ops/embedding.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_embedding.h"

namespace lapilli::check {

namespace {

struct EmbeddingCase {
  uint32_t sequences, context, dim, vocab;
  uint32_t rows() const { return sequences * context; }
  reference::Embedding reference() const { return {rows(), dim, vocab, context}; }
  std::vector<uint32_t> tokens() const {
    std::minstd_rand generator(7);
    std::vector<uint32_t> all(rows());
    for (uint32_t& token : all) token = static_cast<uint32_t>(generator() % vocab);
    return all;
  }
};

Verify prepare_forward(KernelBench& bench, const EmbeddingCase& p) {
  const auto tokens = p.tokens();
  const auto wte_values = random_values(uint64_t{p.vocab} * p.dim, 1), wpe_values = random_values(uint64_t{p.context} * p.dim, 2);
  const Tensor ids = bench.input({p.rows()}, tokens), wte = bench.input({p.vocab, p.dim}, wte_values);
  const Tensor wpe = bench.input({p.context, p.dim}, wpe_values), x = bench.output({p.rows(), p.dim}), without = bench.output({p.rows(), p.dim});
  bench.record([&](Ops& ops) {
    embedding_forward(ops, x, ids, wte, wpe, p.context);
    embedding_forward(ops, without, ids, wte, {}, p.context);
  });
  return [=, &bench](CaseReport& report) {
    const std::string shape = fmt::format("{}x{} of {}", p.rows(), p.dim, p.vocab);
    // One addition, correctly rounded: as the double sum rounded to float. Without positions: a copy.
    report.equal(bench.read(x), narrow(p.reference().forward(tokens, widen(wte_values), widen(wpe_values))), shape);
    report.equal(bench.read(without), narrow(p.reference().forward(tokens, widen(wte_values), {})), shape + ", without positions");
  };
}

Verify prepare_backward(KernelBench& bench, const EmbeddingCase& p) {
  const auto tokens = p.tokens();
  const reference::Segments segments(tokens);
  const auto gradients = random_values(uint64_t{p.rows()} * p.dim, 3), old = random_values(uint64_t{p.vocab} * p.dim, 4);
  const Tensor ids = bench.input({p.rows()}, tokens), d_x = bench.input({p.rows(), p.dim}, gradients);
  const Tensor order = bench.input({p.rows()}, segments.order), start = bench.input({p.rows() + 1}, segments.start);
  const Tensor count = bench.input({1}, segments.count), d_wte = bench.input({p.vocab, p.dim}, old), d_wpe = bench.output({p.context, p.dim});
  bench.record([&](Ops& ops) {
    embedding_backward(ops, d_wte, d_x, order, start, count, ids);
    position_embedding_backward(ops, d_wpe, d_x, p.context, Into::overwrite);
  });
  return [=, &bench](CaseReport& report) {
    const auto expected = p.reference().backward(tokens, widen(gradients));
    const std::string shape = fmt::format("{}x{} of {}", p.rows(), p.dim, p.vocab);
    Doubles sum = expected.d_wte;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(old[i]);
    report.close(bench.read(d_wte), sum, p.reference().bound(expected.d_wte_magnitude, expected.token_count, &old), shape + ", d_wte");
    const Doubles bound = p.reference().bound(expected.d_wpe_magnitude, Doubles(p.context, p.sequences), nullptr);
    report.close(bench.read(d_wpe), expected.d_wpe, bound, shape + ", d_wpe");
  };
}

}  // namespace

std::vector<KernelCheck> embedding_checks(const DeviceCaps&) {
  KernelCheck forward{.kernel = "embedding forward", .variant = "f32"}, backward{.kernel = "embedding backward", .variant = "f32"};
  for (const EmbeddingCase& p : std::vector<EmbeddingCase>{{2, 129, 64, 97}, {1, 1, 1, 1}, {3, 5, 7, 2}, {31, 9, 17, 1031}, {4, 31, 257, 5}}) {
    forward.cases.push_back([=](KernelBench& bench) { return prepare_forward(bench, p); });
    backward.cases.push_back([=](KernelBench& bench) { return prepare_backward(bench, p); });
  }
  return {std::move(forward), std::move(backward)};
}

}  // namespace lapilli::check
