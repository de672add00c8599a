#include "tokenizer/data/dataset_import.h"

#include <cstring>

#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string llmc(int32_t magic, int32_t version, int32_t count, const std::string& tokens) {
  std::vector<int32_t> header(256, 0);
  header[0] = magic, header[1] = version, header[2] = count;
  return bytes_of(header) + tokens;
}

std::string npy(const std::string& dictionary, const std::string& tokens) {
  const auto size = static_cast<uint16_t>(dictionary.size());
  return std::string("\x93NUMPY\x01\x00", 8) + bytes_of(std::vector{size}) + dictionary + tokens;
}

std::vector<uint32_t> read_all(const fs::path& path, TokenFormat format, uint32_t vocab_size) {
  TokenFile file(path, format);
  std::vector<uint32_t> ids(file.token_count() + 1);
  ids.resize(file.read(ids, vocab_size));
  return ids;
}

const std::vector<uint32_t> kIds = {5, 0, 9, 2, 7};

TEST(TokenFile, EveryFormat_GivesItsTokens) {
  const TempDir dir;
  const std::string u16 = bytes_of(std::vector<uint16_t>(kIds.begin(), kIds.end())), u32 = bytes_of(kIds);
  const std::string i64 = bytes_of(std::vector<int64_t>(kIds.begin(), kIds.end()));
  EXPECT_EQ(read_all(dir.write("a", u16), TokenFormat::kNanogpt, 10), kIds);
  EXPECT_EQ(read_all(dir.write("a", llmc(20240520, 1, 5, u16)), TokenFormat::kLlmc, 10), kIds);
  EXPECT_EQ(read_all(dir.write("a", llmc(20240801, 7, 5, u32)), TokenFormat::kLlmc, 10), kIds);
  for (const auto& [type, bytes] : {std::pair("<u2", u16), std::pair("<u4", u32), std::pair("<i4", u32), std::pair("<i8", i64)}) {
    const std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (5,), }}   \n", type);
    EXPECT_EQ(read_all(dir.write("a", npy(dictionary, bytes)), TokenFormat::kNpy, 10), kIds) << type;
  }
}

TEST(TokenFile, HeadersThatLie_AreErrors) {
  const TempDir dir;
  const auto error = [&](const std::string& bytes, TokenFormat format) { return error_of([&] { read_all(dir.write("a", bytes), format, 10); }); };
  const std::string u16 = bytes_of(std::vector<uint16_t>(kIds.begin(), kIds.end()));
  EXPECT_ERROR_MENTIONS(error("abc", TokenFormat::kNanogpt), "a'", "cut short");
  EXPECT_ERROR_MENTIONS(error("", TokenFormat::kNanogpt), "no tokens");
  EXPECT_ERROR_MENTIONS(error(bytes_of(std::vector<uint16_t>{1, 10}), TokenFormat::kNanogpt), "token 10 at position 1");
  EXPECT_ERROR_MENTIONS(error(llmc(20240520, 1, 6, u16), TokenFormat::kLlmc), "cut short");
  EXPECT_ERROR_MENTIONS(error(llmc(20240520, 1, -1, u16), TokenFormat::kLlmc), "-1 tokens");
  EXPECT_ERROR_MENTIONS(error(llmc(20240520, 2, 5, u16), TokenFormat::kLlmc), "version 2");
  EXPECT_ERROR_MENTIONS(error(u16, TokenFormat::kLlmc), "inside the header");
  const auto header = [&](const std::string& dictionary) { return error(npy(dictionary, u16), TokenFormat::kNpy); };
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': False, 'shape': (6,)}"), "cut short");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': False, 'shape': (9223372036854775813,)}"), "cut short");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,)}"), "2^64");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': False, 'shape': (5, 1)}"), "2 dimensions");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': True, 'shape': (5,)}"), "Fortran");
  EXPECT_ERROR_MENTIONS(header("{'descr': '>u2', 'fortran_order': False, 'shape': (5,)}"), ">u2");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'shape': (5,)}"), "lacks");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'descr': '<u2', 'shape': (5,)}"), "twice");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2', 'fortran_order': False, 'shape': (5,)} x"), "behind");
  EXPECT_ERROR_MENTIONS(header("{'descr': '<u2"), "inside a string");
}

TEST(ImportDataset, Eos_EndsDocuments) {
  const TempDir dir;
  const fs::path input = dir.write("a.bin", bytes_of(std::vector<uint16_t>{1, 2, 9, 3, 9, 4, 5, 6})),
                 val = dir.write("b.bin", bytes_of(std::vector<uint16_t>{1, 2}));
  const DatasetSummary made = import_dataset({&input, 1}, {.vocab_size = 10, .eos_id = 9}, dir / "data", {&val, 1});
  EXPECT_EQ(made.train.documents, 3U);
  const TokenShard train(dir / "data" / kTrainShardName);
  EXPECT_EQ(std::vector<uint64_t>(train.document_starts().begin(), train.document_starts().end()), (std::vector<uint64_t>{0, 3, 5}));
  EXPECT_EQ(train.eos_id(), 9U);
  EXPECT_EQ(made.train.text_bytes, 0U);
  EXPECT_TRUE(is_no_tokenizer(tokenizer_in(dir / "data")));
  require_one_dataset(dir / "data", train, TokenShard(dir / "data" / kValShardName));
  EXPECT_EQ(import_dataset({&input, 1}, {.vocab_size = 10, .val_fraction = 0.5}, dir / "two").train.tokens, 4U);
}

}  // namespace
}  // namespace lapilli::testing
