#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <unordered_map>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/utf8.h"
#include "tokenizer/text/bpe_splitter.h"
#include "tokenizer/text/byte_alphabet.h"
#include "tokenizer/text/tokenizer_kind.h"
#include "tokenizer/text/word_cache.h"

namespace lapilli {

namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
using PieceIds = std::unordered_map<std::string, uint32_t, StringHash, std::equal_to<>>;

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

struct Merge {
  uint32_t rank, merged;
};
using Merges = std::unordered_map<uint64_t, Merge>;  // by pair_key()

// The ids of one word's bytes, in a list whose neighbours are merged.
class MergeList {
 public:
  explicit MergeList(const Merges& merges) : merges_(merges) {}

  void add(uint32_t id) {
    const auto at = static_cast<uint32_t>(symbols_.size());
    symbols_.push_back({id, at == 0 ? kNone : at - 1, kNone});
    if (at > 0) symbols_[at - 1].next = at;
  }

  // Merges until no pair can be: the lowest rank first, and of equals the leftmost. Appends what is left, and empties the list.
  void merge_into(std::vector<uint32_t>& ids) {
    for (uint32_t at = 0; at + 1 < symbols_.size(); ++at) consider(at);
    while (!candidates_.empty()) {
      const Candidate candidate = candidates_.top();
      candidates_.pop();
      if (is_current(candidate)) merge(candidate);
    }
    for (uint32_t at = symbols_.empty() ? kNone : 0; at != kNone; at = symbols_[at].next) ids.push_back(symbols_[at].id);
    symbols_.clear();
  }

 private:
  struct Symbol {
    uint32_t id;  // kNone: merged into the one before it
    uint32_t previous, next;
  };
  struct Candidate {
    uint32_t rank, at;
    uint64_t pair;
    uint32_t merged;
    bool operator<(const Candidate& other) const { return std::pair(rank, at) > std::pair(other.rank, other.at); }
  };

  void consider(uint32_t at) {
    if (at == kNone || symbols_[at].next == kNone) return;
    const uint64_t pair = pair_key(symbols_[at].id, symbols_[symbols_[at].next].id);
    if (const auto found = merges_.find(pair); found != merges_.end()) candidates_.push({found->second.rank, at, pair, found->second.merged});
  }

  // Whether the pair still stands there.
  bool is_current(const Candidate& candidate) const {
    const Symbol& left = symbols_[candidate.at];
    return left.id != kNone && left.next != kNone && pair_key(left.id, symbols_[left.next].id) == candidate.pair;
  }

  void merge(const Candidate& candidate) {
    Symbol& left = symbols_[candidate.at];
    Symbol& right = symbols_[left.next];
    left.id = candidate.merged;
    left.next = right.next;
    right.id = kNone;
    if (left.next != kNone) symbols_[left.next].previous = candidate.at;
    consider(left.previous);
    consider(candidate.at);
  }

  const Merges& merges_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> candidates_;
};

// Added tokens that are taken wherever the text has them.
class AddedTokens {
 public:
  struct Found {
    size_t at;             // where it begins; without one, up to where it is certain that none begins
    uint32_t id = kNone;
    size_t bytes = 0;
  };

