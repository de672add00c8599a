// The safetensors reader and writer: round trips, and each way in which a file can be wrong.

#include "model/io/safetensors.h"

#include <cmath>

#include "tests/common/files.h"

namespace lapilli::testing {
namespace {

std::string file_bytes(std::string_view header, size_t data_bytes) {
  const uint64_t size_bytes = header.size();
  std::string bytes(reinterpret_cast<const char*>(&size_bytes), sizeof size_bytes);
  return (bytes += header) += std::string(data_bytes, '\0');
}

std::string open_error(const TempDir& dir, std::string_view bytes) {
  const fs::path path = dir.write("bad.safetensors", bytes);
  return error_of([&] { SafetensorsFile file(path); });
}

TEST(Safetensors, WriteThenRead_GivesEverythingBack) {
  const TempDir dir;
  const fs::path path = dir / "a.safetensors";
  const std::vector<float> matrix{1, -2, 3.5F, 1e-40F, INFINITY, 6}, vector{7};
  const std::vector<int32_t> ids{-1, 0, INT32_MAX};
  SafetensorsWriter writer(path, {{"format", "pt"}, {"note", "\"quoted\" é"}},
                           {{.name = "z.weight", .shape = {2, 3}},
                            {.name = "ids", .type = TensorType::i32, .shape = {3}},
                            {.name = "empty", .shape = {0, 4}},
                            {.name = "a", .shape = {1}}});
  writer.write(matrix);
  writer.write(ids);
  writer.write(std::vector<float>{});
  writer.write(vector);
  EXPECT_FALSE(fs::exists(path));  // not visible before it is complete
  writer.commit();

  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "\"quoted\" é"}}));
  EXPECT_EQ(file.read<float>("z.weight"), matrix);
  EXPECT_EQ(file.read<int32_t>("ids"), ids);
  EXPECT_EQ(file.read<float>("empty"), std::vector<float>{});
  EXPECT_EQ(file.read<float>("a"), vector);
  EXPECT_EQ(file.info("z.weight").shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(file.tensors().size(), 4U);
  EXPECT_TRUE(file.contains("empty"));
  EXPECT_FALSE(file.contains("b"));
  EXPECT_EQ(dir.names(), std::vector<std::string>{"a.safetensors"});
}

TEST(Safetensors, Write_Layout_IsByteForByteTheFormat) {
  const TempDir dir;
  const fs::path path = dir / "a.safetensors";
  SafetensorsWriter writer(path, {{"format", "pt"}}, {{.name = "x", .shape = {2}}, {.name = "s", .shape = {}}});
  writer.write(std::vector<float>{1, 2});
  writer.write(std::vector<float>{3});
  writer.commit();
  std::string header = R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                       R"("s":{"dtype":"F32","shape":[],"data_offsets":[8,12]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const float values[] = {1, 2, 3};
  const std::string expected = file_bytes(header, 0) + std::string(reinterpret_cast<const char*>(values), sizeof values);
  EXPECT_EQ(read_text_file(path), expected);
}

TEST(Safetensors, Write_NotCommitted_LeavesNothing) {
  const TempDir dir;
  {
    SafetensorsWriter writer(dir / "a.safetensors", {}, {{.name = "x", .shape = {1}}});
  }
  EXPECT_TRUE(dir.names().empty());
}

TEST(Safetensors, Read_Half_IsWidened) {
  const TempDir dir;
  std::string bytes = file_bytes(R"({"h":{"dtype":"F16","shape":[7],"data_offsets":[0,14]},)"
                                 R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[14,18]}})",
                                 0);
  for (const unsigned half : {0x3C00U, 0xC000U, 0x0001U, 0x0400U, 0x7BFFU, 0x7C00U, 0x7E00U, /* bf16 */ 0x3F80U, 0xC040U}) {
    bytes += static_cast<char>(half & 255);
    bytes += static_cast<char>(half >> 8);
  }
  const SafetensorsFile file(dir.write("half.safetensors", bytes));
  const std::vector<float> halves = file.read<float>("h");
  EXPECT_EQ(halves[0], 1.0F);
  EXPECT_EQ(halves[1], -2.0F);
  EXPECT_EQ(halves[2], 0x1p-24F);  // smallest denormal
  EXPECT_EQ(halves[3], 0x1p-14F);  // smallest normal
  EXPECT_EQ(halves[4], 65504.0F);
  EXPECT_EQ(halves[5], INFINITY);
  EXPECT_TRUE(std::isnan(halves[6]));
  EXPECT_EQ(file.read<float>("b"), (std::vector<float>{1, -3}));
}

