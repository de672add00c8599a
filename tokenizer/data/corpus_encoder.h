#pragma once
// Texts -> the tokens of one shard, and how much of the text the tokens lose.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/data/shard.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

// Bytes of text, of a range of tokens.
struct TextBytes {
  int64_t beyond_tokens = 0;  // the text's own bytes less TokenShard::bytes_of_range(); negative where decoding gives more than was there
  uint64_t lost = 0;          // see text_loss.h; counted for each word by itself (a line, for models whose pieces span words)
};

class EncodedCorpus {
 public:
  std::vector<uint64_t> documents;  // of each input
  bool has_eos = false;             // each document ends with EOS

  // Of tokens [begin, end). Exact for the whole, else within about 1 MiB of text, inside which the difference is spread evenly.
  TextBytes text_bytes(uint64_t begin, uint64_t end) const;
  void add_mark(uint64_t token_count, TextBytes so_far);  // by encode_corpus()

 private:
  struct Mark {
    uint64_t token_count;
    TextBytes so_far;
  };
  TextBytes before(uint64_t token) const;

  std::vector<Mark> marks_;  // empty if nothing is lost
};

struct EncodeOptions {
  std::string field = "text";      // see CorpusOptions
  bool always_eos = false;
  unsigned threads = 0;            // 0: one for each core. Does not affect the result
  size_t batch_bytes = 1 << 20;    // of text, handed to a thread; a document is cut into such parts where it may be. Does not affect the tokens
  size_t most_batch_bytes = 16 << 20;  // a text that cannot be cut before this is encoded by the calling thread
};

// Appends the inputs to the shard: each document ends with EOS if there are several, or if `always_eos`; a single text has no EOS.
// Adds to the shard's text_bytes() what the tokens do not stand for. Errors: those of CorpusReader; an EOS that is necessary and that the
// tokenizer does not have.
EncodedCorpus encode_corpus(TokenShardWriter& writer, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs,
                            const EncodeOptions& options = {});

// A writer for the tokens of this tokenizer.
TokenShardWriter::Options shard_options(const Tokenizer& tokenizer);

}  // namespace lapilli
