#include "model/attention/key_value_cache.h"

#include <cmath>

#include "shaders/attention/args.h"

namespace lapilli {

namespace {

uint32_t cache_width(const AttentionShape& s) { return 2 * s.kv_heads * s.head_width; }

void check_shapes(const ConstTensor& cache, const ConstTensor& qkv, const ConstTensor& position, const AttentionShape& s) {
  CHECK(s.kv_heads > 0 && s.heads % s.kv_heads == 0 && s.head_width >= 1 && s.head_width <= kMaxHeadWidth, "{} heads of {} on {}", s.heads,
        s.head_width, s.kv_heads);
  CHECK(cache.rows() == s.context && cache.cols() == cache_width(s), "cache {}", cache.shape().to_string());
  CHECK(qkv.cols() == (s.heads + 2 * s.kv_heads) * s.head_width, "qkv {}", qkv.shape().to_string());
  CHECK(position.elements() == 1, "position {}", position.shape().to_string());
}

}  // namespace

KeyValueCache reserve_key_value_cache(Arena& arena, uint32_t layers, const AttentionShape& shape) {
  KeyValueCache cache;
  for (uint32_t layer = 0; layer < layers; ++layer)
    cache.layers.push_back(reserve_tensor(arena, {shape.context, cache_width(shape)}, "key/value cache"));
  return cache;
}

void append_to_cache(Ops& ops, Tensor cache, ConstTensor qkv, ConstTensor position, const AttentionShape& s) {
  check_shapes(cache, qkv, position, s);
  element_count(cache);
  const double elements = static_cast<double>(qkv.rows()) * cache_width(s);
  ops.program.dispatch(ops.kernel("cache_append", ops.row_workgroup(), {type_constant(args::SPEC_A_TYPE, qkv)}),
                       args::CacheAppendArgs{.cache = cache,
                                             .qkv = qkv,
                                             .position = position,
                                             .rows = qkv.rows(),
                                             .context = s.context,
                                             .query_width = s.heads * s.head_width,
                                             .kv_width = s.kv_heads * s.head_width},
                       qkv.rows(), {.bytes = elements * (4.0 + static_cast<double>(size_bytes(qkv.dtype())))});
}

void cached_attention(Ops& ops, Tensor out, ConstTensor qkv, ConstTensor cache, ConstTensor position, const AttentionShape& s) {
  check_shapes(cache, qkv, position, s);
  CHECK(qkv.rows() == 1 && out.elements() == uint64_t{s.heads} * s.head_width, "out {}", out.shape().to_string());
  element_count(cache);
  const auto begins_at_8 = [](const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 8 == 0; };
  const bool load64 =
      ops.caps().kernel_class == KernelClass::cpu && ops.caps().fast_64bit_loads && s.head_width % 2 == 0 && begins_at_8(qkv) && begins_at_8(cache);
  const double pairs = static_cast<double>(s.heads) * s.context;  // at the end of the context
  ops.program.dispatch(ops.kernel(load64 ? "attention_cached_cpu_load64" : "attention_cached", ops.row_workgroup(),
                                  {{args::SPEC_HEAD_WIDTH, s.head_width}, {args::SPEC_ALIGNED, load64 ? 1U : 0U}}),
                       args::AttentionCachedArgs{.attended = out,
                                                 .qkv = qkv,
                                                 .cache = cache,
                                                 .position = position,
                                                 .heads = s.heads,
                                                 .kv_heads = s.kv_heads,
                                                 .scale = 1.0F / std::sqrt(static_cast<float>(s.head_width))},
                       s.heads, {.flops = 4 * pairs * s.head_width, .bytes = static_cast<double>(cache.size_bytes())});
}

}  // namespace lapilli
