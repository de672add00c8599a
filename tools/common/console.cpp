#include "tools/common/console.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/base/environment.h"
#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace lapilli {

namespace {

// "sentence", "warning: sentence".
class PlainFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string_view level = message.level >= spdlog::level::err ? "error: " : message.level >= spdlog::level::warn ? "warning: " : "";
    out.append(level.data(), level.data() + level.size());
    const std::string sentence = printable({message.payload.data(), message.payload.size()});
    out.append(sentence.data(), sentence.data() + sentence.size());
    out.push_back('\n');
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<PlainFormatter>(); }
};

void require_written(bool good) {
  if (!good) throw Error("cannot write to standard output: {}", std::strerror(errno));
}

}  // namespace

void set_up_logging() {
  auto logger = std::make_shared<spdlog::logger>("lapilli", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::make_unique<PlainFormatter>());
  spdlog::set_default_logger(std::move(logger));
}

void print_error(std::string_view sentence) { fmt::print(stderr, "lapilli: {}\n", printable(sentence)); }

void print(std::string_view text) { require_written(std::fwrite(text.data(), 1, text.size(), stdout) == text.size()); }

bool output_has_colour() { return isatty(STDOUT_FILENO) == 1 && environment("NO_COLOR").value_or("").empty(); }

TextStream::TextStream() : on_terminal_(isatty(STDOUT_FILENO) == 1) {}

void TextStream::print(std::string_view piece) {
  std::string text = std::move(held_back_);
  text += piece;
  held_back_ = text.substr(text.size() - unfinished_utf8_bytes(text));
  text.resize(text.size() - held_back_.size());
  lapilli::print(on_terminal_ ? printable(text) : text);
  flush_output();
}

void flush_output() { require_written(std::fflush(stdout) == 0); }

std::string group_digits(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string format_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_seconds(double seconds) {
  if (seconds >= 60) return fmt::format("{} min {:02} s", static_cast<uint64_t>(seconds) / 60, static_cast<uint64_t>(seconds) % 60);
  if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

void TextTable::add(std::vector<std::string> row) {
  CHECK_EQ(row.size(), rows_.front().size());
  rows_.push_back(std::move(row));
}

std::string TextTable::to_string() const {
  std::vector<size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows_) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t i = 1; i < row.size(); ++i) text += fmt::format("  {:>{}}", row[i], widths[i]);
    text += '\n';
  }
  return text;
}

}  // namespace lapilli
