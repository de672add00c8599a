#include "engine/kernel/embedded_shader.h"

#include <algorithm>

#include "engine/base/hash.h"

namespace lapilli {

const EmbeddedShader* find_shader(std::span<const EmbeddedShader> shaders, std::string_view name) {
  const auto found = std::ranges::find(shaders, name, &EmbeddedShader::name);
  return found == shaders.end() ? nullptr : &*found;
}

bool uses_subgroups(const EmbeddedShader& shader) {
  constexpr uint32_t kOpCapability = 17, kHeaderWords = 5, kGroupNonUniform = 61, kGroupNonUniformQuad = 68, kCooperativeMatrix = 6022;
  for (size_t at = kHeaderWords; (shader.words[at] & 0xFFFFU) == kOpCapability; at += shader.words[at] >> 16U) {
    const uint32_t capability = shader.words[at + 1];
    if ((capability >= kGroupNonUniform && capability <= kGroupNonUniformQuad) || capability == kCooperativeMatrix) return true;
  }
  return false;
}

std::string hash_shaders(std::span<const EmbeddedShader> shaders) {
  StreamingHash hash;
  for (const EmbeddedShader& shader : shaders) {
    hash.update(std::as_bytes(std::span(shader.name)));
    hash.update(std::as_bytes(shader.words));
  }
  return to_hex(hash.digest());
}

}  // namespace lapilli
