#include "model/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <set>

#include "engine/base/error.h"
#include "engine/base/integer_math.h"
#include "engine/memory/half.h"
#include "model/io/gguf_blocks.h"

namespace lapilli {

namespace {

static_assert(std::endian::native == std::endian::little, "values are read and written without byte swapping");

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kWrittenVersion = 3;
constexpr uint64_t kAlignment = 32;  // of what is written; a file may name another
constexpr uint32_t kMostDimensions = 4;

enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kArray, kU64, kI64, kF64 };

constexpr uint64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};  // of text and array: the least that one takes

}  // namespace

// Reads from the front of the file. Every length is compared with what is left before anything is allocated for it.
class GgufFile::Parser {
 public:
  Parser(const std::string& path, std::span<const std::byte> file) : path_(path), file_(file) {}

  template <typename T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string text() {
    const auto size = read<uint64_t>();
    const std::span<const std::byte> bytes = take(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // How many of something are to come that take at least `least` bytes each.
  uint64_t length(uint64_t least) {
    const auto count = read<uint64_t>();
    if (count > (file_.size() - at_) / least) cut_short();
    return count;
  }

  Value value(uint32_t type) {
    switch (type) {
      case kBool: return read<uint8_t>() != 0;
      case kText: return text();
      case kArray: return array();
      case kF32:
      case kF64: return number(type);
      case kI8:
      case kI16:
      case kI32:
      case kI64: return static_cast<int64_t>(type == kI64 ? read<int64_t>() : static_cast<int64_t>(number(type)));
      default: return type == kU64 ? read<uint64_t>() : static_cast<uint64_t>(number(type));
    }
  }

  uint64_t position() const { return at_; }

 private:
  [[noreturn]] void cut_short() const { throw Error("'{}' is cut short, or no GGUF file: it ends at byte {}", path_, file_.size()); }

  std::span<const std::byte> take(uint64_t size) {
    if (size > file_.size() - at_) cut_short();
    at_ += size;
    return file_.subspan(at_ - size, size);
  }

  double number(uint32_t type) {
    switch (type) {
      case kU8: return read<uint8_t>();
      case kI8: return read<int8_t>();
      case kU16: return read<uint16_t>();
      case kI16: return read<int16_t>();
      case kU32: return read<uint32_t>();
      case kI32: return read<int32_t>();
      case kF32: return static_cast<double>(read<float>());
      case kF64: return read<double>();
      case kBool: return read<uint8_t>();
      case kU64: return static_cast<double>(read<uint64_t>());
      case kI64: return static_cast<double>(read<int64_t>());
      default: throw Error("'{}' is damaged: a value of type {}, which GGUF does not have", path_, type);
    }
  }

  Value array() {
    const auto type = read<uint32_t>();
    if (type >= std::size(kSizes) || type == kArray) throw Error("'{}' cannot be read: an array of type {}", path_, type);
    const uint64_t count = length(kSizes[type]);
    if (type == kText) {
      std::vector<std::string> texts;
      for (uint64_t i = 0; i < count; ++i) texts.push_back(text());
      return texts;
    }
    std::vector<double> numbers;
    for (uint64_t i = 0; i < count; ++i) numbers.push_back(number(type));
    return numbers;
  }

  const std::string& path_;
  std::span<const std::byte> file_;
  uint64_t at_ = 0;
};

uint64_t GgufTensor::elements() const { return std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>()); }

uint64_t GgufTensor::size_bytes() const {
  const std::optional<GgmlBlock> block = ggml_block(static_cast<uint32_t>(type));
  CHECK(block.has_value());
  return elements() / block->values * block->bytes;
}

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path.string()), file_(path) {
  const std::span<const std::byte> file = file_.bytes();
  if (file.size() < kMagic.size() || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0) throw Error("'{}' is no GGUF file", path_);
  Parser parser(path_, file);
  parser.read<uint32_t>();
  if (const auto version = parser.read<uint32_t>(); version != 2 && version != 3)
    throw Error("'{}' is GGUF of version {}; this program reads 2 and 3 (little-endian)", path_, version);
  const uint64_t tensors = parser.length(24), entries = parser.length(13);
  for (uint64_t i = 0; i < entries; ++i) {
    std::string key = parser.text();
    const auto type = parser.read<uint32_t>();
    values_.insert_or_assign(std::move(key), parser.value(type));
  }
  for (uint64_t i = 0; i < tensors; ++i) {
    GgufTensor tensor{.name = parser.text()};
    const auto rank = parser.read<uint32_t>();
    if (rank > kMostDimensions) throw Error("'{}' is damaged: tensor {} has {} dimensions", path_, tensor.name, rank);
    for (uint32_t d = 0; d < rank; ++d) tensor.shape.insert(tensor.shape.begin(), parser.read<uint64_t>());
    tensor.type = static_cast<GgmlType>(parser.read<uint32_t>());
    tensor.begin = parser.read<uint64_t>();
    tensors_.push_back(std::move(tensor));
  }
  const uint32_t alignment = count("general.alignment", kAlignment);
  if (alignment == 0) throw Error("'{}': general.alignment is 0", path_);
  const uint64_t begin = round_up(parser.position(), uint64_t{alignment});
  data_ = begin <= file.size() ? file.subspan(begin) : std::span<const std::byte>();
  check_tensors();
}

