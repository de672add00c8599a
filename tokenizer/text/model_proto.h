#pragma once
// The few parts of a SentencePiece model file (a protobuf `ModelProto`) that we write or read ourselves.
//
//   ModelProto     1: SentencePiece (repeated)   2: TrainerSpec   3: NormalizerSpec
//   SentencePiece  1: piece, string   2: score, float   3: type, enum
//   TrainerSpec    3: model_type   4: vocab_size   35: byte_fallback   40..43: unk, bos, eos, pad id
//   NormalizerSpec 1: name   3: add_dummy_prefix   4: remove_extra_whitespaces   5: escape_whitespaces

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

enum class PieceKind : uint32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// SentencePiece's numbers.
enum class ModelKind : uint32_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct ModelPiece {
  std::string piece;
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

struct ModelProto {
  std::vector<ModelPiece> pieces;
  ModelKind kind = ModelKind::kUnigram;
  bool escape_whitespaces = true;  // a space in the text is written U+2581 in the pieces
  // As read from a file; what we write has neither.
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
};

// <unk>, <s>, </s> and the 256 byte pieces: what every vocabulary of ours begins with.
std::vector<ModelPiece> base_pieces();

// A whole model file: identity normalisation, no dummy prefix, all spaces kept, byte fallback.
std::string serialize_model(const ModelProto& model);

// Throws Error("...") without a path when the bytes are not a ModelProto with pieces.
ModelProto parse_model(std::string_view bytes);

// The same model, told to add no prefix and to keep all spaces (in protobuf a field that comes later wins).
std::string with_spaces_kept(std::string_view bytes);

}  // namespace lapilli
