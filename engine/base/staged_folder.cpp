#include "engine/base/staged_folder.h"

#include <fcntl.h>

#include <cstdio>
#include <system_error>

#include "engine/base/error.h"
#include "engine/base/file.h"

namespace lapilli {

namespace fs = std::filesystem;

namespace {

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw Error("cannot rename '{}' to '{}': {}", from.string(), to.string(), failure.message());
}

}  // namespace

StagedFolder::StagedFolder(fs::path path) : path_(std::move(path)) {
  std::error_code failure;
  made_parent_ = fs::create_directories(path_.parent_path(), failure);
  if (!failure) fs::create_directory(path_, failure);
  if (failure) throw Error("cannot make the folder '{}': {}", path_.string(), failure.message());
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);  // after an exchange: the folder that was there before
  if (made_parent_) fs::remove(path_.parent_path(), ignored);  // only if it is empty
}

void StagedFolder::publish(const fs::path& destination) {
  sync_directory(path_);
  if (!fs::exists(destination)) {
    rename_or_throw(path_, destination);
  } else if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, destination.c_str(), RENAME_EXCHANGE) != 0) {
    const fs::path old = destination.string() + ".replaced";
    std::error_code ignored;
    fs::remove_all(old, ignored);
    rename_or_throw(destination, old);
    rename_or_throw(path_, destination);
    fs::remove_all(old, ignored);
  }
  sync_directory(destination.parent_path());
}

void StagedFolder::publish_file(std::string_view name, const fs::path& folder) const { rename_or_throw(path_ / name, folder / name); }

}  // namespace lapilli
