#pragma once
// Folders that become visible complete, or not at all.

#include <filesystem>
#include <span>
#include <string_view>

#include "engine/base/file_lock.h"

namespace lapilli {

// A new folder under a temporary name beside its destination, `.NAME.lapilli-XXXXXX`, removed with the object unless published. Files are written
// into it by its owner, and synced there. The process holds a lock on it: what a process that died left is removed by the next that
// makes one of the same family.
class StagedFolder {
 public:
  // Makes the folder, and those above it. `family`: the names that are cleaned up start with it; default: the destination's name. Throws Error.
  explicit StagedFolder(const std::filesystem::path& destination, std::string_view family = {});
  // Also removes the folder above if the object made it and it is empty.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  // Renames the folder to the destination. A folder that is there is replaced in one step and removed; where the file system cannot exchange two
  // folders, it is whole under the name DESTINATION.replaced if power fails in between. Throws Error. Call at most once, after the files.
  void publish();
  // For destinations that may hold what is not ours: like publish() if the destination is absent or has no entries but `names`, files. Otherwise
  // moves the files there one by one and leaves the rest alone. Then names.back() says that the others are complete: an old one is removed
  // first, and the new one comes last. Throws Error, before anything is changed, where one of `names` is a folder.
  void publish_files(std::span<const char* const> names);

 private:
  void rename_or_exchange();

  std::filesystem::path named_, destination_, path_;  // named_: as the user named it
  Descriptor open_;
  bool made_parent_ = false;
};

// Removes what dead processes left of folders in `parent` whose names start with `family`.
void remove_stale_folders(const std::filesystem::path& parent, std::string_view family);

// Removes a folder that is no longer wanted: renamed to a temporary name first, so that nobody finds half of it. What cannot be
// removed stays. Unfinished removals are cleaned up like staged folders.
void remove_folder(const std::filesystem::path& folder);

}  // namespace lapilli
