#pragma once
// Tokens that other programs wrote: the files of `lapilli data import`.
//
//   nanogpt  u16 tokens and nothing else
//   llmc     a header of 256 i32, then the tokens. Header: magic, version, token count, zeros. Magic 20240520 with version 1: u16 tokens (GPT-2);
//            20240801 with version 7: u32 tokens (Llama 3)
//   npy      NumPy's array file, version 1 to 3: one dimension of u16, u32, i32 or i64
//
// All little-endian. The size of the file must be the one that its header says.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

enum class TokenFormat { kNanogpt, kLlmc, kNpy };
inline constexpr const char* kTokenFormatNames[] = {"nanogpt", "llmc", "npy"};  // in the order of the enumerators

class TokenFile {
 public:
  // Throws Error that names the file: not of that format, cut short, without tokens.
  TokenFile(const std::filesystem::path& path, TokenFormat format);

  uint64_t token_count() const { return token_count_; }
  // Fills `ids` with the next tokens; at the end of the file with fewer. Returns how many. Throws Error for one that is not below `vocab_size`,
  // with its position.
  size_t read(std::span<uint32_t> ids, uint32_t vocab_size);

 private:
  struct Type {
    uint32_t bytes = 2;
    bool is_signed = false;
  };
  void read_llmc_header();
  void read_npy_header();
  Type npy_type(std::string_view description) const;
  void read_exactly(std::span<std::byte> out, const char* what);
  int64_t value(const std::byte* bytes) const;

  std::string name_;
  std::ifstream file_;
  uint64_t size_bytes_ = 0, header_bytes_ = 0;
  uint64_t token_count_ = 0, position_ = 0;
  Type type_;
  std::vector<std::byte> block_;
};

}  // namespace lapilli
