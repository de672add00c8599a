#pragma once
// Output of the command: results on stdout, messages on stderr.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

// Prints log messages as plain sentences on stderr; warnings and errors have a prefix. Control bytes and broken UTF-8 in them are escaped, as in
// print_error().
void set_up_logging();

// Prints an error message on stderr.
void print_error(std::string_view sentence);

// Throws Error when the text cannot be written (a full disk); a closed pipe ends the program silently.
void print(std::string_view text);
void flush_output();

// Whether print() may colour its text: a terminal, and NO_COLOR is unset or empty (no-color.org).
bool output_has_colour();

// Text that arrives in pieces which may end inside a character, such as tokens, printed as it arrives. To a terminal it goes as
// printable() text; anywhere else, as a pipe or a file, as it is. A character that is unfinished at the end is never printed.
class TextStream {
 public:
  TextStream();
  void print(std::string_view piece);

 private:
  bool on_terminal_;
  std::string held_back_;  // the begin of a character
};

std::string group_digits(uint64_t value);    // "1,234,567"
std::string format_bytes(uint64_t bytes);    // "147.2 MiB"
std::string format_seconds(double seconds);  // "12.3 ms"

// A table with columns as wide as necessary: the first is aligned left, the others right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row);  // REQUIRES: as many cells as the header
  std::string to_string() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lapilli
