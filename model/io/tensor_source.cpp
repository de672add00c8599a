#include "model/io/tensor_source.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "model/io/safetensors.h"

namespace lapilli {

namespace {

namespace fs = std::filesystem;

std::set<std::string> files_of_index(const fs::path& index) {
  const nlohmann::ordered_json json = parse_json(read_text_file(index));
  std::set<std::string> names;
  if (json.is_object() && json.contains("weight_map") && json["weight_map"].is_object()) {
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      const bool is_name = file.is_string() && fs::path(file.get<std::string>()).filename() == file.get<std::string>();
      if (!is_name) throw Error("'{}': the file of {} is not the name of a file beside it", index.string(), tensor);
      names.insert(file.get<std::string>());
    }
  }
  if (names.empty()) throw Error("'{}' has no weight_map with names of files", index.string());
  return names;
}

class SafetensorsFolder : public TensorSource {
 public:
  explicit SafetensorsFolder(const fs::path& folder) : folder_(folder) {
    const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
    if (fs::exists(single)) {
      add(single);
    } else if (fs::exists(index)) {
      for (const std::string& name : files_of_index(index)) add(folder / name);
    } else {
      throw Error("'{}' has neither model.safetensors nor model.safetensors.index.json", folder.string());
    }
  }

  std::string path() const override { return folder_.string(); }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [canonical, place] : places_) names.push_back(place.name);
    return names;
  }

  std::string canonical(const std::string& name) const override {
    for (const std::string_view prefix : {"transformer.", "model."})
      if (name.starts_with(prefix)) return name.substr(prefix.size());
    return name;
  }

  const std::vector<uint64_t>* find(const std::string& name) const override {
    const auto found = places_.find(canonical(name));
    return found == places_.end() ? nullptr : &found->second.file->info(found->second.name).shape;
  }

  std::vector<float> read(const std::string& name) const override {
    const Place& place = places_.at(canonical(name));
    return place.file->read<float>(place.name);
  }

 private:
  struct Place {
    const SafetensorsFile* file;
    std::string name;
  };

  void add(const fs::path& path) {
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    for (const TensorInfo& tensor : files_.back()->tensors())
      if (!places_.emplace(canonical(tensor.name), Place{files_.back().get(), tensor.name}).second)
        throw Error("'{}' has {} a second time", path.string(), tensor.name);
  }

  fs::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Place> places_;  // by canonical name
};

class GgufTensors : public TensorSource {
 public:
  explicit GgufTensors(const GgufFile& file) : file_(file) {}

  std::string path() const override { return file_.path(); }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const GgufTensor& tensor : file_.tensors()) names.push_back(tensor.name);
    return names;
  }
  const std::vector<uint64_t>* find(const std::string& name) const override {
    const GgufTensor* tensor = file_.find(name);
    return tensor == nullptr ? nullptr : &tensor->shape;
  }
  std::vector<float> read(const std::string& name) const override { return file_.read(*file_.find(name)); }

 private:
  const GgufFile& file_;
};

}  // namespace

std::unique_ptr<TensorSource> open_safetensors(const fs::path& folder) { return std::make_unique<SafetensorsFolder>(folder); }
std::unique_ptr<TensorSource> open_gguf_tensors(const GgufFile& file) { return std::make_unique<GgufTensors>(file); }

}  // namespace lapilli
