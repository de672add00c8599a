#include "tokenizer/text/sentencepiece_bridge.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <exception>
#include <unordered_map>

namespace lapilli {

namespace {

// Fixed, not from the machine: unigram training sums floats per thread, so another number of threads would give
// another vocabulary.
constexpr const char* kTrainingThreads = "4";
constexpr const char* kLogNothingButFatal = "3";

// An exception must not propagate through SentencePiece's loops: it is stored here and rethrown after them.
class SourceIterator : public sentencepiece::SentenceIterator {
 public:
  explicit SourceIterator(const SentenceSource& next_sentence) : next_sentence_(next_sentence) { Next(); }

  bool done() const override { return done_; }
  void Next() override {
    try {
      done_ = !next_sentence_(sentence_);
    } catch (...) {
      error_ = std::current_exception();
      done_ = true;
    }
  }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override {
    using sentencepiece::util::Status;
    return error_ ? Status(sentencepiece::util::StatusCode::kAborted, "the text could not be read") : Status();
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const SentenceSource& next_sentence_;
  std::string sentence_;
  bool done_ = false;
  std::exception_ptr error_;
};

}  // namespace

std::string train_sentencepiece(const SentencePieceTraining& training, const SentenceSource& next_sentence) {
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", training.is_bpe ? "bpe" : "unigram"},
      {"vocab_size", fmt::to_string(training.vocab_size)},
      {"character_coverage", fmt::format("{:.9g}", training.character_coverage)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"hard_vocab_limit", "true"},
      {"max_sentence_length", fmt::to_string(training.max_sentence_bytes)},
      {"input_sentence_size", "0"},
      {"shuffle_input_sentence", "false"},
      {"num_threads", kTrainingThreads},
      {"minloglevel", kLogNothingButFatal},
  };
  SourceIterator sentences(next_sentence);
  sentences.rethrow();
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  sentences.rethrow();
  if (!status.ok()) throw SentencePieceFailure(status.ToString());
  return model;
}

struct SentencePieceModel::Impl {
  sentencepiece::SentencePieceProcessor processor;
  mutable std::vector<int> scratch;
};

SentencePieceModel::SentencePieceModel(const std::string& serialized_model) : impl_(std::make_unique<Impl>()) {
  const auto status = impl_->processor.LoadFromSerializedProto(serialized_model);
  if (!status.ok()) throw SentencePieceFailure(status.ToString());
}

SentencePieceModel::~SentencePieceModel() = default;
SentencePieceModel::SentencePieceModel(SentencePieceModel&&) noexcept = default;
SentencePieceModel& SentencePieceModel::operator=(SentencePieceModel&&) noexcept = default;

void SentencePieceModel::encode(std::vector<uint32_t>& ids, std::string_view text) const {
  const auto status = impl_->processor.Encode({text.data(), text.size()}, &impl_->scratch);
  if (!status.ok()) throw SentencePieceFailure(status.ToString());
  for (const int id : impl_->scratch) ids.push_back(static_cast<uint32_t>(id));
}

int SentencePieceModel::bos_id() const { return impl_->processor.bos_id(); }
int SentencePieceModel::eos_id() const { return impl_->processor.eos_id(); }

}  // namespace lapilli
