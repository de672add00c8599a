#include "tools/perf/amd_assembly.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <vector>

namespace lapilli {

namespace {

struct Instruction {
  std::string_view opcode;
  std::optional<size_t> target;        // of a branch: the instruction it jumps to
  std::optional<uint32_t> loads_left;  // of a wait for global memory: number of latest loads that may be outstanding
  bool jumps_ahead(size_t from) const { return target && *target > from; }
  bool is_divergent() const { return opcode.starts_with("s_cbranch_exec"); }
  bool is_load() const { return opcode.starts_with("global_load") || opcode.starts_with("buffer_load"); }
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

uint32_t to_number(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  if (is_hex) text.remove_prefix(2);
  uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, is_hex ? 16 : 10);
  return number;
}

// Up to RDNA 3 "s_waitcnt vmcnt(2) lgkmcnt(0)", since then "s_wait_loadcnt 0x2", or with shared memory's "s_wait_loadcnt_dscnt 0x200"; of a
// Mesa without a disassembler for the chip "s_wait_loadcnt imm:2".
std::optional<uint32_t> loads_left_by(std::string_view opcode, std::string_view operands) {
  constexpr std::string_view kCount = "vmcnt(";
  const size_t count = operands.find(kCount);
  if (opcode == "s_waitcnt" && count != operands.npos) return to_number(operands.substr(count + kCount.size()));
  if (!opcode.starts_with("s_wait_loadcnt")) return std::nullopt;
  std::string_view word = take_word(operands);
  if (constexpr std::string_view kImmediate = "imm:"; word.starts_with(kImmediate)) word.remove_prefix(kImmediate.size());
  const uint32_t number = to_number(word);
  return opcode == "s_wait_loadcnt" ? number : number >> 8;
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
    code.push_back({.opcode = opcode, .target = std::nullopt, .loads_left = loads_left_by(opcode, line)});
  }
  for (const auto& [at, label] : branches)
    if (const auto found = labels.find(label); found != labels.end()) code[at].target = found->second;
  return code;
}

// A backward branch ends a loop; of several to the same target the last one. If the compiler places the end of an
// iteration before the loop's beginning, the backward branch is inside the inner loop: overlapping loops are nested, so
// the outer one is extended.
std::vector<Range> find_loops(const Code& code) {
  std::map<size_t, size_t> ends;
  for (size_t i = 0; i < code.size(); ++i)
    if (code[i].target && !code[i].jumps_ahead(i)) ends[*code[i].target] = i + 1;
  std::vector<Range> loops;
  for (const auto& [begin, end] : ends) loops.push_back({begin, end});
  for (auto outer = loops.rbegin(); outer != loops.rend(); ++outer)  // from the last one: inner loops are complete first
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

// Work of an iteration that takes every branch over code without multiply-adds: that code handles divergent lanes and
// edges.
VectorWork work_of(const Code& code, const Range& range, uint32_t subgroup_size) {
  VectorWork sum;
  for (size_t i = range.begin; i < range.end; ++i) {
    add(sum, work_of(code[i], subgroup_size), 1);
    if (!code[i].opcode.starts_with("s_cbranch") || !code[i].jumps_ahead(i) || *code[i].target > range.end) continue;
    const size_t target = *code[i].target;
    bool skips_work = false;
    for (size_t skipped = i + 1; skipped < target && !skips_work; ++skipped) skips_work = work_of(code[skipped], subgroup_size).multiply_adds > 0;
    if (code[i].is_divergent() || !skips_work) i = target - 1;
  }
  return sum;
}

// Multiply-adds in the range between a load, one of its instructions, and the first wait for what it reads.
double multiply_adds_behind(const Code& code, size_t load, const Range& range) {
  double sum = 0;
  uint32_t later_loads = 0;
  for (size_t i = load + 1; i < range.end; ++i) {
    if (code[i].loads_left && *code[i].loads_left <= later_loads) break;
    if (code[i].is_load()) ++later_loads;
    sum += work_of(code[i], 1).multiply_adds;
  }
  return sum;
}

// Number of ranges that contain each instruction.
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

std::optional<VectorWork> find_loop_iteration(std::string_view assembly, uint32_t per_iteration, uint32_t subgroup_size) {
  const Code code = parse(assembly);
  struct Loop {
    Range range;
    VectorWork iteration;
  };
  std::vector<Loop> loops;
  for (const Range& range : find_loops(code)) loops.push_back({range, work_of(code, range, subgroup_size)});
  // The one with the most of them; the innermost of those.
  const auto inner = std::ranges::max_element(loops, {}, [](const Loop& loop) { return std::pair(loop.iteration.multiply_adds, loop.range.begin); });
  if (inner == loops.end() || inner->iteration.multiply_adds == 0) return std::nullopt;
  const double iterations = per_iteration / inner->iteration.multiply_adds;
  if (iterations < 1 || iterations != std::floor(iterations)) return std::nullopt;
  if (iterations == 1) return inner->iteration;
  const Loop* outer = nullptr;  // the innermost loop around it
  for (const Loop& loop : loops)
    if (loop.range.begin < inner->range.begin && loop.range.end >= inner->range.end) outer = &loop;
  if (outer == nullptr) return std::nullopt;
  VectorWork iteration = outer->iteration;
  add(iteration, inner->iteration, iterations - 1);
  return iteration;
}

std::optional<double> find_fetch_overlap(std::string_view assembly) {
  const Code code = parse(assembly);
  std::optional<double> overlap;
  double most = 0;
  for (const Range& loop : find_loops(code)) {
    double loads = 0, behind = 0, all = 0;
    for (size_t i = loop.begin; i < loop.end; ++i) {
      all += work_of(code[i], 1).multiply_adds;
      if (!code[i].is_load()) continue;
      ++loads;
      behind += multiply_adds_behind(code, i, loop);
    }
    if (loads == 0 || all <= most) continue;
    most = all;
    overlap = behind / (loads * all);
  }
  return overlap;
}

double count_modelled_multiply_adds(std::string_view assembly, uint32_t subgroup_size) {
  const Code code = parse(assembly);
  const std::vector<Range> loops = find_loops(code);
  std::vector<Range> uniform, divergent;
  for (size_t i = 0; i < code.size(); ++i) {
    if (!code[i].jumps_ahead(i)) continue;
    const size_t target = *code[i].target;
    // A branch out of a loop ends it and is no condition for the code between. A branch into a loop goes to its
    // condition at its end.
    const auto is_end_or_entry = [&](const Range& loop) {
      return loop.contains(i) ? !loop.contains(target) : loop.contains(target) && code[i].opcode == "s_branch";
    };
    if (std::ranges::any_of(loops, is_end_or_entry)) continue;
    (code[i].is_divergent() ? divergent : uniform).push_back({i + 1, target});
  }
  const std::vector<int> depth = count_around(code, loops), halves = count_around(code, uniform), quarters = count_around(code, divergent);
  double sum = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    constexpr double kIterations[] = {1, 8, 32};
    const double iterations = kIterations[std::min(depth[i], 2)] * std::exp2(std::max(depth[i] - 2, 0));
    sum += work_of(code[i], subgroup_size).multiply_adds * iterations * std::pow(0.5, halves[i]) * std::pow(0.75, quarters[i]);
  }
  return sum;
}

}  // namespace lapilli
