#pragma once
// SPIR-V that is part of the program. The engine knows no shader by name: whoever makes a KernelLibrary hands it the shaders it may use.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lapilli {

struct EmbeddedShader {
  std::string_view name;            // of the kernel: its .comp file without the ending, or the variant that the file states
  std::span<const uint32_t> words;  // of a valid module
};

// Null where there is none of that name.
const EmbeddedShader* find_shader(std::span<const EmbeddedShader> shaders, std::string_view name);

// Whether a shader's lanes deal with those of their subgroup, by the capabilities it declares; else any size of subgroup will do.
bool uses_subgroups(const EmbeddedShader& shader);

// A hash of names and words, in order, as hexadecimal digits: tuning results hold for one set of kernels.
std::string hash_shaders(std::span<const EmbeddedShader> shaders);

}  // namespace lapilli
