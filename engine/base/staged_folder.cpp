#include "engine/base/staged_folder.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <system_error>

#include "engine/base/error.h"
#include "engine/base/file.h"

namespace lapilli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kMark = ".lapilli-";

// "dir/" is "dir"; a name alone is in the current folder.
fs::path absolute_without_slash(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

fs::path temporary_name(const fs::path& destination) {
  return destination.parent_path() / fmt::format(".{}{}{}", destination.filename().string(), kMark, random_name());
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw Error("cannot rename '{}' to '{}': {}", from.string(), to.string(), failure.message());
}

void remove_or_throw(const fs::path& path) {
  std::error_code failure;
  fs::remove(path, failure);
  if (failure) throw Error("cannot remove '{}': {}", path.string(), failure.message());
}

// Whether it has entries that are none of `names`. Throws Error where one of the names is a folder.
bool has_others(const fs::path& folder, const fs::path& named, std::span<const char* const> names) {
  std::error_code failure;
  bool found = false;
  for (auto entry = fs::directory_iterator(folder, failure); !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const bool is_ours = std::ranges::find(names, entry->path().filename().string()) != names.end();
    if (is_ours && entry->is_directory(failure))
      throw Error("'{}' is a folder, and a file is to be written there", (named / entry->path().filename()).string());
    found = found || !is_ours;
  }
  if (failure) throw Error("cannot read the folder '{}': {}", named.string(), failure.message());
  return found;
}

}  // namespace

StagedFolder::StagedFolder(const fs::path& destination, std::string_view family)
    : named_(destination), destination_(absolute_without_slash(destination)) {
  const fs::path parent = destination_.parent_path();
  std::error_code failure;
  made_parent_ = fs::create_directories(parent, failure);
  if (failure) throw Error("cannot make the folder '{}': {}", destination.string(), failure.message());
  remove_stale_folders(parent, family.empty() ? destination_.filename().string() : std::string(family));
  while (true) {
    path_ = temporary_name(destination_);
    fs::create_directory(path_, failure);
    if (failure) throw Error("cannot make the folder '{}' beside '{}': {}", path_.filename().string(), destination.string(), failure.message());
    open_ = Descriptor(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Another process may have taken it for a stale one before it was locked.
    if (open_.is_open() && (wait_for_lock(open_) == LockState::unsupported || still_names(path_, open_))) break;
  }
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);  // after an exchange: the folder that was there before
  if (made_parent_) fs::remove(destination_.parent_path(), ignored);  // only if it is empty
}

void StagedFolder::rename_or_exchange() {
  std::error_code ignored;
  if (!fs::exists(destination_, ignored)) {
    rename_or_throw(path_, destination_);
  } else if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) != 0) {
    const fs::path old = destination_.string() + ".replaced";
    fs::remove_all(old, ignored);
    rename_or_throw(destination_, old);
    rename_or_throw(path_, destination_);
    fs::remove_all(old, ignored);
  }
  sync_directory(destination_.parent_path());
}

void StagedFolder::publish() {
  sync_directory(path_);
  rename_or_exchange();
}

void StagedFolder::publish_files(std::span<const char* const> names) {
  std::error_code ignored;
  if (!fs::exists(destination_, ignored) || !has_others(destination_, named_, names)) return publish();
  // Two processes that publish into the same folder do so one after the other.
  const Descriptor open_destination(open(destination_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (open_destination.is_open()) wait_for_lock(open_destination);
  remove_or_throw(destination_ / names.back());
  sync_directory(destination_);
  for (const char* name : names) {
    if (name == names.back()) sync_directory(destination_);
    if (fs::exists(path_ / name, ignored)) rename_or_throw(path_ / name, destination_ / name);
    else remove_or_throw(destination_ / name);
  }
  sync_directory(destination_);
}

void remove_stale_folders(const fs::path& parent, std::string_view family) {
  const std::string start = "." + std::string(family);
  remove_stale(parent, [&](std::string_view name) { return name.starts_with(start) && name.find(kMark) != std::string_view::npos; });
}

void remove_folder(const fs::path& folder) {
  std::error_code failure;
  const fs::path hidden = temporary_name(absolute_without_slash(folder));
  fs::rename(folder, hidden, failure);
  if (!failure) fs::remove_all(hidden, failure);
}

}  // namespace lapilli
