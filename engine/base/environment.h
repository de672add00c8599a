#pragma once
// The only place that reads or changes the process environment. It lists every variable that the program reads.
//
//  XDG_CACHE_HOME, HOME        where pipelines and tuning results are cached between runs
//  LAPILLI_CACHE_DIR           overrides the above
//  LAPILLI_VALIDATION=1        turns the Khronos validation layer on in any build
//  LP_NATIVE_VECTOR_WIDTH      Mesa's CPU driver: SIMD width in bits (we set it where it is faster, unless the user
//  did)
//  NO_COLOR                    no colours on a terminal
//  LAPILLI_SHARED              (tests) folder with shared test data
//  LAPILLI_SWIFTSHADER_ICD     (tests) driver file of SwiftShader
//  LAPILLI_RADV_ICD            (tests) driver file of RADV, whose compiler runs without a GPU

#include <filesystem>
#include <optional>
#include <string>

namespace lapilli {

std::optional<std::string> environment(const char* name);
void set_environment_if_unset(const char* name, const char* value);

// Creates the folder when it is missing. Throws Error when it cannot.
std::filesystem::path cache_directory();

}  // namespace lapilli