  void add(std::string_view text, uint32_t id) {
    if (text.empty()) throw Error("its added token {} is empty", id);
    const size_t newline = text.find('\n');
    // Texts are cut between lines, and each part is encoded by itself.
    if (newline != std::string_view::npos && text.find_first_not_of('\n', newline) != std::string_view::npos)
      throw Error("its added token {:?} goes on after the end of a line: that is not supported", text);
    auto& tokens = by_first_byte_[static_cast<uint8_t>(text[0])];
    tokens.emplace_back(text, id);
    std::ranges::stable_sort(tokens, [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    most_bytes_ = std::max(most_bytes_, text.size());
  }

  // The first that begins at `begin` or later, and the longest there.
  Found find(std::string_view text, size_t begin, bool is_end) const {
    size_t known = text.size();
    if (!is_end && most_bytes_ > 0) known -= std::min(known, most_bytes_ - 1);
    while (known < text.size() && known > 0 && (static_cast<uint8_t>(text[known]) & 0xC0) == 0x80) --known;
    if (most_bytes_ == 0) return {known};
    for (size_t at = begin; at < known; ++at)
      for (const auto& [token, id] : by_first_byte_[static_cast<uint8_t>(text[at])])
        if (text.substr(at).starts_with(token)) return {at, id, token.size()};
    return {std::max(begin, known)};
  }

 private:
  std::array<std::vector<std::pair<std::string, uint32_t>>, 256> by_first_byte_;  // the longest first
  size_t most_bytes_ = 0;
};

class ByteBpe final : public TokenizerKind {
 public:
  explicit ByteBpe(ByteBpeModel model) : model_(std::move(model)), splitter_(model_.splitter), list_(merges_) {
    CHECK_EQ(model_.pieces.size(), model_.kinds.size());
    if (model_.pieces.empty()) throw Error("its vocabulary is empty");
    PieceIds ids;
    for (uint32_t id = 0; id < model_.pieces.size(); ++id) {
      if (!ids.emplace(model_.pieces[id], id).second) throw Error("its vocabulary has the piece {:?} twice", model_.pieces[id]);
      add_piece_of(id);
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const auto found = ids.find(byte_character(static_cast<uint8_t>(byte)));
      byte_ids_[byte] = found == ids.end() ? kNone : found->second;
    }
    add_merges(ids);
    for (const std::optional<uint32_t> special : {model_.bos, model_.eos, model_.unknown})
      if (special && *special >= model_.pieces.size())
        throw Error("its special token {} is beyond its vocabulary of {}", *special, model_.pieces.size());
  }

  size_t encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t& lost) override {
    size_t begin = 0;
    while (begin < text.size()) {
      const AddedTokens::Found added = added_tokens_.find(text, begin, is_end);
      begin = encode_words(ids, text.substr(0, added.at), begin, is_end || added.id != kNone, lost);
      if (added.id == kNone) break;
      ids.push_back(added.id);
      begin += added.bytes;
    }
    return begin;
  }

  std::optional<uint32_t> bos_id() const override { return model_.bos; }
  std::optional<uint32_t> eos_id() const override { return model_.eos; }
  TokenizerType type() const override { return TokenizerType::kByteBpe; }
  bool has_byte_fallback() const override { return std::ranges::find(byte_ids_, kNone) == byte_ids_.end(); }
  const ByteBpeModel* byte_bpe() const override { return &model_; }

 private:
  void add_piece_of(uint32_t id) {
    const std::string& piece = model_.pieces[id];
    switch (model_.kinds[id]) {
      case PieceKind::kNormal:
        // A piece with other characters than the alphabet's is never made, and stands for its own text.
        if (const std::optional<std::string> bytes = bytes_of_characters(piece)) {
          if (model_.ignore_merges) whole_words_.emplace(*bytes, id);
          return add_piece(piece, *bytes);
        }
        return add_piece(piece, piece);
      case PieceKind::kUserDefined: added_tokens_.add(piece, id); return add_piece(piece, piece);
      default: return add_piece(piece, "");
    }
  }

  void add_merges(const PieceIds& ids) {
    for (uint32_t rank = 0; rank < model_.merges.size(); ++rank) {
      const auto& [left, right] = model_.merges[rank];
      const auto id_of = [&](const std::string& piece) {
        const auto found = ids.find(piece);
        if (found == ids.end()) throw Error("its merge {} of {:?} and {:?} needs the piece {:?}, which it does not have", rank, left, right, piece);
        return found->second;
      };
      merges_.insert_or_assign(pair_key(id_of(left), id_of(right)), Merge{rank, id_of(left + right)});
    }
  }

  // The words of text[begin ..]: all if it `is_complete`, else those that later text cannot change. Returns where it stopped.
  size_t encode_words(std::vector<uint32_t>& ids, std::string_view text, size_t begin, bool is_complete, uint64_t& lost) {
    while (begin < text.size()) {
      const size_t length = splitter_.first_word(text.substr(begin), is_complete);
      if (length == 0) break;
      lost += words_.append(ids, text.substr(begin, length), [&](auto& to, std::string_view word) { return encode_word(to, word); });
      begin += length;
    }
    return begin;
  }

  // Returns the bytes of the characters of which a byte has no piece.
  uint64_t encode_word(std::vector<uint32_t>& ids, std::string_view word) {
    if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) {
      ids.push_back(whole->second);
      return 0;
    }
    uint64_t lost = 0;
    for (size_t begin = 0; begin < word.size();) {
      const size_t length = utf8_length(word[begin]);
      bool is_whole = true;
      for (size_t i = begin; i < begin + length; ++i) {
        const uint32_t id = byte_ids_[static_cast<uint8_t>(word[i])];
        is_whole &= id != kNone;
        if (id != kNone) list_.add(id);
        else if (model_.unknown) list_.add(*model_.unknown);
      }
      if (!is_whole) lost += length;
      begin += length;
    }
    list_.merge_into(ids);
    return lost;
  }

  ByteBpeModel model_;
  WordSplitter splitter_;
  std::array<uint32_t, 256> byte_ids_{};
  Merges merges_;
  MergeList list_;
  PieceIds whole_words_;  // by their bytes; empty unless merges are ignored for them
  AddedTokens added_tokens_;
  WordCache words_;
};

}  // namespace

std::unique_ptr<TokenizerKind> make_byte_bpe(ByteBpeModel model) { return std::make_unique<ByteBpe>(std::move(model)); }

}  // namespace lapilli
