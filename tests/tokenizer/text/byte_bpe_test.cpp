// Byte-level BPE: the ids are those of the library `tokenizers`, however the text is cut into blocks.

#include <random>

#include "tests/tokenizer/byte_bpe.h"
#include "tokenizer/text/bpe_splitter.h"
#include "tokenizer/text/byte_alphabet.h"
#include "tokenizer/text/byte_bpe_model.h"

namespace lapilli::testing {
namespace {

using nlohmann::json;

class ByteBpe : public ::testing::TestWithParam<const char*> {
 protected:
  TempDir dir_;
  Tokenizer tokenizer_ = make_byte_bpe(dir_, GetParam());
};

INSTANTIATE_TEST_SUITE_P(All, ByteBpe, ::testing::ValuesIn(kSplitters), [](const auto& test) { return std::string(test.param); });

TEST_P(ByteBpe, Encode_AwkwardTexts_HasTheIdsOfTokenizers_AndDecodes) {
  const json &texts = byte_bpe_goldens().at("texts"), &ids = byte_bpe_goldens().at("ids").at(GetParam());
  ASSERT_GT(texts.size(), 90U);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    EXPECT_EQ(tokenizer_.encode(text), ids[i].get<std::vector<uint32_t>>()) << text;
    EXPECT_EQ(tokenizer_.decode(tokenizer_.encode(text)), text);
  }
}

TEST_P(ByteBpe, EncodePrefix_AnyBlocks_HasTheIdsOfTheWhole) {
  std::string text;
  for (const json& part : byte_bpe_goldens().at("texts")) text += part.get<std::string>();
  const std::vector<uint32_t> expected = tokenizer_.encode(text);
  std::mt19937 random(3);
  for (const size_t most : {1U, 7U, 64U, 1000U}) {
    std::vector<uint32_t> ids;
    std::string waiting;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.size(), begin + 1 + random() % most);
      while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
      waiting += text.substr(begin, end - begin);
      begin = end;
      waiting.erase(0, tokenizer_.encode_prefix(ids, waiting, false));
      ASSERT_LT(waiting.size(), 400U + most);  // the longest word of the texts has 101 bytes
    }
    EXPECT_EQ(tokenizer_.encode_prefix(ids, waiting, true), waiting.size());
    EXPECT_EQ(ids, expected) << most;
  }
}

// Words have no limit, and no run of characters takes more than time in proportion to it.
TEST_P(ByteBpe, Encode_LongRuns_AreOneWord) {
  for (const char* unit : {"x", " ", "\r", "!", "\xC3\xA9", " \r", "the"}) {
    std::string text;
    while (text.size() < 200000) text += unit;
    std::vector<uint32_t> ids;
    EXPECT_EQ(tokenizer_.encode_prefix(ids, text, false), 0U) << unit;
    EXPECT_EQ(tokenizer_.decode(tokenizer_.encode(text)), text) << unit;
    EXPECT_GE(tokenizer_.encode_prefix(ids, text + " . . . . .", false), text.size()) << unit;
  }
}

TEST_P(ByteBpe, PiecesAndSpecials) {
  const auto end = tokenizer_.eos_id();
  ASSERT_TRUE(end);
  EXPECT_EQ(tokenizer_.type(), TokenizerType::kByteBpe);
  EXPECT_EQ(to_string(tokenizer_.byte_bpe()->splitter), GetParam());
  EXPECT_EQ(tokenizer_.piece(*end), "<|endoftext|>");
  EXPECT_EQ(tokenizer_.piece_bytes(*end), "");
  EXPECT_EQ(tokenizer_.bos_id(), end);
  EXPECT_TRUE(tokenizer_.has_byte_fallback());
  const std::vector<uint32_t> the = tokenizer_.encode(" the");
  ASSERT_EQ(the.size(), 1U);
  EXPECT_EQ(tokenizer_.piece(the[0]), "\xC4\xA0the");
  EXPECT_EQ(tokenizer_.piece_bytes(the[0]), " the");
  EXPECT_EQ(tokenizer_.token_bytes()[the[0]], 4);
  EXPECT_EQ(tokenizer_.token_bytes()[*end], 0);
}

