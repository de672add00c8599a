#include "model/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "engine/base/error.h"
#include "engine/memory/half.h"

namespace lapilli {

namespace {

static_assert(std::endian::native == std::endian::little, "values are read and written without byte swapping");

using nlohmann::json;

struct TypeName {
  TensorType type;
  const char* name;
  uint64_t size_bytes;
};
constexpr TypeName kTypes[] = {{TensorType::f32, "F32", 4}, {TensorType::f16, "F16", 2}, {TensorType::bf16, "BF16", 2},
                               {TensorType::i32, "I32", 4}, {TensorType::u32, "U32", 4}, {TensorType::i64, "I64", 8}};

const TypeName& type_name(TensorType type) {
  return *std::ranges::find_if(kTypes, [&](const TypeName& t) { return t.type == type; });
}

// Bytes of a shape; nothing when they are more than any file has.
std::optional<uint64_t> shape_bytes(const std::vector<uint64_t>& shape, TensorType type) {
  uint64_t size_bytes = type_name(type).size_bytes;
  for (const uint64_t dim : shape) {
    if (__builtin_mul_overflow(size_bytes, dim, &size_bytes)) return std::nullopt;
  }
  return size_bytes;
}

float widen_f16(uint16_t half) {
  const int exponent = (half >> 10) & 31, fraction = half & 1023;
  const float sign = (half >> 15) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return sign * (fraction == 0 ? INFINITY : NAN);
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24) : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25));
}

float widen_bf16(uint16_t upper) { return std::bit_cast<float>(uint32_t{upper} << 16); }

// Values of T, wherever they lie (the format promises no alignment), each turned into a To.
template <typename T, typename To, typename Convert>
std::vector<To> convert(std::span<const std::byte> bytes, Convert&& to) {
  std::vector<To> values(bytes.size() / sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = to(value);
  }
  return values;
}

TensorInfo parse_tensor(const std::string& path, const std::string& name, const json& entry) {
  TensorInfo tensor{.name = name};
  std::string dtype;
  try {
    dtype = entry.at("dtype").get<std::string>();
    for (const json& dim : entry.at("shape")) {
      if (!dim.is_number_unsigned()) throw Error("a dimension is no whole number");
      tensor.shape.push_back(dim.get<uint64_t>());
    }
    const json& offsets = entry.at("data_offsets");
    if (offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
      throw Error("data_offsets are not two whole numbers");
    }
    tensor.begin = offsets[0].get<uint64_t>();
    tensor.end = offsets[1].get<uint64_t>();
  } catch (const std::exception& error) {
    throw Error("'{}' is damaged: the header has an invalid entry for tensor {} ({})", path, name, error.what());
  }
  const auto type = std::ranges::find_if(kTypes, [&](const TypeName& t) { return t.name == dtype; });
  if (type == std::end(kTypes)) {
    throw Error("'{}': tensor {} is of type {}; this program reads F32, F16, BF16, I32, U32 and I64", path, name, dtype);
  }
  tensor.type = type->type;
  return tensor;
}

}  // namespace

uint64_t TensorInfo::elements() const { return std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>()); }
uint64_t TensorInfo::size_bytes() const { return elements() * type_name(type).size_bytes; }

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path.string()), file_(path) {
  const std::span<const std::byte> file = file_.bytes();
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) {
    throw Error("'{}' is no safetensors file: it has only {} bytes", path_, file.size());
  }
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const uint64_t rest_bytes = file.size() - sizeof header_bytes;
  if (header_bytes > rest_bytes) {
    throw Error("'{}' is no safetensors file, or cut short: a header of {} bytes in a file of {}", path_, header_bytes, file.size());
  }
  data_ = file.subspan(sizeof header_bytes + header_bytes);
  parse_header({reinterpret_cast<const char*>(file.data()) + sizeof header_bytes, header_bytes});
}

