#pragma once
// SPIR-V embedded in the program. The engine does not depend on particular shaders: the creator of a KernelLibrary
// passes the shaders it may use.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lapilli {

struct EmbeddedShader {
  std::string_view name;            // of the kernel: its .comp file without the ending, or a NAME that the file states
  std::span<const uint32_t> words;  // of a valid module
};

// Null when no shader has that name.
const EmbeddedShader* find_shader(std::span<const EmbeddedShader> shaders, std::string_view name);

// Whether a shader uses subgroup operations, by the capabilities it declares. If not, any subgroup size works.
bool uses_subgroups(const EmbeddedShader& shader);

// A hash of names and SPIR-V words, in order, as hexadecimal digits: tuning results are valid for one set of kernels.
std::string hash_shaders(std::span<const EmbeddedShader> shaders);

}  // namespace lapilli
