#include "model/io/state_file.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/mapped_file.h"

namespace lapilli {

namespace {

static_assert(std::endian::native == std::endian::little, "files are written without byte swapping");

using Bytes = std::span<const std::byte>;

constexpr char kMagic[8] = {'L', 'A', 'P', 'I', 'S', 'T', 'A', 'T'};
constexpr uint32_t kVersion = 3;

struct Header {
  char magic[8];
  uint32_t version, vocab_size;
  uint64_t elements;
  uint32_t arrays, parameters;
  uint64_t table_bytes;
  uint64_t step, next_batch, seed, tokens;
  double best_val_loss, loss_scale;
  uint32_t good_steps, skipped_steps;
  uint64_t tokenizer_hash, config_hash, tokenizer_file_hash;
  // Since version 3:
  uint64_t updates, best_step, evaluated_step, data_fingerprint;
  TrendState loss_trend, norm_trend;
  uint32_t not_finite_in_a_row, reserved;
};
constexpr size_t kHeaderBytes = 208, kHeaderBytesOfVersion2 = 120;
static_assert(sizeof(Header) == kHeaderBytes && offsetof(Header, updates) == kHeaderBytesOfVersion2 && std::is_trivially_copyable_v<Header>);

size_t header_bytes(uint32_t version) { return version == 2 ? kHeaderBytesOfVersion2 : kHeaderBytes; }

Bytes bytes_of(const std::vector<float>& values) { return std::as_bytes(std::span(values)); }

std::vector<std::byte> encode_table(const ParameterTable& table) {
  std::vector<std::byte> encoded;
  const auto append = [&](const void* data, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    encoded.insert(encoded.end(), bytes, bytes + size);
  };
  const auto append_word = [&](uint64_t value) {
    const auto word = static_cast<uint32_t>(value);
    append(&word, sizeof word);
  };
  for (const ParameterSpec& spec : table.specs()) {
    append_word(spec.name.size());
    append(spec.name.data(), spec.name.size());
    append_word(spec.shape.rank());
    for (uint32_t i = 0; i < spec.shape.rank(); ++i) append_word(spec.shape[i]);
  }
  encoded.resize((encoded.size() + 7) / 8 * 8);
  return encoded;
}

// The bytes have a good checksum, so a table that does not parse was written by a broken program.
std::vector<NamedShape> decode_table(Bytes encoded, uint32_t parameters, uint64_t elements, const std::filesystem::path& path) {
  const auto take = [&](size_t size) {
    if (size > encoded.size()) throw Error("'{}' is damaged: its table of parameters ends early", path.string());
    const Bytes taken = encoded.first(size);
    encoded = encoded.subspan(size);
    return taken;
  };
  const auto take_word = [&] {
    uint32_t word = 0;
    std::memcpy(&word, take(sizeof word).data(), sizeof word);
    return word;
  };
  std::vector<NamedShape> table;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < parameters; ++i) {
    const Bytes name = take(take_word());
    const uint32_t rank = take_word();
    uint32_t dims[2] = {};
    if (rank < 1 || rank > 2) throw Error("'{}' is damaged: a parameter has rank {}", path.string(), rank);
    uint64_t size = 1;
    for (uint32_t d = 0; d < rank; ++d) size *= dims[d] = take_word();  // two 32-bit numbers
    if (size == 0 || size > elements - sum) break;
    sum += size;
    table.push_back({std::string(reinterpret_cast<const char*>(name.data()), name.size()), rank == 1 ? Shape{dims[0]} : Shape{dims[0], dims[1]}});
  }
  if (sum != elements || table.size() != parameters)
    throw Error("'{}' is damaged: its table of {} parameters does not make up its {} elements", path.string(), parameters, elements);
  return table;
}

// The header of a file; throws unless the file has the length in the header.
Header checked_header(Bytes file, const std::filesystem::path& path) {
  const std::string name = path.string();
  Header header{};
  if (file.size() < sizeof kMagic) throw Error("'{}' is cut short: it has {} bytes", name, file.size());
  std::memcpy(&header, file.data(), std::min(file.size(), sizeof header));
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    throw Error("'{}' is not the state of a lapilli checkpoint, or its first bytes are damaged", name);
  }
  if (file.size() >= offsetof(Header, vocab_size) && header.version != 2 && header.version != kVersion)
    throw Error("'{}' is of format version {}, this program reads versions 2 and {}: use the lapilli that wrote it", name, header.version, kVersion);
  if (file.size() < header_bytes(header.version) + sizeof(uint64_t)) throw Error("'{}' is cut short: it has {} bytes", name, file.size());
  if (header.version == 2) {
    header.updates = header.step - std::min<uint64_t>(header.step, header.skipped_steps);
    header.evaluated_step = header.step;
    header.best_step = header.data_fingerprint = 0;
    header.loss_trend = header.norm_trend = {};
    header.not_finite_in_a_row = 0;
  }
  constexpr uint64_t kLimit = uint64_t{1} << 40;  // keeps the sum below in 64 bits
  if (header.elements > kLimit || header.table_bytes > kLimit || (header.arrays != 1 && header.arrays != 3) || header.vocab_size == 0) {
    throw Error("'{}' is damaged: its header has impossible sizes", name);
  }
  for (const double number :
       {header.loss_scale, header.loss_trend.mean, header.loss_trend.variance, header.norm_trend.mean, header.norm_trend.variance})
    if (!std::isfinite(number)) throw Error("'{}' is damaged: its header has a number that is not finite", name);
  if (header.loss_scale < 0 || std::isnan(header.best_val_loss)) throw Error("'{}' is damaged: its header has impossible numbers", name);
  const uint64_t size_bytes = header_bytes(header.version) + header.table_bytes + header.arrays * header.elements * sizeof(float) + sizeof(uint64_t);
  if (file.size() < size_bytes) throw Error("'{}' is cut short: {} of {} bytes", name, file.size(), size_bytes);
  if (file.size() > size_bytes) {
    throw Error("'{}' is damaged: {} bytes, expected {} from its header", name, file.size(), size_bytes);
  }
  return header;
}

}  // namespace

