#include "tests/fuzz/parsers.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/kernel/device_cache.h"
#include "engine/tuning/tuning_file.h"
#include "model/io/checkpoint.h"
#include "model/io/config_toml.h"
#include "model/io/gguf_config.h"
#include "model/io/hugging_face_config.h"
#include "model/io/safetensors.h"
#include "model/io/state_file.h"
#include "model/run/run_log.h"
#include "tokenizer/data/batch_stream.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/data/token_file.h"
#include "tokenizer/synth/synth.h"
#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/model_proto.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli::fuzz {

namespace {

namespace fs = std::filesystem;
using Buffer = std::vector<uint8_t>;

// A folder of this process, removed at its end.
const fs::path& scratch() {
  struct Scratch {
    // In memory where there is such a folder: readers that write, too, sync each file.
    fs::path path = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / fmt::format("lapilli-fuzz-{}", getpid());
    Scratch() { fs::create_directories(path); }
    ~Scratch() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  };
  static const Scratch scratch;
  return scratch.path;
}

fs::path write(const char* name, Bytes bytes) {
  const fs::path path = scratch() / name;
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return path;
}

Buffer read(const fs::path& path) {
  const std::string text = read_text_file(path);
  return {text.begin(), text.end()};
}

template <typename Action>
void refused_or_used(Action&& action) {
  try {
    action();
  } catch (const Error&) {  // one sentence for the user
  }
}

void put_u64(Buffer& bytes, size_t at, uint64_t value) { std::memcpy(bytes.data() + at, &value, sizeof value); }
uint64_t hash(Bytes bytes) { return hash_bytes(std::as_bytes(bytes)); }

// Without right checksums nothing behind them is ever reached.
Buffer resealed_shard(Bytes bytes) {
  Buffer sealed(bytes.begin(), bytes.end());
  if (sealed.size() < 128) return sealed;
  put_u64(sealed, 64, sealed.size());
  put_u64(sealed, 72, hash(Bytes(sealed).subspan(128)));
  put_u64(sealed, 80, hash(Bytes(sealed).first(80)));
  return sealed;
}

Buffer resealed_state(Bytes bytes) {
  Buffer sealed(bytes.begin(), bytes.end());
  if (sealed.size() >= 8) put_u64(sealed, sealed.size() - 8, hash(Bytes(sealed).first(sealed.size() - 8)));
  return sealed;
}

void use_shard(const fs::path& path) {
  const TokenShard shard(path);
  std::vector<uint32_t> tokens(shard.token_count());
  shard.read(tokens, 0);
  for (const uint32_t token : tokens)
    if (token >= shard.vocab_size() || token >= shard.token_bytes().size()) std::abort();
  shard.bytes_of_range(0, shard.token_count());
  for (uint64_t i = 0; i < shard.token_count(); i += 1 + shard.token_count() / 64)
    if (shard.document_of(i) >= shard.document_starts().size()) std::abort();
  if (shard.token_count() >= 4) BatchStream(shard, {.batch = 2, .context = 3, .document_mask = true}, 1).batch(0);
  if (shard.token_count() >= 2) EvalWindows(shard, {.batch = 2, .context = 3, .document_mask = true}, 0, 100).batch(0);
}

void parse_shard(Bytes bytes) {
  refused_or_used([&] { use_shard(write("shard.bin", bytes)); });
  refused_or_used([&] { use_shard(write("shard.bin", resealed_shard(bytes))); });
}

Buffer shard_seed(uint32_t vocab, std::optional<uint32_t> eos, uint32_t documents) {
  const fs::path path = scratch() / "seed.bin";
  TokenShardWriter writer(path, {.token_bytes = std::vector<uint16_t>(vocab, 1), .eos_id = eos, .tokenizer_hash = 7});
  for (uint32_t d = 0; d < documents; ++d) {
    writer.begin_document();
    writer.append(std::vector<uint32_t>{d % vocab, (d + 1) % vocab, vocab - 1, 0});
  }
  writer.finish();
  return read(path);
}

std::vector<Buffer> shard_seeds() { return {shard_seed(5, 2, 3), shard_seed(300, std::nullopt, 1), shard_seed(65537, 1, 2)}; }

Config small_config() {
  Config config;
  config.model = {.layers = 1, .heads = 1, .kv_heads = 1, .dim = 2, .ffn_dim = 2, .context = 2, .vocab_size = 3};
  return config;
}

// The folder of a checkpoint whose state.bin is the input.
void use_state(Bytes bytes) {
  const fs::path folder = scratch() / "step-00000001";
  fs::create_directories(folder);
  fs::rename(write("state.bin", bytes), folder / "state.bin");
  std::ofstream(folder / "config.toml") << to_toml(small_config());
  std::ofstream(folder / "tokenizer.model") << "x";
  load_checkpoint(folder);
}

void parse_state(Bytes bytes) {
  refused_or_used([&] { use_state(bytes); });
  refused_or_used([&] { use_state(resealed_state(bytes)); });
}

std::vector<Buffer> state_seeds() {
  const Config config = small_config();
  const ParameterTable table(config.model);
  const std::vector<float> values(table.count(), 0.5F);
  const std::string text = to_toml(config);
  const uint64_t config_hash = hash_bytes(std::as_bytes(std::span(text))), tokenizer_hash = hash_bytes(std::as_bytes(std::span("x", 1)));
  const fs::path path = scratch() / "seed.bin";
  write_state_file(path, table, {.step = 1, .values = values}, 3, config_hash, tokenizer_hash);
  Buffer without_moments = read(path);
  write_state_file(path, table, {.step = 1, .values = values, .first_moment = values, .second_moment = values}, 3, config_hash, tokenizer_hash);
  return {without_moments, read(path)};
}

void parse_safetensors(Bytes bytes) {
  refused_or_used([&] {
    const SafetensorsFile file(write("model.safetensors", bytes));
    for (const TensorInfo& tensor : file.tensors()) {
      file.contains(tensor.name);
      refused_or_used([&] { file.read<float>(tensor.name); });
      refused_or_used([&] { file.read<int64_t>(tensor.name); });
    }
  });
}

void parse_gguf(Bytes bytes) {
  refused_or_used([&] {
    const GgufFile file(write("model.gguf", bytes));
    for (const GgufTensor& tensor : file.tensors()) refused_or_used([&] { file.read(tensor); });
    refused_or_used([&] { read_gguf_config(file); });
  });
}

std::vector<Buffer> gguf_seeds() {
  const fs::path path = scratch() / "seed.gguf";
  GgufWriter writer(path);
  ModelConfig model{.arch = Arch::llama, .layers = 1, .heads = 2, .kv_heads = 1, .dim = 4, .ffn_dim = 4, .context = 8};
  apply_preset(model);
  model.vocab_size = 3;
  model.rope_scaling.kind = RopeScalingKind::llama3;
  write_gguf_config(writer, model, Arch::llama);
  writer.add("tokenizer.ggml.tokens", std::span<const std::string>(std::vector<std::string>{"a", "b", "c"}));
  writer.start_tensors({{.name = kRopeFactors, .shape = {1}}, {.name = "token_embd.weight", .type = GgmlType::f16, .shape = {3, 4}}});
  writer.write(rope_factors(model));
  writer.write(std::vector<float>(12, 1));
  writer.commit();
  return {read(path)};
}

std::vector<Buffer> safetensors_seeds() {
  const fs::path path = scratch() / "seed.safetensors";
  SafetensorsWriter writer(path, {{"format", "pt"}}, {{.name = "a", .shape = {2, 3}}, {.name = "b", .type = TensorType::i32, .shape = {1}}});
  writer.write(std::vector<float>(6, 1));
  writer.write(std::vector<int32_t>(1, 1));
  writer.commit();
  return {read(path)};
}

void parse_hugging_face_config(Bytes bytes) {
  refused_or_used([&] { read_hugging_face_config(write("config.json", bytes)); });
}

std::vector<Buffer> hugging_face_config_seeds() {
  const auto as_buffer = [](std::string_view text) { return Buffer(text.begin(), text.end()); };
  return {
      as_buffer(R"({"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 4, "vocab_size": 9, "tie_word_embeddings": true})"),
      as_buffer(R"({"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 20, )"
                R"("vocab_size": 9, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}})")};
}

