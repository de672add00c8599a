#pragma once
// The one place where the process environment is read or changed. Everything the program honours is listed here.
//
//  XDG_CACHE_HOME, HOME        where pipelines and tuning results are remembered between runs
//  LAPILLI_CACHE_DIR           overrides the above
//  LAPILLI_VALIDATION=1        turns the Khronos validation layer on in any build
//  LP_NATIVE_VECTOR_WIDTH      Mesa's CPU driver: SIMD width in bits (set by us where it pays, unless the user did)
//  LAPILLI_SHARED              (tests) folder with shared test data
//  LAPILLI_SWIFTSHADER_ICD     (tests) driver file of SwiftShader
//  LAPILLI_RADV_ICD            (tests) driver file of RADV, whose compiler needs no card

#include <filesystem>
#include <optional>
#include <string>

namespace lapilli {

std::optional<std::string> environment(const char* name);
void set_environment_if_unset(const char* name, const char* value);

// Created when missing. Throws Error when there is no place to write.
std::filesystem::path cache_directory();

}  // namespace lapilli
