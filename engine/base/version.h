#pragma once
// Which lapilli this is: its version, the commit it was built from, and how.

#include <string>

namespace lapilli {

struct BuildVersion {
  std::string version;     // "0.1.0"
  std::string commit;      // "fcd5178", or "fcd5178-dirty" where files differed from it; empty: built outside git
  std::string compiler;    // "gcc 12.2.0"
  std::string build_type;  // "Release"

  // "0.1.0 (fcd5178, gcc 12.2.0, Release)"; without a commit "0.1.0".
  std::string to_string() const;
};

const BuildVersion& build_version();

}  // namespace lapilli
