#pragma once
// The SPIR-V of every shaders/*.comp, put into the program by the build.

#include <cstdint>
#include <span>
#include <string_view>

namespace lapilli {

struct EmbeddedShader {
  std::string_view name;            // the file's name without .comp
  std::span<const uint32_t> words;
};

std::span<const EmbeddedShader> embedded_shaders();

}  // namespace lapilli
