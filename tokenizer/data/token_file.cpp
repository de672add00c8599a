#include "tokenizer/data/token_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/utf8.h"
#include "tokenizer/data/npy_header.h"

namespace lapilli {

namespace {

static_assert(std::endian::native == std::endian::little, "tokens are read without conversion");

constexpr size_t kBlockTokens = 1 << 16;
constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr uint32_t kMostNpyHeaderBytes = 1 << 16;  // NumPy writes 118

template <typename T>
T value_at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

TokenFile::TokenFile(const std::filesystem::path& path, TokenFormat format) : name_(path.string()), file_(path, std::ios::binary) {
  std::error_code failure;
  if (!file_) throw Error("cannot read '{}': {}", name_, std::strerror(errno));
  size_bytes_ = std::filesystem::file_size(path, failure);
  if (failure) throw Error("cannot read '{}': {}", name_, failure.message());
  switch (format) {
    case TokenFormat::kNanogpt: token_count_ = size_bytes_ / type_.bytes; break;
    case TokenFormat::kLlmc: read_llmc_header(); break;
    case TokenFormat::kNpy: read_npy_header(); break;
  }
  const uint64_t data_bytes = size_bytes_ - header_bytes_;
  if (token_count_ > data_bytes / type_.bytes || token_count_ * type_.bytes != data_bytes) {
    throw Error("'{}' is cut short, has grown or is another format: it has {} bytes of tokens, and {} tokens of {} bytes each should be in it", name_,
                data_bytes, token_count_, type_.bytes);
  }
  if (token_count_ == 0) throw Error("'{}' holds no tokens", name_);
}

void TokenFile::read_exactly(std::span<std::byte> out, const char* what) {
  file_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  if (static_cast<size_t>(file_.gcount()) != out.size()) throw Error("'{}' is cut short: it ends inside {}", name_, what);
}

void TokenFile::read_llmc_header() {
  std::array<std::byte, 256 * sizeof(int32_t)> header{};
  read_exactly(header, "the header of llm.c");
  header_bytes_ = header.size();
  const auto magic = value_at<int32_t>(header, 0), version = value_at<int32_t>(header, 4), count = value_at<int32_t>(header, 8);
  if (magic == 20240520 && version == 1) type_ = {.bytes = 2};
  else if (magic == 20240801 && version == 7) type_ = {.bytes = 4};
  else
    throw Error("'{}' is not a token file of llm.c: it begins with {} and version {}, and 20240520 with 1 or 20240801 with 7 are known", name_, magic,
                version);
  if (count < 0) throw Error("'{}' is damaged: its header says {} tokens", name_, count);
  token_count_ = static_cast<uint64_t>(count);
}

TokenFile::Type TokenFile::npy_type(std::string_view description) const {
  if (description == "<u2") return {.bytes = 2};
  if (description == "<u4") return {.bytes = 4};
  if (description == "<i4") return {.bytes = 4, .is_signed = true};
  if (description == "<i8") return {.bytes = 8, .is_signed = true};
  throw Error("its type is '{}': convert it to uint16, uint32, int32 or int64, little-endian", printable(description));
}

void TokenFile::read_npy_header() {
  std::array<std::byte, 8> begin{};
  read_exactly(begin, "the header of NumPy");
  if (std::memcmp(begin.data(), kNpyMagic.data(), kNpyMagic.size()) != 0) throw Error("'{}' is not a .npy file", name_);
  const auto major = std::to_integer<int>(begin[6]), minor = std::to_integer<int>(begin[7]);
  if (major < 1 || major > 3 || minor != 0) throw Error("'{}' is a .npy file of version {}.{}, and 1.0, 2.0 and 3.0 are known", name_, major, minor);
  std::array<std::byte, 4> length{};
  const size_t length_bytes = major == 1 ? 2 : 4;
  read_exactly(std::span(length).first(length_bytes), "the header of NumPy");
  const auto text_bytes = value_at<uint32_t>(length, 0);
  if (text_bytes > kMostNpyHeaderBytes) throw Error("'{}' has a header of {} bytes, and at most {} are read", name_, text_bytes, kMostNpyHeaderBytes);
  std::string text(text_bytes, ' ');
  read_exactly(std::as_writable_bytes(std::span(text)), "the header of NumPy");
  header_bytes_ = begin.size() + length_bytes + text_bytes;
  try {
    const NpyHeader header = parse_npy_header(text);
    if (header.shape.size() != 1) throw Error("it has {} dimensions, and tokens have one: flatten it", header.shape.size());
    if (header.fortran_order) throw Error("it is in Fortran order: write it in C order");
    type_ = npy_type(header.type);
    token_count_ = header.shape[0];
  } catch (const Error& error) {
    throw Error("'{}' cannot be imported: {}", name_, error.what());
  }
}

int64_t TokenFile::value(const std::byte* bytes) const {
  const auto load = [&]<typename T>(T number) {
    std::memcpy(&number, bytes, sizeof number);
    return static_cast<int64_t>(number);
  };
  if (type_.bytes == 2) return load(uint16_t{});
  if (type_.bytes == 8) return load(int64_t{});
  return type_.is_signed ? load(int32_t{}) : load(uint32_t{});
}

size_t TokenFile::read(std::span<uint32_t> ids, uint32_t vocab_size) {
  size_t filled = 0;
  while (filled < ids.size() && position_ < token_count_) {
    const auto count = static_cast<size_t>(std::min<uint64_t>({kBlockTokens, ids.size() - filled, token_count_ - position_}));
    block_.resize(count * type_.bytes);
    read_exactly(block_, "its tokens");
    for (size_t i = 0; i < count; ++i) {
      const int64_t id = value(block_.data() + i * type_.bytes);
      if (id < 0 || id >= int64_t{vocab_size}) {
        throw Error("'{}' has the token {} at position {}, and a vocabulary of {} has 0 to {}: is this its format and vocabulary?", name_, id,
                    position_ + i, vocab_size, vocab_size - 1);
      }
      ids[filled + i] = static_cast<uint32_t>(id);
    }
    filled += count;
    position_ += count;
  }
  return filled;
}

}  // namespace lapilli
