#pragma once
// The GGUF format, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian:
//   "GGUF", u32 version, u64 tensors, u64 entries; each entry: key, u32 type, value; each tensor: name, u32 rank, u64 [rank] dimensions
//   (fastest first), u32 type, u64 offset of its values; then, at the next multiple of the alignment, the values.
// A text is its u64 length and its bytes; an array its u32 type, u64 length and values.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/file.h"
#include "engine/base/mapped_file.h"

namespace lapilli {

// The numbers of ggml; a file may hold others, which cannot be read.
enum class GgmlType : uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8, bf16 = 30 };

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::f32;
  std::vector<uint64_t> shape;  // slowest dimension first, as everywhere here: [rows, columns]
  uint64_t begin = 0;           // bytes from where the values start

  uint64_t elements() const;
  uint64_t size_bytes() const;  // REQUIRES: a GgmlType that is listed above, its last dimension whole blocks
};

// A memory-mapped file. The constructor checks that its entries and all tensors lie inside the file and have types and dimensions that can be
// read. Errors name the file and the key or tensor.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  bool has(std::string_view key) const { return values_.contains(key); }
  // The value of a key. Error when it is missing (without `absent`) or of another type.
  uint32_t count(std::string_view key, std::optional<uint32_t> absent = std::nullopt) const;  // a whole number from 0
  double number(std::string_view key, std::optional<double> absent = std::nullopt) const;
  bool flag(std::string_view key, bool absent) const;
  std::string text(std::string_view key, std::optional<std::string> absent = std::nullopt) const;
  std::vector<std::string> texts(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order
  const GgufTensor* find(std::string_view name) const;                 // null when there is none
  // All values in row-major order, widened or dequantized.
  std::vector<float> read(const GgufTensor& tensor) const;

 private:
  class Parser;
  using Value = std::variant<bool, uint64_t, int64_t, double, std::string, std::vector<std::string>, std::vector<double>>;

  template <typename T>
  const T& value(std::string_view key, const char* wanted) const;
  void check_tensors() const;

  std::string path_;
  MappedFile file_;
  std::map<std::string, Value, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
  std::span<const std::byte> data_;  // from where offsets count
};

// Writes a complete file or none: first every entry, then the list of tensors, then their values in the same order.
class GgufWriter {
 public:
  explicit GgufWriter(const std::filesystem::path& path);

  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const float> values);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, std::span<const uint8_t> values);

  // Only f32, f16 and bf16. `begin` is computed here.
  void start_tensors(std::vector<GgufTensor> tensors);
  void write(std::span<const float> values);  // of the next tensor; 16 bits are rounded to nearest even
  void commit();                              // REQUIRES: all tensors written

 private:
  void key(std::string_view name, uint32_t type);
  void text(std::string_view value);
  template <typename T>
  void put(T value);
  template <typename T>
  void put_array(std::string_view name, uint32_t type, std::span<const T> values);
  void align();

  AtomicFile file_;
  uint64_t entries_ = 0;
  std::string header_;  // entries, then tensors
  std::vector<GgufTensor> tensors_;
  size_t next_ = 0;
};

}  // namespace lapilli
