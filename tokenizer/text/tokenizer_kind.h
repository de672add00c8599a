#pragma once
// What Tokenizer asks of each kind of tokenizer. Objects have a cache of words: one thread at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

class TokenizerKind {
 public:
  virtual ~TokenizerKind() = default;

  // As Tokenizer::encode_prefix().
  virtual size_t encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t& lost_bytes) = 0;
  virtual std::optional<uint32_t> bos_id() const = 0;
  virtual std::optional<uint32_t> eos_id() const = 0;
  virtual TokenizerType type() const = 0;
  virtual bool has_byte_fallback() const = 0;
  virtual const ByteBpeModel* byte_bpe() const { return nullptr; }

  const std::vector<std::string>& pieces() const { return pieces_; }            // [V] as in the file
  const std::vector<std::string>& piece_bytes() const { return piece_bytes_; }  // [V] what they decode to

 protected:
  // Throws Error for more bytes than the tables of bytes by token have room for.
  void add_piece(std::string piece, std::string bytes);

 private:
  std::vector<std::string> pieces_, piece_bytes_;
};

// `model`: the bytes of a SentencePiece model file; `name`: for errors. Both throw Error, without a path, for what cannot be used.
std::unique_ptr<TokenizerKind> make_sentencepiece(const std::string& model, std::string name);
std::unique_ptr<TokenizerKind> make_byte_bpe(ByteBpeModel model);

}  // namespace lapilli
