#include "tools/amd_assembly.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace lapilli {

namespace {

struct Instruction {
  std::string_view opcode;
  std::optional<size_t> target;  // of a branch: the instruction it jumps to
  bool jumps_ahead(size_t from) const { return target && *target > from; }
  bool is_divergent() const { return opcode.starts_with("s_cbranch_exec"); }
};
using Code = std::vector<Instruction>;

// Instructions [begin, end).
struct Range {
  size_t begin, end;
  bool contains(size_t i) const { return begin <= i && i < end; }
};

std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

Code parse(std::string_view assembly) {
  Code code;
  std::map<std::string_view, size_t> labels;
  std::vector<std::pair<size_t, std::string_view>> branches;
  while (!assembly.empty()) {
    std::string_view line = assembly.substr(0, assembly.find('\n'));
    assembly.remove_prefix(std::min(line.size() + 1, assembly.size()));
    if (line.starts_with("BB")) labels[line.substr(0, line.find(':'))] = code.size();
    if (!line.starts_with('\t')) continue;
    if (const size_t equals = line.find(" = "); equals != line.npos) line.remove_prefix(equals + 3);
    const std::string_view opcode = take_word(line);
    if (opcode.starts_with("s_branch") || opcode.starts_with("s_cbranch")) {
      std::string_view label = take_word(line);
      if (label.starts_with("block:")) label.remove_prefix(label.find(':') + 1);
      branches.emplace_back(code.size(), label);
    }
    code.push_back({.opcode = opcode, .target = std::nullopt});
  }
  for (const auto& [at, label] : branches)
    if (const auto found = labels.find(label); found != labels.end()) code[at].target = found->second;
  return code;
}

// A branch backwards ends a loop; the last one to the same place does. Where the compiler puts the end of a turn before the loop's
// beginning, the branch backwards lies inside the loop within: loops that overlap are one in the other, so the outer one is as long.
std::vector<Range> find_loops(const Code& code) {
  std::map<size_t, size_t> ends;
  for (size_t i = 0; i < code.size(); ++i)
    if (code[i].target && !code[i].jumps_ahead(i)) ends[*code[i].target] = i + 1;
  std::vector<Range> loops;
  for (const auto& [begin, end] : ends) loops.push_back({begin, end});
  for (auto outer = loops.rbegin(); outer != loops.rend(); ++outer)  // the last begins first: those within are already whole
    for (const Range& inner : loops)
      if (inner.begin > outer->begin && inner.begin < outer->end) outer->end = std::max(outer->end, inner.end);
  return loops;
}

bool is_multiply_add(std::string_view opcode) {
  for (const std::string_view name : {"v_fma_f32", "v_fmac_f32", "v_fmaak_f32", "v_fmamk_f32", "v_mac_f32", "v_mad_f32"})
    if (opcode.starts_with(name)) return true;
  return false;
}

VectorWork work_of(const Instruction& instruction, uint32_t subgroup_size) {
  if (!instruction.opcode.starts_with("v_")) return {};
  if (instruction.opcode.starts_with("v_wmma_")) return {.instructions = 1, .matrix_products = 1, .multiply_adds = 16.0 * 16 * 16 / subgroup_size};
  return {.instructions = 1, .multiply_adds = is_multiply_add(instruction.opcode) ? 1.0 : 0.0};
}

void add(VectorWork& sum, const VectorWork& work, double times) {
  sum.instructions += times * work.instructions;
  sum.matrix_products += times * work.matrix_products;
  sum.multiply_adds += times * work.multiply_adds;
}

VectorWork work_of(const Code& code, const Range& range, uint32_t subgroup_size) {
  VectorWork sum;
  for (size_t i = range.begin; i < range.end; ++i) {
    add(sum, work_of(code[i], subgroup_size), 1);
    if (code[i].is_divergent() && code[i].jumps_ahead(i) && *code[i].target <= range.end) i = *code[i].target - 1;
  }
  return sum;
}

// How many ranges each instruction is in.
std::vector<int> count_around(const Code& code, const std::vector<Range>& ranges) {
  std::vector<int> count(code.size() + 1);
  for (const Range& range : ranges) {
    ++count[range.begin];
    --count[range.end];
  }
  for (size_t i = 1; i < count.size(); ++i) count[i] += count[i - 1];
  return count;
}

}  // namespace

std::optional<VectorWork> find_loop_turn(std::string_view assembly, uint32_t per_turn, uint32_t subgroup_size) {
  const Code code = parse(assembly);
  struct Loop {
    Range range;
    VectorWork turn;
  };
  std::vector<Loop> loops;
  for (const Range& range : find_loops(code)) loops.push_back({range, work_of(code, range, subgroup_size)});
  // The one with the most of them; the innermost of those.
  const auto inner = std::ranges::max_element(loops, {}, [](const Loop& loop) { return std::pair(loop.turn.multiply_adds, loop.range.begin); });
  if (inner == loops.end() || inner->turn.multiply_adds == 0) return std::nullopt;
  const double turns = per_turn / inner->turn.multiply_adds;
  if (turns < 1 || turns != std::floor(turns)) return std::nullopt;
  if (turns == 1) return inner->turn;
  const Loop* outer = nullptr;  // the last that begins before it and holds it
  for (const Loop& loop : loops)
    if (loop.range.begin < inner->range.begin && loop.range.end >= inner->range.end) outer = &loop;
  if (outer == nullptr) return std::nullopt;
  VectorWork turn = outer->turn;
  add(turn, inner->turn, turns - 1);
  return turn;
}

double count_modelled_multiply_adds(std::string_view assembly, uint32_t subgroup_size) {
  const Code code = parse(assembly);
  const std::vector<Range> loops = find_loops(code);
  std::vector<Range> uniform, divergent;
  for (size_t i = 0; i < code.size(); ++i) {
    if (!code[i].jumps_ahead(i)) continue;
    // Out of a loop: its end, no condition on what lies between.
    if (std::ranges::any_of(loops, [&](const Range& loop) { return loop.contains(i) && *code[i].target >= loop.end; })) continue;
    (code[i].is_divergent() ? divergent : uniform).push_back({i + 1, *code[i].target});
  }
  const std::vector<int> depth = count_around(code, loops), halves = count_around(code, uniform), quarters = count_around(code, divergent);
  double sum = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    constexpr double kTurns[] = {1, 8, 32};
    const double turns = kTurns[std::min(depth[i], 2)] * std::exp2(std::max(depth[i] - 2, 0));
    sum += work_of(code[i], subgroup_size).multiply_adds * turns * std::pow(0.5, halves[i]) * std::pow(0.75, quarters[i]);
  }
  return sum;
}

}  // namespace lapilli
