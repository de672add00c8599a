#pragma once
// The ids of words that were encoded before: texts repeat their words.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lapilli {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

class WordCache {
 public:
  // Appends the ids of the word and returns how many of its bytes they lose. `encode(ids, word)` does both for a word that is not here.
  template <typename Encode>
  uint64_t append(std::vector<uint32_t>& ids, std::string_view word, Encode&& encode) {
    if (const auto found = words_.find(word); found != words_.end()) {
      const Word& cached = found->second;
      ids.insert(ids.end(), ids_.begin() + cached.begin, ids_.begin() + cached.begin + cached.count);
      return cached.lost_bytes;
    }
    const size_t begin = ids.size();
    const uint64_t lost = encode(ids, word);
    if (word.size() > kMostWordBytes || words_.size() >= kMostWords) return lost;
    words_.emplace(word, Word{static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(ids.size() - begin), static_cast<uint32_t>(lost)});
    ids_.insert(ids_.end(), ids.begin() + static_cast<ptrdiff_t>(begin), ids.end());
    return lost;
  }

 private:
  static constexpr size_t kMostWords = 1 << 18;
  static constexpr size_t kMostWordBytes = 64;

  struct Word {
    uint32_t begin, count;  // in ids_
    uint32_t lost_bytes;
  };
  std::unordered_map<std::string, Word, StringHash, std::equal_to<>> words_;
  std::vector<uint32_t> ids_;
};

}  // namespace lapilli
