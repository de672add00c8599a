#pragma once
// The only interface to SentencePiece: only sentencepiece_bridge.cpp includes its headers.

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

// An error message of SentencePiece. Callers convert it to an Error with the file and the remedy.
class SentencePieceFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct SentencePieceTraining {
  bool is_bpe = false;  // else unigram
  uint32_t vocab_size = 0;
  double character_coverage = 0.9995;
  uint32_t max_sentence_bytes = 0;
};

// Fills `sentence` (no newline inside) and returns true, or returns false at the end. May throw.
using SentenceSource = std::function<bool(std::string& sentence)>;

// The serialized model. Deterministic: uses a fixed number of threads on every machine.
std::string train_sentencepiece(const SentencePieceTraining& training, const SentenceSource& next_sentence);

class SentencePieceModel {
 public:
  explicit SentencePieceModel(const std::string& serialized_model);
  ~SentencePieceModel();
  SentencePieceModel(SentencePieceModel&&) noexcept;
  SentencePieceModel& operator=(SentencePieceModel&&) noexcept;

  void encode(std::vector<uint32_t>& ids, std::string_view text) const;  // appends
  int bos_id() const;                                                    // -1: none
  int eos_id() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lapilli
