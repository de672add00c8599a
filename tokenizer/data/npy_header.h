#pragma once
// The text in the header of a .npy file: a Python dictionary with the keys descr, fortran_order and shape.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

struct NpyHeader {
  std::string type;  // "<u2"
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};

// Strict: the three keys, each once, with values of their types, and after the dictionary only blanks. Throws Error("...") without a path.
NpyHeader parse_npy_header(std::string_view text);

}  // namespace lapilli
