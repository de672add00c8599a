#pragma once
// The safetensors format (https://github.com/huggingface/safetensors#format): u64 little-endian length of the header,
// the header in JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {text: text}}, then the
// values, row-major, offsets counted from where the header ends.

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/file.h"
#include "engine/base/mapped_file.h"

namespace lapilli {

enum class TensorType { f32, f16, bf16, i32, u32, i64 };

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<uint64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes after the header

  uint64_t elements() const;
  uint64_t size_bytes() const;  // of the values
};

// A memory-mapped file. The constructor checks that the header is complete and that every tensor lies inside the file,
// has the size its shape needs and overlaps no other. Errors name the file and the tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in file order
  bool contains(std::string_view name) const;
  const TensorInfo& info(std::string_view name) const;  // Error when there is no such tensor

  // All values in row-major order; T is float (f32, and f16 and bf16 widened), int32_t, uint32_t or int64_t (exactly
  // that type). Error when there is no such tensor or it has another type.
  template <typename T>
  std::vector<T> read(std::string_view name) const;

 private:
  void parse_header(std::string_view text);
  std::span<const std::byte> bytes_as(TensorType type, std::string_view name) const;
  std::span<const std::byte> bytes(const TensorInfo& tensor) const { return data_.subspan(tensor.begin, tensor.end - tensor.begin); }

  std::string path_;
  MappedFile file_;
  std::span<const std::byte> data_;  // after the header
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
};

template <>
std::vector<float> SafetensorsFile::read(std::string_view name) const;
template <>
std::vector<int32_t> SafetensorsFile::read(std::string_view name) const;
template <>
std::vector<uint32_t> SafetensorsFile::read(std::string_view name) const;
template <>
std::vector<int64_t> SafetensorsFile::read(std::string_view name) const;

// Writes a complete file or none. The constructor takes the list of tensors (begin and end are computed here); the
// values follow in the same order.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata, std::vector<TensorInfo> tensors);

  // REQUIRES: as many values as the next tensor has elements.
  void write(std::span<const float> values);    // f32, f16 or bf16; 16 bits are rounded to nearest even
  void write(std::span<const int32_t> values);  // i32
  void commit();                                // REQUIRES: all tensors written

 private:
  void write_next(TensorType type, std::span<const std::byte> bytes);

  AtomicFile file_;
  std::vector<TensorInfo> tensors_;
  size_t next_ = 0;
};

}  // namespace lapilli
