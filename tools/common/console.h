#pragma once
// Output of the command: results on stdout, messages on stderr.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

// Prints log messages as plain sentences on stderr; warnings and errors have a prefix.
void set_up_logging();

// Prints an error message on stderr.
void print_error(std::string_view sentence);

// Throws Error when the text cannot be written (a full disk); a closed pipe ends the program silently.
void print(std::string_view text);
void flush_output();

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
