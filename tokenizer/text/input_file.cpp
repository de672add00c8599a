#include "tokenizer/text/input_file.h"

#define ZLIB_CONST  // input is not written to
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>

#include "engine/base/error.h"

namespace lapilli {

struct Progress {
  size_t consumed = 0, produced = 0;  // bytes
};

// One format. An error is an Error without the file's name.
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  virtual Progress decompress(std::span<char> out, std::span<const char> in) = 0;
  // Between two streams: the file may end here.
  bool is_whole() const { return is_whole_; }

 protected:
  bool is_whole_ = false;
};

namespace {

constexpr size_t kBlockBytes = 1 << 17;
constexpr std::string_view kGzipMagic("\x1F\x8B", 2), kZstdMagic("\x28\xB5\x2F\xFD", 4);

class Gzip : public Decompressor {
 public:
  Gzip() {
    constexpr int kWindowBits = 15, kGzipOnly = 16;
    if (inflateInit2(&stream_, kWindowBits + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Progress decompress(std::span<char> out, std::span<const char> in) override {
    if (is_whole_) inflateReset(&stream_);
    stream_.next_in = reinterpret_cast<const Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(std::min<size_t>(in.size(), UINT_MAX));
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), UINT_MAX));
    const uInt in_before = stream_.avail_in, out_before = stream_.avail_out;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      throw Error("gzip: {}", stream_.msg == nullptr ? "not a stream" : stream_.msg);
    is_whole_ = status == Z_STREAM_END;
    return {in_before - stream_.avail_in, out_before - stream_.avail_out};
  }

 private:
  z_stream stream_{};
};

class Zstd : public Decompressor {
 public:
  Zstd() : stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  Progress decompress(std::span<char> out, std::span<const char> in) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const size_t status = ZSTD_decompressStream(stream_, &output, &input);
    if (ZSTD_isError(status) != 0) throw Error("zstd: {}", ZSTD_getErrorName(status));
    is_whole_ = status == 0;
    return {input.pos, output.pos};
  }

 private:
  ZSTD_DStream* stream_;
};

bool has_suffix(const std::filesystem::path& path, std::initializer_list<std::string_view> suffixes) {
  return std::ranges::find(suffixes, path.extension().string()) != suffixes.end();
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()), file_(path, std::ios::binary) {
  if (!file_) throw Error("cannot read '{}': {}", name_, std::strerror(errno));
  block_.resize(kBlockBytes);
  unread_ = std::span(block_).first(read_raw(block_));
  const std::string_view begin(unread_.data(), unread_.size());
  if (begin.starts_with(kGzipMagic)) decompressor_ = std::make_unique<Gzip>();
  if (begin.starts_with(kZstdMagic)) decompressor_ = std::make_unique<Zstd>();
  if (is_compressed()) return;
  if (has_suffix(path, {".gz"})) throw Error("'{}' is not a gzip file, as its name says", name_);
  if (has_suffix(path, {".zst", ".zstd"})) throw Error("'{}' is not a zstd file, as its name says", name_);
}

InputFile::~InputFile() = default;

size_t InputFile::read_raw(std::span<char> out) {
  file_.read(out.data(), static_cast<std::streamsize>(out.size()));
  if (file_.bad()) throw Error("cannot read all of '{}': {}", name_, std::strerror(errno));
  return static_cast<size_t>(file_.gcount());
}

size_t InputFile::read(std::span<char> out) {
  size_t filled = 0;
  if (!is_compressed()) {
    filled = std::min(out.size(), unread_.size());
    std::ranges::copy(unread_.first(filled), out.begin());
    unread_ = unread_.subspan(filled);
    return filled < out.size() ? filled + read_raw(out.subspan(filled)) : filled;
  }
  while (filled < out.size()) {
    if (unread_.empty()) unread_ = std::span(block_).first(read_raw(block_));
    if (unread_.empty() && decompressor_->is_whole()) break;
    Progress progress;
    try {
      progress = decompressor_->decompress(out.subspan(filled), unread_);
    } catch (const Error& error) {
      throw Error("'{}' is damaged ({})", name_, error.what());
    }
    // What was read before may still be on its way out.
    if (progress.consumed == 0 && progress.produced == 0 && !decompressor_->is_whole())
      throw Error("'{}' is cut short: its last bytes are missing", name_);
    unread_ = unread_.subspan(progress.consumed);
    filled += progress.produced;
  }
  return filled;
}

std::filesystem::path without_compression_suffix(const std::filesystem::path& path) {
  return has_suffix(path, {".gz", ".zst", ".zstd"}) ? path.parent_path() / path.stem() : path;
}

uint64_t decompressed_size(const std::filesystem::path& path) {
  InputFile file(path);
  if (!file.is_compressed()) return std::filesystem::file_size(path);
  std::vector<char> block(1 << 18);
  uint64_t bytes = 0;
  while (const size_t read = file.read(block)) bytes += read;
  return bytes;
}

}  // namespace lapilli