void GgufFile::check_tensors() const {
  std::set<std::string_view> names;
  for (const GgufTensor& tensor : tensors_) {
    const std::optional<GgmlBlock> block = ggml_block(static_cast<uint32_t>(tensor.type));
    if (!names.insert(tensor.name).second) throw Error("'{}' has {} a second time", path_, tensor.name);
    if (!block)
      throw Error("'{}': tensor {} is of type {}; this program reads F32, F16, BF16, Q8_0, Q4_0 and Q4_1", path_, tensor.name,
                  ggml_type_name(static_cast<uint32_t>(tensor.type)));
    if (tensor.shape.empty() || tensor.shape.back() % block->values != 0)
      throw Error("'{}' is damaged: tensor {} [{}] does not have rows of whole blocks of {}", path_, tensor.name, fmt::join(tensor.shape, ", "),
                  block->values);
    uint64_t most = data_.size() / block->bytes * block->values;  // elements that any tensor may have here
    for (const uint64_t dim : tensor.shape) most = dim == 0 ? 0 : most / dim;
    if (most == 0 || tensor.begin > data_.size() || tensor.size_bytes() > data_.size() - tensor.begin)
      throw Error("'{}' is cut short: tensor {} [{}] ends behind the file", path_, tensor.name, fmt::join(tensor.shape, ", "));
  }
}

template <typename T>
const T& GgufFile::value(std::string_view key, const char* wanted) const {
  const auto found = values_.find(key);
  if (found == values_.end()) throw Error("'{}' has no {}", path_, key);
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) throw Error("'{}': {} is not {}", path_, key, wanted);
  return *value;
}

uint32_t GgufFile::count(std::string_view key, std::optional<uint32_t> absent) const {
  if (absent && !has(key)) return *absent;
  const auto found = values_.find(key);
  const int64_t* with_sign = found == values_.end() ? nullptr : std::get_if<int64_t>(&found->second);
  const uint64_t number = with_sign != nullptr && *with_sign >= 0 ? static_cast<uint64_t>(*with_sign) : value<uint64_t>(key, "a whole number from 0");
  if (number > UINT32_MAX) throw Error("'{}': {} = {} is too large", path_, key, number);
  return static_cast<uint32_t>(number);
}

double GgufFile::number(std::string_view key, std::optional<double> absent) const {
  return absent && !has(key) ? *absent : value<double>(key, "a number");
}

bool GgufFile::flag(std::string_view key, bool absent) const { return has(key) ? value<bool>(key, "true or false") : absent; }

std::string GgufFile::text(std::string_view key, std::optional<std::string> absent) const {
  return absent && !has(key) ? *absent : value<std::string>(key, "a text");
}

