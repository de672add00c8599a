#include "tokenizer/data/npy_header.h"

#include <algorithm>
#include <charconv>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace lapilli {

namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  NpyHeader parse() {
    NpyHeader header;
    std::vector<std::string> seen;
    expect("{");
    while (!accept("}")) {
      const std::string key = parse_string();
      if (std::ranges::find(seen, key) != seen.end()) throw Error("its header has \"{}\" twice", printable(key));
      expect(":");
      if (key == "descr") header.type = parse_string();
      else if (key == "fortran_order") header.fortran_order = parse_bool();
      else if (key == "shape") header.shape = parse_shape();
      else throw Error("its header has an unknown key \"{}\"", printable(key));
      seen.push_back(key);
      if (accept(",")) continue;
      expect("}");
      break;
    }
    if (seen.size() != 3) throw Error("its header lacks one of descr, fortran_order and shape");
    if (rest_.find_first_not_of(" \n") != std::string_view::npos) throw Error("its header goes on behind the dictionary");
    return header;
  }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }

  bool accept(std::string_view word) {
    skip_blanks();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  void expect(std::string_view word) {
    if (!accept(word)) throw Error("its header is not a dictionary of descr, fortran_order and shape (at \"{}\")", printable(rest_.substr(0, 16)));
  }

  std::string parse_string() {
    skip_blanks();
    const std::string_view quote = rest_.starts_with('"') ? "\"" : "'";
    expect(quote);
    const size_t end = rest_.find(quote[0]);
    if (end == std::string_view::npos) throw Error("its header ends inside a string");
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool parse_bool() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }

  std::vector<uint64_t> parse_shape() {
    std::vector<uint64_t> shape;
    expect("(");
    while (!accept(")")) {
      uint64_t extent = 0;
      skip_blanks();
      const auto [end, failure] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (failure != std::errc()) throw Error("its shape has a dimension that is no number below 2^64");
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      shape.push_back(extent);
      if (accept(",")) continue;
      if (shape.size() == 1) throw Error("its shape is not a tuple");  // (3) is a number in Python
      expect(")");
      break;
    }
    return shape;
  }

  std::string_view rest_;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text) { return Parser(text).parse(); }

}  // namespace lapilli
