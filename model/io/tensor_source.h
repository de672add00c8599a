#pragma once
// The files that hold another program's weights, read by the names of their tensors.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/io/gguf.h"

namespace lapilli {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual std::string path() const = 0;                 // for messages
  virtual std::vector<std::string> names() const = 0;   // as in the files
  // A name without the parts in which files of the same model differ. find() and read() take either.
  virtual std::string canonical(const std::string& name) const { return name; }
  // The shape of a tensor, slowest dimension first; null when there is none of that name.
  virtual const std::vector<uint64_t>* find(const std::string& name) const = 0;
  virtual std::vector<float> read(const std::string& name) const = 0;  // REQUIRES: find() has it
};

// model.safetensors of a folder in Hugging Face's layout, or the files of its model.safetensors.index.json. Throws Error when there is neither,
// or one of them cannot be read. A leading "transformer." or "model." does not count.
std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& folder);

// `file` must outlive it.
std::unique_ptr<TensorSource> open_gguf_tensors(const GgufFile& file);

}  // namespace lapilli
