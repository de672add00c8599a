#include "tokenizer/text/model_proto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/base/error.h"

namespace lapilli {

namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_number(std::string& out, uint32_t field, uint64_t value) {
  put_varint(out, uint64_t{field} << 3 | kVarint);
  put_varint(out, value);
}

void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  put_varint(out, uint64_t{field} << 3 | kLengthDelimited);
  put_varint(out, bytes.size());
  out.append(bytes);
}

void put_float(std::string& out, uint32_t field, float value) {
  put_varint(out, uint64_t{field} << 3 | kFixed32);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// Walks the fields of one message.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  uint32_t field = 0;
  uint64_t number = 0;     // varint and fixed fields
  std::string_view bytes;  // length-delimited fields
  uint32_t wire_type = 0;

  bool next() {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    field = static_cast<uint32_t>(tag >> 3);
    wire_type = static_cast<uint32_t>(tag & 7);
    switch (wire_type) {
      case kVarint: number = varint(); break;
      case kFixed64: take(8); break;
      case kFixed32: take(4); break;
      case kLengthDelimited: {
        const uint64_t size = varint();
        bytes = take(size);
        break;
      }
      default: fail();
    }
    if (field == 0) fail();
    return true;
  }

  float as_float() const {
    float value;
    static_assert(sizeof value == 4);
    std::memcpy(&value, fixed_.data(), sizeof value);
    return value;
  }

 private:
  [[noreturn]] static void fail() { throw Error("not a SentencePiece model"); }

  uint64_t varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) fail();
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) fail();
    fixed_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return fixed_;
  }

  std::string_view rest_, fixed_;
};

ModelPiece parse_piece(std::string_view bytes) {
  ModelPiece piece;
  for (FieldReader reader(bytes); reader.next();) {
    if (reader.field == 1 && reader.wire_type == kLengthDelimited) piece.piece = reader.bytes;
    if (reader.field == 2 && reader.wire_type == kFixed32) piece.score = reader.as_float();
    if (reader.field == 3 && reader.wire_type == kVarint) piece.kind = static_cast<PieceKind>(reader.number);
  }
  return piece;
}

void put_piece(std::string& out, const ModelPiece& piece) {
  std::string message;
  put_bytes(message, 1, piece.piece);
  put_float(message, 2, piece.score);
  if (piece.kind != PieceKind::kNormal) put_number(message, 3, static_cast<uint32_t>(piece.kind));
  put_bytes(out, 1, message);
}

}  // namespace

std::string unused_piece(uint32_t id) { return fmt::format("<|unused_{}|>", id); }

std::vector<ModelPiece> base_pieces() {
  std::vector<ModelPiece> pieces = {{"<unk>", 0, PieceKind::kUnknown}, {"<s>", 0, PieceKind::kControl}, {"</s>", 0, PieceKind::kControl}};
  for (uint32_t byte = 0; byte < 256; ++byte) pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, PieceKind::kByte});
  return pieces;
}

std::string serialize_model(const ModelProto& model) {
  std::string out;
  for (const ModelPiece& piece : model.pieces) put_piece(out, piece);
  std::string trainer;
  put_number(trainer, 3, static_cast<uint32_t>(model.kind));
  put_number(trainer, 4, model.pieces.size());
  put_number(trainer, 35, std::ranges::count(model.pieces, PieceKind::kByte, &ModelPiece::kind) == 256 ? 1 : 0);
  put_number(trainer, 40, 0);
  put_number(trainer, 41, 1);
  put_number(trainer, 42, 2);
  put_number(trainer, 43, static_cast<uint64_t>(int64_t{-1}));
  if (!model.bos_piece.empty()) put_bytes(trainer, 46, model.bos_piece);
  if (!model.eos_piece.empty()) put_bytes(trainer, 47, model.eos_piece);
  put_bytes(out, 2, trainer);
  std::string normalizer;
  put_bytes(normalizer, 1, "identity");
  put_number(normalizer, 3, 0);
  put_number(normalizer, 4, 0);
  put_number(normalizer, 5, model.escape_whitespaces ? 1 : 0);
  put_bytes(out, 3, normalizer);
  return out;
}

ModelProto parse_model(std::string_view bytes) {
  ModelProto model;
  for (FieldReader reader(bytes); reader.next();) {
    if (reader.wire_type != kLengthDelimited) continue;
    if (reader.field == 1) model.pieces.push_back(parse_piece(reader.bytes));
    if (reader.field == 2) {
      for (FieldReader spec(reader.bytes); spec.next();) {
        if (spec.field == 3 && spec.wire_type == kVarint) model.kind = static_cast<ModelKind>(spec.number);
      }
    }
    if (reader.field == 3) {
      for (FieldReader spec(reader.bytes); spec.next();) {
        if (spec.field == 2 && spec.wire_type == kLengthDelimited) model.charsmap = spec.bytes;
        if (spec.wire_type != kVarint) continue;
        if (spec.field == 3) model.add_dummy_prefix = spec.number != 0;
        if (spec.field == 4) model.remove_extra_whitespaces = spec.number != 0;
        if (spec.field == 5) model.escape_whitespaces = spec.number != 0;
      }
    }
  }
  if (model.pieces.empty()) throw Error("not a SentencePiece model");
  return model;
}

// In protobuf a repeated field goes on where it stopped, and the last value of any other wins.
std::string with_pieces(std::string_view bytes, const std::vector<ModelPiece>& more) {
  std::string trainer, out(bytes);
  put_number(trainer, 4, parse_model(bytes).pieces.size() + more.size());
  for (const ModelPiece& piece : more) put_piece(out, piece);
  put_bytes(out, 2, trainer);
  return out;
}

std::string with_spaces_kept(std::string_view bytes) {
  std::string normalizer;
  put_number(normalizer, 3, 0);
  put_number(normalizer, 4, 0);
  std::string out(bytes);
  put_bytes(out, 3, normalizer);
  return out;
}

std::string with_unused_pieces(std::string_view bytes, uint32_t piece_count, uint32_t vocab_size) {
  std::string out(bytes);
  for (uint32_t id = piece_count; id < vocab_size; ++id) put_piece(out, {unused_piece(id), 0, PieceKind::kUnused});
  return out;
}

}  // namespace lapilli
