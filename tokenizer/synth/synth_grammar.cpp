#include "tokenizer/synth/synth_grammar.h"

#include <algorithm>
#include <cctype>

#include "engine/base/error.h"

namespace lapilli {

namespace {

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

std::string with_article(const std::string& noun) {
  return (std::string_view("aeiou").find(noun[0]) != std::string_view::npos ? "an " : "a ") + noun;
}

}  // namespace

Grammar::Grammar(std::span<const TableSpec> tables, std::span<const RuleSpec> rules) {
  for (const TableSpec& table : tables) add_table(table);
  for (const RuleSpec& rule : rules) bind_slots(rule);  // first, because a rule may print what a later one chooses
  for (const RuleSpec& rule : rules) add_rule(rule);
  CHECK(!rules_.empty());
}

void Grammar::add_table(const TableSpec& spec) {
  Table table{.name = spec.name, .forms = spec.forms, .rows = {}, .p = {}};
  table.forms.emplace_back("a");
  double total = 0;
  for (const std::string& row : spec.rows) {
    table.rows.push_back(split(row, '|'));
    CHECK(table.rows.back().size() == spec.forms.size() + 1, "table {}: row '{}'", spec.name, row);
    table.rows.back().push_back(with_article(table.rows.back()[0]));
    table.p.push_back(1.0 / (static_cast<double>(table.p.size()) + spec.flatness));
    total += table.p.back();
  }
  for (double& p : table.p) p /= total;
  tables_.push_back(std::move(table));
}

void Grammar::add_rule(const RuleSpec& spec) {
  Rule rule{.name = spec.name, .alternatives = {}};
  double total = 0;
  for (const AlternativeSpec& alternative : spec.alternatives) {
    rule.alternatives.push_back({alternative.weight, compile(alternative.text)});
    check_choices(rule.alternatives.back().nodes, spec.name);
    total += alternative.weight;
  }
  for (Alternative& alternative : rule.alternatives) alternative.p /= total;
  check_alternatives(rule);
  rules_.push_back(std::move(rule));
}

std::vector<Grammar::Node> Grammar::compile(std::string_view text) {
  std::vector<Node> nodes;
  while (!text.empty()) {
    const char open = text[0];
    if (open == '[' || open == '{') {
      const size_t close = text.find(open == '[' ? ']' : '}');
      CHECK(close != std::string_view::npos, "unclosed mark in '{}'", text);
      nodes.push_back(compile_mark(text.substr(1, close - 1), open == '['));
      text.remove_prefix(close + 1);
    } else {
      const size_t end = std::min(text.find_first_of("[{"), text.size());
      nodes.emplace_back().literal = text.substr(0, end);
      text.remove_prefix(end);
    }
  }
  return nodes;
}

Grammar::Node Grammar::compile_mark(std::string_view mark, bool is_choice) {
  Node node;
  node.capital = mark.starts_with('^');
  if (node.capital) mark.remove_prefix(1);
  const size_t dot = mark.find('.');
  const std::string_view form = dot == std::string_view::npos ? std::string_view{} : mark.substr(dot + 1);
  std::string_view name = mark.substr(0, dot);
  if (!is_choice) {
    const size_t plus = name.find('+');
    node.kind = plus == std::string_view::npos ? NodeKind::kPrint : NodeKind::kSum;
    node.slot = find_slot(name.substr(0, plus));
    if (node.kind == NodeKind::kSum) node.other = find_slot(name.substr(plus + 1));
    node.table = slots_[static_cast<size_t>(node.slot)].table;
    set_form(node, form);
    return node;
  }
  for (size_t r = 0; r < rules_.size(); ++r) {
    if (rules_[r].name == mark) node.rule = static_cast<int>(r);
  }
  if (node.rule >= 0) {
    node.kind = NodeKind::kRule;
    return node;
  }
  node.kind = NodeKind::kChoose;
  const Choice choice = parse_choice(name);
  node.table = choice.table;
  node.other = choice.other;
  if (!choice.slot.empty()) node.slot = find_slot(choice.slot);
  set_form(node, form);
  return node;
}

void Grammar::set_form(Node& node, std::string_view form) const {
  if (form.empty()) return;
  const std::vector<std::string>& forms = tables_[static_cast<size_t>(node.table)].forms;
  const auto found = std::ranges::find(forms, form);
  CHECK(found != forms.end(), "table {} has no form '{}'", tables_[static_cast<size_t>(node.table)].name, form);
  node.form = static_cast<int>(found - forms.begin()) + 1;
}

int Grammar::find_slot(std::string_view name) const {
  const auto found = std::ranges::find(slots_, name, &Slot::name);
  CHECK(found != slots_.end(), "no slot '{}' has been filled by then", name);
  return static_cast<int>(found - slots_.begin());
}

// "slot=table@other"; only the table is required.
Grammar::Choice Grammar::parse_choice(std::string_view mark) const {
  Choice choice;
  const size_t at = mark.find('@');
  if (at != std::string_view::npos) choice.other = find_slot(mark.substr(at + 1));
  mark = mark.substr(0, at);
  const size_t equals = mark.find('=');
  if (equals != std::string_view::npos) choice.slot = mark.substr(0, equals);
  const std::string_view table = equals == std::string_view::npos ? mark : mark.substr(equals + 1);
  const auto found = std::ranges::find(tables_, table, &Table::name);
  CHECK(found != tables_.end(), "'{}' is neither a table nor an earlier rule", table);
  choice.table = static_cast<int>(found - tables_.begin());
  return choice;
}

// A slot may be filled at several places, always from the same distribution.
void Grammar::bind_slots(const RuleSpec& spec) {
  for (const AlternativeSpec& alternative : spec.alternatives) {
    std::string_view rest = alternative.text;
    for (size_t open; (open = rest.find('[')) != std::string_view::npos;) {
      rest.remove_prefix(open + 1);
      std::string_view mark = rest.substr(0, rest.find(']'));
      mark = mark.substr(mark.starts_with('^') ? 1 : 0);
      mark = mark.substr(0, mark.find('.'));
      if (mark.find('=') == std::string_view::npos) continue;
      const Choice choice = parse_choice(mark);
      const auto found = std::ranges::find(slots_, choice.slot, &Slot::name);
      if (found == slots_.end()) {
        slots_.push_back({std::string(choice.slot), choice.table, choice.other});
      } else {
        CHECK(found->table == choice.table && found->other == choice.other, "slot '{}' is filled in two ways", choice.slot);
      }
    }
  }
}

void Grammar::check_choices(const std::vector<Node>& nodes, const std::string& where) const {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].kind != NodeKind::kChoose) continue;
    const Table& table = tables_[static_cast<size_t>(nodes[i].table)];
    const bool is_delimited = i + 1 < nodes.size() && nodes[i + 1].kind == NodeKind::kLiteral && !is_letter(nodes[i + 1].literal[0]);
    CHECK(is_delimited, "rule {}: text must follow the choice from {}", where, table.name);
    const auto form = static_cast<size_t>(nodes[i].form);
    for (const auto& a : table.rows) {
      for (const auto& b : table.rows) {
        const bool begins = &a != &b && b[form].starts_with(a[form]);
        const bool at_word_end = begins && (b[form].size() == a[form].size() || !is_letter(b[form][a[form].size()]));
        CHECK(!at_word_end, "table {}: '{}' begins with '{}'", table.name, b[form], a[form]);
      }
    }
  }
}

void Grammar::check_alternatives(const Rule& rule) const {
  const auto differ = [](const std::vector<Node>& a, const std::vector<Node>& b) {
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (a[i].kind == NodeKind::kLiteral && b[i].kind == NodeKind::kLiteral) {
        const auto [x, y] = std::ranges::mismatch(a[i].literal, b[i].literal);
        if (x != a[i].literal.end() && y != b[i].literal.end()) return true;
      }
      const bool is_decided = a[i].kind != NodeKind::kChoose && a[i].kind != NodeKind::kRule;
      if (!is_decided || !(a[i] == b[i])) return false;
    }
    return false;
  };
  for (const Alternative& a : rule.alternatives) {
    for (const Alternative& b : rule.alternatives) {
      CHECK(&a == &b || differ(a.nodes, b.nodes), "rule {}: alternatives {} and {} cannot be told apart by their beginnings", rule.name,
            &a - rule.alternatives.data(), &b - rule.alternatives.data());
    }
  }
}

}  // namespace lapilli
