#include "tools/amd_assembly.h"

#include <algorithm>
#include <map>
#include <vector>

namespace lapilli {

namespace {

// Instructions up to some place in the code, or of a part of it.
struct Count {
  uint32_t all = 0, vector = 0, multiply_adds = 0;
};
struct Loop {
  uint32_t begin, end;  // instructions in front of it, and in front of what follows it
  Count body;
  bool encloses(const Loop& other) const { return begin <= other.begin && other.end <= end && body.all > other.body.all; }
};

std::string_view first_word(std::string_view line) {
  constexpr std::string_view kBlanks = " \t";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  return line.substr(0, line.find_first_of(kBlanks));
}

bool is_branch(std::string_view opcode) { return opcode.starts_with("s_branch") || opcode.starts_with("s_cbranch"); }

bool is_multiply_add(std::string_view opcode) {
  for (const std::string_view name : {"v_fma_f32", "v_fmac_f32", "v_fmaak_f32", "v_fmamk_f32", "v_mac_f32", "v_mad_f32"})
    if (opcode.starts_with(name)) return true;
  return false;
}

// Every branch backwards ends a loop.
std::vector<Loop> find_loops(std::string_view assembly) {
  std::map<std::string_view, Count> labels;  // what lies in front of each that was passed
  Count passed;
  std::vector<Loop> loops;
  while (!assembly.empty()) {
    const std::string_view line = assembly.substr(0, assembly.find('\n'));
    assembly.remove_prefix(std::min(line.size() + 1, assembly.size()));
    const std::string_view word = first_word(line);
    if (word.empty()) continue;
    if (word.ends_with(':')) {
      labels[word.substr(0, word.size() - 1)] = passed;
      continue;
    }
    ++passed.all;
    if (word.starts_with("v_")) ++passed.vector;
    if (is_multiply_add(word)) ++passed.multiply_adds;
    if (!is_branch(word)) continue;
    const auto target = labels.find(first_word(line.substr(line.find(word) + word.size())));
    if (target == labels.end()) continue;
    const Count& start = target->second;
    loops.push_back({.begin = start.all,
                     .end = passed.all,
                     .body = {passed.all - start.all, passed.vector - start.vector, passed.multiply_adds - start.multiply_adds}});
  }
  return loops;
}

}  // namespace

std::optional<double> multiply_add_share(std::string_view assembly, uint32_t per_turn) {
  const std::vector<Loop> loops = find_loops(assembly);
  // The one with the most of them; the innermost of those.
  const auto inner = std::ranges::max_element(loops, {}, [](const Loop& loop) { return std::pair(loop.body.multiply_adds, -1.0 * loop.body.all); });
  if (inner == loops.end() || inner->body.multiply_adds == 0 || per_turn % inner->body.multiply_adds != 0) return std::nullopt;
  const uint32_t turns = per_turn / inner->body.multiply_adds;
  if (turns == 1) return 1.0 * per_turn / inner->body.vector;
  const Loop* outer = nullptr;
  for (const Loop& loop : loops)
    if (loop.encloses(*inner) && (outer == nullptr || outer->encloses(loop))) outer = &loop;
  if (outer == nullptr) return std::nullopt;
  return 1.0 * per_turn / (outer->body.vector - inner->body.vector + turns * inner->body.vector);
}

}  // namespace lapilli