TEST(Safetensors, Read_WrongNameOrType_IsAnError) {
  const TempDir dir;
  const SafetensorsFile file(dir.write("a.safetensors", file_bytes(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8)));
  EXPECT_EQ(file.read<int64_t>("x"), std::vector<int64_t>{0});
  EXPECT_ERROR_MENTIONS(error_of([&] { file.read<float>("y"); }), "a.safetensors", "no tensor y");
  EXPECT_ERROR_MENTIONS(error_of([&] { file.read<float>("x"); }), "a.safetensors", "tensor x", "I64", "expected F32");
  EXPECT_ERROR_MENTIONS(error_of([&] { file.read<int32_t>("x"); }), "I64", "expected I32");
  EXPECT_ERROR_MENTIONS(error_of([&] { file.read<uint32_t>("x"); }), "I64", "expected U32");
}

TEST(Safetensors, Open_NotSuchAFile_SaysSo) {
  const TempDir dir;
  EXPECT_ERROR_MENTIONS(error_of([&] { SafetensorsFile file(dir / "none"); }), "none", "No such file");
  EXPECT_ERROR_MENTIONS(open_error(dir, ""), "bad.safetensors", "only 0 bytes");
  EXPECT_ERROR_MENTIONS(open_error(dir, "1234567"), "only 7 bytes");
  EXPECT_ERROR_MENTIONS(open_error(dir, std::string(100, '\xFF')), "header of 18446744073709551615 bytes", "100");
  EXPECT_ERROR_MENTIONS(open_error(dir, file_bytes("", 8)), "not JSON");
  EXPECT_ERROR_MENTIONS(open_error(dir, file_bytes("[1, 2]", 8)), "not JSON");
  EXPECT_ERROR_MENTIONS(open_error(dir, file_bytes("{\"x\": ", 8)), "not JSON");
}

TEST(Safetensors, Open_BadTensor_NamesIt) {
  const TempDir dir;
  const auto error = [&](std::string_view entry) { return open_error(dir, file_bytes(fmt::format("{{\"w\":{}}}", entry), 16)); };
  EXPECT_EQ(error(R"({"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})"), "");
  EXPECT_ERROR_MENTIONS(error("3"), "invalid entry for tensor w");
  EXPECT_ERROR_MENTIONS(error(R"({"shape":[4],"data_offsets":[0,16]})"), "tensor w", "dtype");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"), "tensor w", "whole number");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[4],"data_offsets":[0]})"), "tensor w", "data_offsets");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16.5]})"), "tensor w", "data_offsets");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F8","shape":[4],"data_offsets":[0,16]})"), "tensor w", "F8", "F32, F16");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[5],"data_offsets":[0,20]})"), "cut short", "w", "0 to 20 of 16");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[1],"data_offsets":[8,4]})"), "w", "8 to 4");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[3],"data_offsets":[0,16]})"), "w", "16 bytes", "[3] of F32");
  EXPECT_ERROR_MENTIONS(error(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), "w", "0 bytes");
  EXPECT_ERROR_MENTIONS(open_error(dir, file_bytes(R"({"__metadata__":{"a":1}})", 0)), "metadata a");
  EXPECT_ERROR_MENTIONS(open_error(dir, file_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                                   R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                                                   12)),
                        "tensor b overlaps");
}

TEST(Safetensors, Open_CutAnywhere_IsAnErrorAndNeverACrash) {
  const TempDir dir;
  const std::string whole = file_bytes(R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 16);
  EXPECT_EQ(open_error(dir, whole), "");
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(open_error(dir, whole.substr(0, length)), "") << length;
}

}  // namespace
}  // namespace lapilli::testing
