#pragma once
// The parts of a SentencePiece model file (a protobuf `ModelProto`) that we read and write.
//
//   ModelProto     1: SentencePiece (repeated)   2: TrainerSpec   3: NormalizerSpec
//   SentencePiece  1: piece, string   2: score, float   3: type, enum
//   TrainerSpec    3: model_type   4: vocab_size   35: byte_fallback   40..43: unk, bos, eos, pad id   46, 47: bos, eos piece
//   NormalizerSpec 1: name   2: precompiled_charsmap   3: add_dummy_prefix   4: remove_extra_whitespaces   5: escape_whitespaces

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

enum class PieceKind : uint32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// The enum values of SentencePiece.
enum class ModelKind : uint32_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct ModelPiece {
  std::string piece;
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

struct ModelProto {
  std::vector<ModelPiece> pieces;
  ModelKind kind = ModelKind::kUnigram;
  std::string bos_piece, eos_piece;  // as written; empty: <s>, </s>
  bool escape_whitespaces = true;  // a space in the text is U+2581 in the pieces
  // As read from a file; our own files set neither.
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string charsmap;  // precompiled_charsmap: characters that are replaced before the text is split; empty: none
};

// The name of an id without a piece: "<|unused_7|>".
std::string unused_piece(uint32_t id);

// <unk>, <s>, </s> and the 256 byte pieces: the beginning of each of our vocabularies.
std::vector<ModelPiece> base_pieces();

// A complete model file: identity normalisation, no dummy prefix, all spaces kept, byte fallback where all byte pieces are there.
std::string serialize_model(const ModelProto& model);

// Throws Error("...") without a path when the bytes are not a ModelProto with pieces.
ModelProto parse_model(std::string_view bytes);

// The same model with more pieces at its end.
std::string with_pieces(std::string_view bytes, const std::vector<ModelPiece>& more);

// The same model with settings to add no prefix and keep all spaces (in protobuf the last value of a field wins).
std::string with_spaces_kept(std::string_view bytes);

// The same model with unused pieces behind its `piece_count`, up to `vocab_size`.
std::string with_unused_pieces(std::string_view bytes, uint32_t piece_count, uint32_t vocab_size);

}  // namespace lapilli
