#include "tokenizer/text/tokenizer.h"

#include <cstring>
#include <fstream>
#include <span>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/utf8.h"
#include "tokenizer/text/tokenizer_kind.h"

namespace lapilli {

void TokenizerKind::add_piece(std::string piece, std::string bytes) {
  if (bytes.size() > UINT16_MAX) throw Error("it has a piece of more than 65535 bytes");
  pieces_.push_back(std::move(piece));
  piece_bytes_.push_back(std::move(bytes));
}

struct Tokenizer::Impl {
  std::filesystem::path path;
  uint64_t hash;
  std::unique_ptr<TokenizerKind> kind;
};

const char* tokenizer_file_name(std::string_view bytes) { return kTokenizerNames[bytes.starts_with('{') ? 1 : 0]; }

std::filesystem::path find_tokenizer(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const char* name : kTokenizerNames)
    if (std::filesystem::is_regular_file(folder / name, ignored)) return folder / name;
  return {};
}

std::filesystem::path tokenizer_in(const std::filesystem::path& folder) {
  const std::filesystem::path found = find_tokenizer(folder);
  if (found.empty()) throw Error("'{}' has neither {} nor {}", folder.string(), kTokenizerNames[0], kTokenizerNames[1]);
  return found;
}

bool is_no_tokenizer(const std::filesystem::path& tokenizer_model) {
  std::string begin(kNoTokenizer.size(), '\0');
  std::ifstream(tokenizer_model, std::ios::binary).read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return begin == kNoTokenizer;
}

Tokenizer::Tokenizer(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path);
  if (bytes.starts_with(kNoTokenizer))
    throw Error("'{}': the tokens were imported without their tokenizer, so there is no text for them; import them again with --tokenizer T",
                path.string());
  const bool is_json = std::strcmp(tokenizer_file_name(bytes), kTokenizerNames[1]) == 0;
  try {
    impl_ = std::make_unique<Impl>(Impl{.path = path,
                                        .hash = hash_bytes(std::as_bytes(std::span(bytes))),
                                        .kind = is_json ? make_byte_bpe(parse_tokenizer_json(bytes)) : make_sentencepiece(bytes, path.string())});
  } catch (const std::exception& failure) {
    throw Error("cannot use '{}' as a tokenizer ({}){}", path.string(), failure.what(), is_json ? "" : "; make one with `lapilli tokenizer train`");
  }
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<uint32_t> Tokenizer::encode(std::string_view text) const {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error("the text has a NUL byte at offset {}: it is not plain text", nul);
  }
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    throw Error("the text is not UTF-8: malformed character at byte offset {}", bad);
  }
  std::vector<uint32_t> ids;
  encode_prefix(ids, text, true);
  return ids;
}

size_t Tokenizer::encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t* lost_bytes) const {
  uint64_t lost = 0;
  const size_t consumed = impl_->kind->encode_prefix(ids, text, is_end, lost);
  if (lost_bytes != nullptr) *lost_bytes += lost;
  return consumed;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids) const {
  std::string text;
  for (const uint32_t id : ids) text += piece_bytes(id);
  return text;
}

uint32_t Tokenizer::vocab_size() const { return static_cast<uint32_t>(impl_->kind->pieces().size()); }
std::optional<uint32_t> Tokenizer::bos_id() const { return impl_->kind->bos_id(); }
std::optional<uint32_t> Tokenizer::eos_id() const { return impl_->kind->eos_id(); }
TokenizerType Tokenizer::type() const { return impl_->kind->type(); }
bool Tokenizer::has_byte_fallback() const { return impl_->kind->has_byte_fallback(); }
const ByteBpeModel* Tokenizer::byte_bpe() const { return impl_->kind->byte_bpe(); }

const std::string& Tokenizer::piece(uint32_t id) const {
  CHECK(id < vocab_size(), "token id {} of a vocabulary of {}", id, vocab_size());
  return impl_->kind->pieces()[id];
}

const std::string& Tokenizer::piece_bytes(uint32_t id) const {
  CHECK(id < vocab_size(), "token id {} of a vocabulary of {}", id, vocab_size());
  return impl_->kind->piece_bytes()[id];
}

std::vector<uint16_t> Tokenizer::token_bytes() const {
  std::vector<uint16_t> sizes;
  for (const std::string& bytes : impl_->kind->piece_bytes()) sizes.push_back(static_cast<uint16_t>(bytes.size()));
  return sizes;
}

uint64_t Tokenizer::hash() const { return impl_->hash; }
const std::filesystem::path& Tokenizer::path() const { return impl_->path; }

}  // namespace lapilli
