#pragma once
// The SPIR-V of every kernel under shaders/, put into the program by the build.

#include "engine/kernel/embedded_shader.h"

namespace lapilli {

std::span<const EmbeddedShader> embedded_shaders();

// What tuning results are valid for.
inline std::string embedded_shaders_hash() { return hash_shaders(embedded_shaders()); }

// Whether this build has the kernel: some need a shader compiler with an extension.
inline bool has_shader(std::string_view name) { return find_shader(embedded_shaders(), name) != nullptr; }

}  // namespace lapilli