void use_tokenizer(const Tokenizer& tokenizer) {
  std::vector<uint32_t> ids = tokenizer.encode("a b\xE2\x96\x81 c\n\xF0\x9F\x98\x80");
  for (const uint32_t id : ids)
    if (id >= tokenizer.vocab_size()) std::abort();
  tokenizer.decode(ids);
  tokenizer.token_bytes();
}

void parse_tokenizer(Bytes bytes) {
  refused_or_used([&] { use_tokenizer(Tokenizer(write("tokenizer.model", bytes))); });
}

std::vector<Buffer> tokenizer_seeds() {
  std::vector<Buffer> seeds;
  for (const ModelKind kind : {ModelKind::kUnigram, ModelKind::kBpe, ModelKind::kChar}) {
    ModelProto model{.pieces = base_pieces(), .kind = kind};
    for (const char* piece : {"a", "b", "\xE2\x96\x81",
                              "\xE2\x96\x81"
                              "b",
                              "ab"})
      model.pieces.push_back({piece, -1});
    const std::string text = serialize_model(model);
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}

// What was read is written and read again: the same.
void parse_byte_bpe(Bytes bytes) {
  refused_or_used([&] {
    const ByteBpeModel model = parse_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (model.kinds.size() != model.pieces.size()) std::abort();
    const Tokenizer tokenizer(write("tokenizer.json", bytes));
    use_tokenizer(tokenizer);
    const std::string written = to_tokenizer_json(model);
    if (to_tokenizer_json(parse_tokenizer_json(written)) != written) std::abort();
  });
}

std::vector<Buffer> byte_bpe_seeds() {
  std::vector<Buffer> seeds;
  for (const BpeSplitter splitter : {BpeSplitter::gpt2, BpeSplitter::llama3, BpeSplitter::smollm}) {
    const ByteBpeModel model{.pieces = {"a", "b", "ab", "\xC4\xA0", "<end>", "c\n", unused_piece(6)},
                             .kinds = {PieceKind::kNormal, PieceKind::kNormal, PieceKind::kNormal, PieceKind::kNormal, PieceKind::kControl,
                                       PieceKind::kUserDefined, PieceKind::kUnused},
                             .merges = {{"a", "b"}},
                             .splitter = splitter,
                             .ignore_merges = splitter == BpeSplitter::llama3,
                             .unknown = 4,
                             .bos = 4,
                             .eos = 4};
    const std::string text = to_tokenizer_json(model);
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}

DeviceCaps some_caps() {
  DeviceCaps caps;
  caps.name = "device";
  caps.driver = "driver";
  return caps;
}

void parse_tuning(Bytes bytes) {
  spdlog::set_level(spdlog::level::off);  // a warning for each file of another device
  const fs::path path = write("tuning.json", bytes);
  TuningFile(some_caps(), "kernels", path).read();
  TuningFile(some_caps(), "kernels", path).add({}, {});
}

std::vector<Buffer> tuning_seeds() {
  const fs::path path = scratch() / "seed.json";
  fs::remove(path);
  TuningFile(some_caps(), "kernels", path)
      .add({{"matmul 4x4x4", {.chosen = 0, .candidates = {{"cpu:64x4", 1e-3}, {"cpu:32x4", 2e-3}}}}}, {{"matmul 4x4x4", {"cpu:8x8"}}});
  return {read(path)};
}

void parse_cache(Bytes bytes) { read_cached(write("cache.bin", bytes)); }

std::vector<Buffer> cache_seeds() {
  const fs::path path = scratch() / "seed.bin";
  write_cached(path, std::as_bytes(std::span("some bytes")));
  return {read(path)};
}

void parse_config_text(Bytes bytes) {
  const std::string text(bytes.begin(), bytes.end());
  refused_or_used([&] {
    const Config config = parse_config(text, "config.toml");
    const std::string written = to_toml(config);
    if (to_toml(parse_config(written, "again.toml")) != written) std::abort();
  });
  refused_or_used([&] { parse_config("", "config.toml", {text}); });
}

std::vector<Buffer> config_seeds() {
  Config llama = small_config();
  llama.model.arch = Arch::llama;
  std::vector<Buffer> seeds;
  for (const std::string& text : {to_toml(small_config()), to_toml(llama), std::string("[model]\nlayers = 1\n[train]\nsteps = 1_000 # steps\n"),
                                  std::string("optim.lr=3e-4"), std::string("data.dir = 'a'")})
    seeds.emplace_back(text.begin(), text.end());
  return seeds;
}

// The input is the .json of a corpus, then a byte 0, then its .nats.
void parse_nats(Bytes bytes) {
  const auto zero = std::ranges::find(bytes, 0);
  const auto json_bytes = static_cast<size_t>(zero - bytes.begin());
  const Bytes rest = bytes.subspan(std::min(bytes.size(), json_bytes + 1));
  const fs::path corpus = write("corpus", std::vector<uint8_t>(3, 'x'));
  write("corpus.json", bytes.first(json_bytes));
  write("corpus.nats", rest);
  refused_or_used([&] { read_synth_nats(corpus); });
}

std::vector<Buffer> nats_seeds() {
  const fs::path corpus = scratch() / "seed";
  write_synth_corpus(corpus, 3, 1);
  Buffer seed = read(synth_json_path(corpus)), nats = read(synth_nats_path(corpus));
  seed.push_back(0);
  seed.insert(seed.end(), nats.begin(), nats.end());
  return {seed};
}

// What a resumed run reads of its own log.
void parse_metrics(Bytes bytes) {
  write("metrics.jsonl", bytes);
  refused_or_used([&] { RunLog(scratch(), /*resuming=*/true, 3); });
}

std::vector<Buffer> metrics_seeds() {
  const std::string text =
      "{\"event\":\"start\",\"seed\":1}\n{\"event\":\"step\",\"step\":3,\"loss\":1.5}\n{\"event\":\"step\",\"step\":4}\n{\"event\":\"end\"}\n";
  return {{text.begin(), text.end()}};
}

void parse_dataset(Bytes bytes) {
  const fs::path folder = scratch() / "data";
  fs::create_directories(folder);
  fs::rename(write("dataset.json", bytes), folder / kDatasetJsonName);
  static const TokenShard shard = [] {
    const Buffer seed = shard_seed(5, 2, 3);
    return TokenShard(write("of_dataset.bin", seed));
  }();
  refused_or_used([&] { require_one_dataset(folder, shard, shard); });
}

std::vector<Buffer> dataset_seeds() {
  const std::string text = R"({"format": "lapilli data set", "train": {"checksum": "0123"}, "val": {"tokens": 3}})";
  return {{text.begin(), text.end()}};
}

// As each of the formats: what one refuses, another reads.
void parse_tokens(Bytes bytes) {
  static constexpr uint32_t kVocabSize = 300;
  const fs::path path = write("tokens", bytes);
  for (const TokenFormat format : {TokenFormat::kNanogpt, TokenFormat::kLlmc, TokenFormat::kNpy}) {
    refused_or_used([&] {
      TokenFile file(path, format);
      if (file.token_count() > bytes.size()) std::abort();
      std::vector<uint32_t> ids(file.token_count() + 1);
      if (file.read(ids, kVocabSize) != file.token_count()) std::abort();
      if (std::ranges::any_of(ids, [](uint32_t id) { return id >= kVocabSize; })) std::abort();
    });
  }
}

std::vector<Buffer> tokens_seeds() {
  Buffer llmc(1024 + 4, 0), npy;
  constexpr int32_t kHeader[] = {20240520, 1, 2};
  std::memcpy(llmc.data(), kHeader, sizeof kHeader);
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n";
  for (const char byte : std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + std::string(8, '\0'))
    npy.push_back(static_cast<uint8_t>(byte));
  return {Buffer{1, 0, 2, 0}, llmc, npy};
}

constexpr Parser kParsers[] = {{"shard", parse_shard, shard_seeds},
                               {"state", parse_state, state_seeds},
                               {"safetensors", parse_safetensors, safetensors_seeds},
                               {"tokenizer", parse_tokenizer, tokenizer_seeds},
                               {"tuning", parse_tuning, tuning_seeds},
                               {"cache", parse_cache, cache_seeds},
                               {"config", parse_config_text, config_seeds},
                               {"nats", parse_nats, nats_seeds},
                               {"metrics", parse_metrics, metrics_seeds},
                               {"dataset", parse_dataset, dataset_seeds},
                               {"tokens", parse_tokens, tokens_seeds},
                               {"hfconfig", parse_hugging_face_config, hugging_face_config_seeds},
                               {"bytebpe", parse_byte_bpe, byte_bpe_seeds},
                               {"gguf", parse_gguf, gguf_seeds}};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

const Parser* find_parser(std::string_view name) {
  const auto found = std::ranges::find(kParsers, name, &Parser::name);
  return found == std::end(kParsers) ? nullptr : found;
}

}  // namespace lapilli::fuzz