std::vector<std::string> GgufFile::texts(std::string_view key) const { return value<std::vector<std::string>>(key, "a list of texts"); }
std::vector<double> GgufFile::numbers(std::string_view key) const { return value<std::vector<double>>(key, "a list of numbers"); }

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &GgufTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

std::vector<float> GgufFile::read(const GgufTensor& tensor) const {
  std::vector<float> values = ggml_values(tensor.type, data_.subspan(tensor.begin, tensor.size_bytes()));
  file_.require_whole();
  return values;
}

GgufWriter::GgufWriter(const std::filesystem::path& path) : file_(path) {}

template <typename T>
void GgufWriter::put(T value) {
  header_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void GgufWriter::text(std::string_view value) {
  put(uint64_t{value.size()});
  header_ += value;
}

void GgufWriter::key(std::string_view name, uint32_t type) {
  CHECK(tensors_.empty(), "{} comes after the tensors", name);
  text(name);
  put(type);
  ++entries_;
}

void GgufWriter::add(std::string_view name, uint32_t value) {
  key(name, kU32);
  put(value);
}
void GgufWriter::add(std::string_view name, float value) {
  key(name, kF32);
  put(value);
}
void GgufWriter::add(std::string_view name, bool value) {
  key(name, kBool);
  put(static_cast<uint8_t>(value));
}
void GgufWriter::add(std::string_view name, std::string_view value) {
  key(name, kText);
  text(value);
}

void GgufWriter::add(std::string_view name, std::span<const std::string> values) {
  key(name, kArray);
  put(uint32_t{kText});
  put(uint64_t{values.size()});
  for (const std::string& value : values) text(value);
}

template <typename T>
void GgufWriter::put_array(std::string_view name, uint32_t type, std::span<const T> values) {
  key(name, kArray);
  put(type);
  put(uint64_t{values.size()});
  for (const T value : values) put(value);
}
void GgufWriter::add(std::string_view name, std::span<const float> values) { put_array(name, kF32, values); }
void GgufWriter::add(std::string_view name, std::span<const int32_t> values) { put_array(name, kI32, values); }
void GgufWriter::add(std::string_view name, std::span<const uint8_t> values) { put_array(name, kU8, values); }

void GgufWriter::align() {
  const std::vector<std::byte> zeros(round_up(file_.size_bytes(), kAlignment) - file_.size_bytes());
  file_.write(zeros);
}

void GgufWriter::start_tensors(std::vector<GgufTensor> tensors) {
  uint64_t begin = 0;
  const uint64_t entries = entries_;
  for (GgufTensor& tensor : tensors) {
    text(tensor.name);
    put(static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) put(*dim);
    put(static_cast<uint32_t>(tensor.type));
    put(begin);
    tensor.begin = begin;
    begin = round_up(begin + tensor.size_bytes(), kAlignment);
  }
  tensors_ = std::move(tensors);
  std::string entries_and_tensors = std::move(header_);
  header_ = kMagic;
  put(kWrittenVersion);
  put(uint64_t{tensors_.size()});
  put(entries);
  file_.write(header_);
  file_.write(entries_and_tensors);
  align();
}

void GgufWriter::write(std::span<const float> values) {
  CHECK(next_ < tensors_.size());
  const GgufTensor& tensor = tensors_[next_++];
  CHECK(values.size() == tensor.elements(), "{} values for {}", values.size(), tensor.name);
  if (tensor.type == GgmlType::f32) {
    file_.write(std::as_bytes(values));
  } else {
    CHECK(tensor.type == GgmlType::f16 || tensor.type == GgmlType::bf16, "{} cannot be quantized here", tensor.name);
    std::vector<uint16_t> bits;
    bits.reserve(values.size());
    for (const float value : values) bits.push_back(half_bits(value, tensor.type == GgmlType::f16 ? DType::f16 : DType::bf16));
    file_.write(std::as_bytes(std::span(bits)));
  }
  align();
}

void GgufWriter::commit() {
  CHECK(next_ == tensors_.size(), "{} of {} tensors were written", next_, tensors_.size());
  file_.commit();
}

}  // namespace lapilli