void SafetensorsFile::parse_header(std::string_view text) {
  const json header = json::parse(text, nullptr, false);
  if (!header.is_object()) throw Error("'{}' is no safetensors file: its header is not JSON", path_);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(parse_tensor(path_, name, entry));
      continue;
    }
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) throw Error("'{}' is damaged: metadata {} is no text", path_, key);
      metadata_[key] = value.get<std::string>();
    }
  }
  std::ranges::sort(tensors_, [](const TensorInfo& a, const TensorInfo& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  uint64_t taken = 0;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.begin > tensor.end || tensor.end > data_.size()) {
      throw Error("'{}' is cut short or damaged: tensor {} lies at bytes {} to {} of {}", path_, tensor.name, tensor.begin, tensor.end, data_.size());
    }
    const std::optional<uint64_t> wanted = shape_bytes(tensor.shape, tensor.type);
    if (wanted != tensor.end - tensor.begin) {
      throw Error("'{}' is damaged: tensor {} has {} bytes, and not what its shape [{}] of {} needs", path_, tensor.name, tensor.end - tensor.begin,
                  fmt::join(tensor.shape, ", "), type_name(tensor.type).name);
    }
    if (tensor.begin < taken) throw Error("'{}' is damaged: tensor {} overlaps another", path_, tensor.name);
    taken = tensor.end;
  }
}

bool SafetensorsFile::contains(std::string_view name) const {
  return std::ranges::any_of(tensors_, [&](const TensorInfo& t) { return t.name == name; });
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  const auto found = std::ranges::find_if(tensors_, [&](const TensorInfo& t) { return t.name == name; });
  if (found == tensors_.end()) throw Error("'{}' has no tensor {}", path_, name);
  return *found;
}

std::span<const std::byte> SafetensorsFile::bytes_as(TensorType type, std::string_view name) const {
  const TensorInfo& tensor = info(name);
  if (tensor.type != type) {
    throw Error("'{}': tensor {} is of type {}, expected {}", path_, name, type_name(tensor.type).name, type_name(type).name);
  }
  return bytes(tensor);
}

template <>
std::vector<float> SafetensorsFile::read(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  std::vector<float> values = tensor.type == TensorType::f16    ? convert<uint16_t, float>(bytes(tensor), widen_f16)
                              : tensor.type == TensorType::bf16 ? convert<uint16_t, float>(bytes(tensor), widen_bf16)
                                                                : convert<float, float>(bytes_as(TensorType::f32, name), std::identity());
  file_.require_whole();
  return values;
}

template <>
std::vector<int32_t> SafetensorsFile::read(std::string_view name) const {
  return convert<int32_t, int32_t>(bytes_as(TensorType::i32, name), std::identity());
}

template <>
std::vector<uint32_t> SafetensorsFile::read(std::string_view name) const {
  return convert<uint32_t, uint32_t>(bytes_as(TensorType::u32, name), std::identity());
}

template <>
std::vector<int64_t> SafetensorsFile::read(std::string_view name) const {
  return convert<int64_t, int64_t>(bytes_as(TensorType::i64, name), std::identity());
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                                     std::vector<TensorInfo> tensors)
    : file_(path), tensors_(std::move(tensors)) {
  nlohmann::ordered_json header;  // keeps the order of the data
  header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (TensorInfo& tensor : tensors_) {
    CHECK(!header.contains(tensor.name), "two tensors are called {}", tensor.name);
    tensor.begin = offset;
    tensor.end = offset += tensor.size_bytes();
    header[tensor.name] = {{"dtype", type_name(tensor.type).name}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // values start on a multiple of 8
  const uint64_t size_bytes = text.size();
  file_.write(std::as_bytes(std::span(&size_bytes, 1)));
  file_.write(text);
}

void SafetensorsWriter::write(std::span<const float> values) {
  const TensorType type = next_ < tensors_.size() ? tensors_[next_].type : TensorType::f32;
  if (type != TensorType::f16 && type != TensorType::bf16) return write_next(TensorType::f32, std::as_bytes(values));
  const DType dtype = type == TensorType::f16 ? DType::f16 : DType::bf16;
  std::vector<uint16_t> rounded(values.size());
  std::ranges::transform(values, rounded.begin(), [&](float value) { return half_bits(value, dtype); });
  write_next(type, std::as_bytes(std::span<const uint16_t>(rounded)));
}
void SafetensorsWriter::write(std::span<const int32_t> values) { write_next(TensorType::i32, std::as_bytes(values)); }

void SafetensorsWriter::write_next(TensorType type, std::span<const std::byte> bytes) {
  CHECK(next_ < tensors_.size(), "all {} tensors are written", next_);
  const TensorInfo& tensor = tensors_[next_++];
  CHECK(tensor.type == type && bytes.size() == tensor.end - tensor.begin, "{} bytes for {}", bytes.size(), tensor.name);
  file_.write(bytes);
}

void SafetensorsWriter::commit() {
  CHECK(next_ == tensors_.size(), "{} of {} tensors are written", next_, tensors_.size());
  file_.commit();
}

}  // namespace lapilli
