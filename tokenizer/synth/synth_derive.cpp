// Grammars: generating texts, parsing them and computing their probability.

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "engine/base/error.h"
#include "tokenizer/synth/synth_grammar.h"

namespace lapilli {

namespace {

constexpr std::array<std::string_view, 21> kNumberWords = {"zero",     "one",     "two",     "three",     "four",     "five",     "six",
                                                           "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
                                                           "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};

size_t number_of(const std::string& word) {
  const auto found = std::ranges::find(kNumberWords, word);
  CHECK(found != kNumberWords.end(), "'{}' is not a number word", word);
  return static_cast<size_t>(found - kNumberWords.begin());
}

void capitalize(std::string& text) {
  CHECK(!text.empty());
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
}

double entropy_of(const std::vector<double>& p) {
  double nats = 0;
  for (const double x : p) nats -= x * std::log(x);
  return nats;
}

}  // namespace

size_t Grammar::row_at_rank(const Node& choice, size_t rank, const Slots& slots) const {
  const size_t rows = tables_[static_cast<size_t>(choice.table)].rows.size();
  if (choice.other < 0) return rank;
  const int turn = slots[static_cast<size_t>(choice.other)];
  CHECK(turn >= 0, "slot {} is empty", slots_[static_cast<size_t>(choice.other)].name);
  return (rank + static_cast<size_t>(turn)) % rows;
}

// A printed node, given the slots. REQUIRES kPrint, kSum, or kChoose with a slot that holds its row.
std::string Grammar::print(const Node& node, const Slots& slots) const {
  const auto row_of = [&](int slot) -> const std::vector<std::string>& {
    const int row = slots[static_cast<size_t>(slot)];
    CHECK(row >= 0, "slot {} is empty", slots_[static_cast<size_t>(slot)].name);
    return tables_[static_cast<size_t>(slots_[static_cast<size_t>(slot)].table)].rows[static_cast<size_t>(row)];
  };
  std::string text;
  if (node.kind == NodeKind::kSum) {
    text = kNumberWords.at(number_of(row_of(node.slot)[0]) + number_of(row_of(node.other)[0]));
  } else {
    text = row_of(node.slot)[static_cast<size_t>(node.form)];
  }
  if (node.capital) capitalize(text);
  return text;
}

void Grammar::expand(Text& out, Slots& slots, const Rule& rule, const Chooser& choose) const {
  std::vector<double> weights;
  for (const Alternative& alternative : rule.alternatives) weights.push_back(alternative.p);
  const Alternative& chosen = rule.alternatives[choose(weights)];
  out.nats -= std::log(chosen.p);
  for (const Node& node : chosen.nodes) {
    switch (node.kind) {
      case NodeKind::kLiteral: out.text += node.literal; break;
      case NodeKind::kPrint:
      case NodeKind::kSum: out.text += print(node, slots); break;
      case NodeKind::kRule: expand(out, slots, rules_[static_cast<size_t>(node.rule)], choose); break;
      case NodeKind::kChoose: {
        const Table& table = tables_[static_cast<size_t>(node.table)];
        const size_t rank = choose(table.p);
        const size_t row = row_at_rank(node, rank, slots);
        out.nats -= std::log(table.p[rank]);
        std::string word = table.rows[row][static_cast<size_t>(node.form)];
        if (node.capital) capitalize(word);
        out.text += word;
        if (node.slot >= 0) slots[static_cast<size_t>(node.slot)] = static_cast<int>(row);
        break;
      }
    }
  }
}

Grammar::Text Grammar::derive(const Chooser& choose) const {
  Text out;
  Slots slots(slots_.size(), -1);
  expand(out, slots, rules_.back(), choose);
  return out;
}

Grammar::Text Grammar::generate(const std::function<double()>& uniform) const {
  return derive([&](const std::vector<double>& p) {
    double left = uniform();
    for (size_t i = 0; i + 1 < p.size(); ++i) {
      if (left < p[i]) return i;
      left -= p[i];
    }
    return p.size() - 1;
  });
}

void Grammar::enumerate(const std::function<void(const Text&)>& visit) const {
  struct Step {
    size_t taken, count;
  };
  std::vector<Step> path;  // the choices of one derivation; the next one is found by counting up from the end
  while (true) {
    size_t depth = 0;
    const Text text = derive([&](const std::vector<double>& p) {
      if (depth == path.size()) path.push_back({0, p.size()});
      return path[depth++].taken;
    });
    visit(text);
    while (!path.empty() && path.back().taken + 1 == path.back().count) path.pop_back();
    if (path.empty()) return;
    ++path.back().taken;
  }
}

struct Grammar::ParseState {
  std::string_view text;
  std::optional<double> nats;
};

// Tries every derivation that agrees with the text so far; by the constructor's condition at most one survives.
void Grammar::parse_from(ParseState& state, size_t position, std::vector<Frame> stack, Slots slots, double nats) const {
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next == frame.nodes->size()) {
      stack.pop_back();
      continue;
    }
    const Node& node = (*frame.nodes)[frame.next++];
    const std::string_view rest = state.text.substr(position);
    if (node.kind == NodeKind::kRule) {
      for (const Alternative& alternative : rules_[static_cast<size_t>(node.rule)].alternatives) {
        std::vector<Frame> deeper = stack;
        deeper.push_back({&alternative.nodes, 0});
        parse_from(state, position, std::move(deeper), slots, nats - std::log(alternative.p));
      }
      return;
    }
    if (node.kind == NodeKind::kChoose) {
      const Table& table = tables_[static_cast<size_t>(node.table)];
      for (size_t rank = 0; rank < table.p.size(); ++rank) {
        const size_t row = row_at_rank(node, rank, slots);
        std::string word = table.rows[row][static_cast<size_t>(node.form)];
        if (node.capital) capitalize(word);
        if (!rest.starts_with(word)) continue;
        Slots filled = slots;
        if (node.slot >= 0) filled[static_cast<size_t>(node.slot)] = static_cast<int>(row);
        parse_from(state, position + word.size(), stack, std::move(filled), nats - std::log(table.p[rank]));
      }
      return;
    }
    const std::string expected = node.kind == NodeKind::kLiteral ? node.literal : print(node, slots);
    if (!rest.starts_with(expected)) return;
    position += expected.size();
  }
  if (position != state.text.size()) return;
  CHECK(!state.nats.has_value(), "two derivations of '{}'", state.text);
  state.nats = nats;
}

