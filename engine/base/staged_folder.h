#pragma once
// Folders that become visible complete, or not at all.

#include <filesystem>
#include <string_view>

namespace lapilli {

// A new folder under a temporary name, removed with the object unless published. Files are written into it by its
// owner, and synced there.
class StagedFolder {
 public:
  // Makes `path` and the folders above it. Throws Error.
  explicit StagedFolder(std::filesystem::path path);
  // Also removes the folder above if the object made it and it is empty.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  // Renames the folder to `destination`, on the same file system. A folder that is there is replaced in one step and
  // removed; where the file system cannot exchange two folders, it is whole under the name DESTINATION.replaced if power
  // fails in between. Throws Error. Call at most once, after the files.
  void publish(const std::filesystem::path& destination);
  // Moves one file to `folder`, replacing one of that name.
  void publish_file(std::string_view name, const std::filesystem::path& folder) const;

 private:
  std::filesystem::path path_;
  bool made_parent_ = false;
};

}  // namespace lapilli