void write_state_file(const std::filesystem::path& path, const ParameterTable& table, const TrainingState& state, uint32_t vocab_size,
                      uint64_t config_hash, uint64_t tokenizer_file_hash) {
  CHECK_EQ(state.values.size(), table.count());
  CHECK_EQ(state.first_moment.size(), state.second_moment.size());
  const bool has_moments = !state.first_moment.empty();
  CHECK(!has_moments || state.first_moment.size() == table.count(), "{} moments for {} parameters", state.first_moment.size(), table.count());

  const std::vector<std::byte> encoded_table = encode_table(table);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.vocab_size = vocab_size;
  header.elements = table.count();
  header.arrays = has_moments ? 3 : 1;
  header.parameters = static_cast<uint32_t>(table.specs().size());
  header.table_bytes = encoded_table.size();
  header.step = state.step;
  header.next_batch = state.next_batch;
  header.seed = state.seed;
  header.tokens = state.tokens;
  header.best_val_loss = state.best_val_loss;
  header.loss_scale = state.loss_scale.value;
  header.good_steps = state.loss_scale.good_steps;
  header.skipped_steps = state.loss_scale.skipped;
  header.tokenizer_hash = state.tokenizer_hash;
  header.config_hash = config_hash;
  header.tokenizer_file_hash = tokenizer_file_hash;
  header.updates = state.updates;
  header.best_step = state.best_step;
  header.evaluated_step = state.evaluated_step;
  header.data_fingerprint = state.data_fingerprint;
  header.loss_trend = state.loss_trend;
  header.norm_trend = state.norm_trend;
  header.not_finite_in_a_row = state.not_finite_in_a_row;

  AtomicFile file(path);
  StreamingHash hash;
  const auto write = [&](Bytes bytes) {
    file.write(bytes);
    hash.update(bytes);
  };
  write(std::as_bytes(std::span(&header, 1)));
  write(encoded_table);
  write(bytes_of(state.values));
  if (has_moments) {
    write(bytes_of(state.first_moment));
    write(bytes_of(state.second_moment));
  }
  const uint64_t checksum = hash.digest();
  file.write(std::as_bytes(std::span(&checksum, 1)));
  file.commit();
}

StateFile read_state_file(const std::filesystem::path& path) {
  const MappedFile mapped(path);
  const Bytes file = mapped.bytes();
  const Header header = checked_header(file, path);

  uint64_t checksum = 0;
  const Bytes body = file.first(file.size() - sizeof checksum);
  std::memcpy(&checksum, file.data() + body.size(), sizeof checksum);
  if (hash_bytes(body) != checksum) {
    throw Error("'{}' is damaged: its bytes do not match its checksum", path.string());
  }

  const size_t table_offset = header_bytes(header.version);
  StateFile result{.vocab_size = header.vocab_size,
                   .config_hash = header.config_hash,
                   .tokenizer_file_hash = header.tokenizer_file_hash,
                   .table = decode_table(body.subspan(table_offset, header.table_bytes), header.parameters, header.elements, path),
                   .state = {.step = header.step,
                             .updates = header.updates,
                             .next_batch = header.next_batch,
                             .seed = header.seed,
                             .tokens = header.tokens,
                             .loss_scale = {.value = header.loss_scale, .good_steps = header.good_steps, .skipped = header.skipped_steps},
                             .best_val_loss = header.best_val_loss,
                             .best_step = header.best_step,
                             .evaluated_step = header.evaluated_step,
                             .loss_trend = header.loss_trend,
                             .norm_trend = header.norm_trend,
                             .not_finite_in_a_row = header.not_finite_in_a_row,
                             .tokenizer_hash = header.tokenizer_hash,
                             .data_fingerprint = header.data_fingerprint,
                             .values = {},
                             .first_moment = {},
                             .second_moment = {}}};
  Bytes payload = body.subspan(table_offset + header.table_bytes);
  const auto take = [&](std::vector<float>& values) {
    values.resize(header.elements);
    const size_t size_bytes = values.size() * sizeof(float);
    if (size_bytes > 0) std::memcpy(values.data(), payload.data(), size_bytes);
    payload = payload.subspan(size_bytes);
  };
  take(result.state.values);
  if (header.arrays == 3) {
    take(result.state.first_moment);
    take(result.state.second_moment);
  }
  mapped.require_whole();
  return result;
}

bool is_whole_state_file(const std::filesystem::path& path) {
  try {
    checked_header(MappedFile(path).bytes(), path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace lapilli