std::optional<double> Grammar::parse_nats(std::string_view text) const {
  ParseState state{.text = text, .nats = std::nullopt};
  for (const Alternative& alternative : rules_.back().alternatives) {
    parse_from(state, 0, {{&alternative.nodes, 0}}, Slots(slots_.size(), -1), -std::log(alternative.p));
  }
  return state.nats;
}

double Grammar::entropy_nats() const {
  std::vector<double> rule_nats;  // [rule]; a rule refers to earlier ones only
  for (const Rule& rule : rules_) {
    double nats = 0;
    for (const Alternative& alternative : rule.alternatives) {
      double inner = -std::log(alternative.p);
      for (const Node& node : alternative.nodes) {
        if (node.kind == NodeKind::kRule) inner += rule_nats[static_cast<size_t>(node.rule)];
        if (node.kind == NodeKind::kChoose) inner += entropy_of(tables_[static_cast<size_t>(node.table)].p);
      }
      nats += alternative.p * inner;
    }
    rule_nats.push_back(nats);
  }
  return rule_nats.back();
}

// P(row) of a filled slot.
std::vector<double> Grammar::slot_distribution(int slot) const {
  const Slot& s = slots_[static_cast<size_t>(slot)];
  const std::vector<double>& p = tables_[static_cast<size_t>(s.table)].p;
  if (s.other < 0) return p;
  const std::vector<double> turns = slot_distribution(s.other);
  std::vector<double> out(p.size(), 0.0);
  for (size_t turn = 0; turn < turns.size(); ++turn) {
    for (size_t rank = 0; rank < p.size(); ++rank) out[(rank + turn) % p.size()] += turns[turn] * p[rank];
  }
  return out;
}

double Grammar::expected_node_bytes(const Node& node, std::span<const double> rule_bytes) const {
  if (node.kind == NodeKind::kLiteral) return static_cast<double>(node.literal.size());
  if (node.kind == NodeKind::kRule) return rule_bytes[static_cast<size_t>(node.rule)];
  const Table& table = tables_[static_cast<size_t>(node.table)];
  double bytes = 0;
  if (node.kind == NodeKind::kSum) {
    const std::vector<double> p = slot_distribution(node.slot), q = slot_distribution(node.other);
    const Table& other = tables_[static_cast<size_t>(slots_[static_cast<size_t>(node.other)].table)];
    for (size_t i = 0; i < p.size(); ++i) {
      for (size_t j = 0; j < q.size(); ++j) {
        const size_t sum = number_of(table.rows[i][0]) + number_of(other.rows[j][0]);
        bytes += p[i] * q[j] * static_cast<double>(kNumberWords.at(sum).size());
      }
    }
    return bytes;
  }
  std::vector<double> p = table.p;
  if (node.kind == NodeKind::kPrint || node.slot >= 0) {
    p = slot_distribution(node.slot);
  } else {
    CHECK(node.other < 0, "a rotated choice from {} must be remembered", table.name);
  }
  for (size_t i = 0; i < p.size(); ++i) {
    bytes += p[i] * static_cast<double>(table.rows[i][static_cast<size_t>(node.form)].size());
  }
  return bytes;
}

double Grammar::expected_bytes() const {
  std::vector<double> rule_bytes;
  for (const Rule& rule : rules_) {
    double bytes = 0;
    for (const Alternative& alternative : rule.alternatives) {
      for (const Node& node : alternative.nodes) bytes += alternative.p * expected_node_bytes(node, rule_bytes);
    }
    rule_bytes.push_back(bytes);
  }
  return rule_bytes.back();
}

std::vector<double> Grammar::probability_sums() const {
  std::vector<double> sums;
  for (const Table& table : tables_) {
    sums.push_back(0);
    for (const double p : table.p) sums.back() += p;
  }
  for (const Rule& rule : rules_) {
    sums.push_back(0);
    for (const Alternative& alternative : rule.alternatives) sums.back() += alternative.p;
  }
  return sums;
}

}  // namespace lapilli