TEST_P(ByteBpe, WrittenAgain_IsTheSameTokenizer) {
  ByteBpeModel model = *tokenizer_.byte_bpe();
  model.bos = 5;
  pad_vocabulary(model, tokenizer_.vocab_size() + 7);
  const Tokenizer again(dir_.write("again.json", to_tokenizer_json(model)));
  ASSERT_EQ(again.vocab_size(), tokenizer_.vocab_size() + 7);
  EXPECT_EQ(again.bos_id(), 5U);
  EXPECT_EQ(again.eos_id(), tokenizer_.eos_id());
  EXPECT_EQ(again.byte_bpe()->kinds, model.kinds);
  EXPECT_EQ(again.byte_bpe()->pieces, model.pieces);
  EXPECT_EQ(again.piece(again.vocab_size() - 1), unused_piece(again.vocab_size() - 1));
  EXPECT_EQ(again.piece_bytes(again.vocab_size() - 1), "");
  EXPECT_NE(again.hash(), tokenizer_.hash());
  for (const json& text : byte_bpe_goldens().at("texts"))
    EXPECT_EQ(again.encode(text.get<std::string>()), tokenizer_.encode(text.get<std::string>()));
}

class TokenizerJson : public ::testing::Test {
 protected:
  template <typename Change>
  Tokenizer changed(Change&& change, const char* splitter = "gpt2") {
    json file = byte_bpe_json(splitter);
    change(file);
    return Tokenizer(dir_.write("t.json", file.dump()));
  }
  template <typename Change>
  std::string error_with(Change&& change, const char* splitter = "gpt2") {
    return error_of([&] { changed(change, splitter); });
  }

  TempDir dir_;
};

TEST_F(TokenizerJson, OtherKinds_NameKeyAndValue) {
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["type"] = "WordPiece"; }), "t.json", "model.type is \"WordPiece\"");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["normalizer"] = {{"type", "NFC"}}; }), "normalizer is {\"type\":\"NFC\"}");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }), "pre_tokenizer", "\"add_prefix_space\":true");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["pre_tokenizer"] = nullptr; }), "pre_tokenizer is null");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }, "llama3"), "\\\\w+");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false; }, "smollm"),
                        "individual_digits");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["decoder"]["type"] = "WordPiece"; }), "decoder");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["byte_fallback"] = true; }), "model.byte_fallback is true");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["dropout"] = 0.1; }), "model.dropout is 0.1");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }), "model.end_of_word_suffix", "</w>");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["added_tokens"][1]["lstrip"] = true; }), "added token with lstrip", "<tool>");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["added_tokens"][1]["content"] = "\nUser:"; }), "\\nUser:", "end of a line");
  EXPECT_ERROR_MENTIONS(error_of([&] { Tokenizer(dir_.write("t.json", "{]")); }), "t.json", "not JSON");
  EXPECT_ERROR_MENTIONS(error_of([&] { Tokenizer(dir_.write("t.json", "{}")); }), "no \"model\"");
}

TEST_F(TokenizerJson, Damaged_IsNamed) {
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["merges"][0] = {"t", "qq"}; }), "merge 0", "\"qq\"");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["merges"][0] = "t h e"; }), "merge", "t h e");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["vocab"]["t"] = j["model"]["vocab"]["h"]; }), "same id");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["vocab"]["t"] = -1; }), "id of \"t\" is -1");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["vocab"]["t"] = 4000000000; }), "4000000000");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["added_tokens"][0]["id"] = 7; }), "<|endoftext|>", "7");
  EXPECT_ERROR_MENTIONS(error_with([](json& j) { j["model"]["lapilli"] = {{"eos", 9999}}; }), "model.lapilli.eos is 9999");
}

TEST_F(TokenizerJson, HolesInTheIds_AreUnusedPieces) {
  const Tokenizer tokenizer = changed([](json& j) { j["model"]["vocab"]["hole"] = 400; });
  ASSERT_EQ(tokenizer.vocab_size(), 401U);
  EXPECT_EQ(tokenizer.piece(399), "<|unused_399|>");
  EXPECT_EQ(tokenizer.byte_bpe()->kinds[399], PieceKind::kUnused);
  EXPECT_EQ(tokenizer.piece(400), "hole");
}

TEST_F(TokenizerJson, OlderFiles_WithoutTypeAndWithMergesAsText_AreRead) {
  const Tokenizer plain = changed([](json&) {});
  const Tokenizer older = changed([](json& j) {
    j["model"].erase("type");
    for (json& merge : j["model"]["merges"]) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  });
  EXPECT_EQ(older.encode("the man there"), plain.encode("the man there"));
}

TEST_F(TokenizerJson, IgnoreMerges_IsForWholeWords) {
  EXPECT_EQ(changed([](json&) {}, "llama3").encode("qzq").size(), 1U);
  EXPECT_EQ(changed([](json& j) { j["model"]["ignore_merges"] = false; }, "llama3").encode("qzq").size(), 3U);
}

// As the vocabulary of SmolLM, which has no piece for some bytes.
TEST_F(TokenizerJson, ByteWithoutPiece_IsLostOrUnknown_AndCounted) {
  const auto remove_last_byte_of_e_acute = [](json& j) {
    const std::string piece = byte_character(0xA9);
    json kept = json::array();
    for (const json& merge : j["model"]["merges"])
      if (merge[0].get<std::string>().find(piece) == std::string::npos && merge[1].get<std::string>().find(piece) == std::string::npos)
        kept.push_back(merge);
    j["model"]["merges"] = kept;
    j["model"]["vocab"].erase(piece);
  };
  const std::string text = "th\xC3\xA9n \xC3\xA8";
  uint64_t lost = 0;
  std::vector<uint32_t> ids;
  const Tokenizer lossy = changed(remove_last_byte_of_e_acute);
  lossy.encode_prefix(ids, text, true, &lost);
  EXPECT_EQ(lost, 2U);
  EXPECT_FALSE(lossy.has_byte_fallback());
  EXPECT_EQ(lossy.decode(ids), "th\xC3n \xC3\xA8");
  const Tokenizer unknown = changed([&](json& j) {
    remove_last_byte_of_e_acute(j);
    j["model"]["unk_token"] = "<|endoftext|>";
  });
  EXPECT_EQ(std::ranges::count(unknown.encode(text), *unknown.eos_id()), 1);
  const Tokenizer again(dir_.write("again.json", to_tokenizer_json(*unknown.byte_bpe())));
  EXPECT_EQ(again.encode(text), unknown.encode(text));
}

TEST(TokenizerIn, PrefersTheModel) {
  const TempDir dir;
  EXPECT_ERROR_MENTIONS(error_of([&] { tokenizer_in(dir.path()); }), "neither tokenizer.model nor tokenizer.json");
  dir.write("tokenizer.json", "x");
  EXPECT_EQ(tokenizer_in(dir.path()), dir / "tokenizer.json");
  dir.write("tokenizer.model", "x");
  EXPECT_EQ(tokenizer_in(dir.path()), dir / "tokenizer.model");
}

TEST(ByteAlphabet, EveryByte_IsOneCharacterOfItsOwn) {
  std::string all, characters;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    all.push_back(static_cast<char>(byte));
    characters += byte_character(static_cast<uint8_t>(byte));
  }
  EXPECT_EQ(bytes_of_characters(characters), all);
  EXPECT_EQ(byte_character(' '), "\xC4\xA0");
  EXPECT_EQ(byte_character(0xAD), "\xC5\x83");
  EXPECT_EQ(bytes_of_characters(" "), std::nullopt);
  EXPECT_EQ(bytes_of_characters("\xC5\x84"), std::nullopt);  // the first behind the alphabet
}

}  // namespace
}  // namespace lapilli::testing
