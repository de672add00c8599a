#pragma once
// Probabilistic text grammars with exact entropy.
//
// A grammar has tables (words, with weights) and rules (alternatives, with weights; each alternative is a template).
// In a template:
//
//   text                 itself
//   [table]              a choice from the table, printed
//   [slot=table]         the same, stored in a slot
//   [slot=table@other]   the same, with the table's weights rotated by what slot `other` holds: each value of `other`
//   has
//                        its own favourites, and the entropy of the choice is that of the table
//   [rule]               an alternative of the rule
//   {slot}               the stored choice again
//   {slot+other}         the sum of two number words, as a word
//   .form and ^          after a table or slot: another column of its row ({hero.him}); in front: with a capital
//   letter.
//                        The form "a" is the first column behind its article, "a" or "an".
//
// The constructor CHECKs a condition that makes every text have one derivation at most:
//   - what follows a choice from a table is text that begins with no letter, and no entry is the beginning of another
//   at
//     the end of a word;
//   - any two alternatives of a rule differ in plain text before either of them makes a choice or ends.
// So, reading from the left, each choice is determined by the text before the next one. A template refers only to rules
// declared before its own, so every text is finite. Choices are independent, except for rotation, which does not change
// entropies; hence entropies and lengths add up along the rules, exactly.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

struct TableSpec {
  std::string name;
  double flatness = 1;             // row r has weight 1 / (r + flatness): 1 is Zipf's law, larger is flatter
  std::vector<std::string> forms;  // names of the columns after the first
  std::vector<std::string> rows;   // columns, separated by '|'
};

struct AlternativeSpec {
  double weight = 1;
  std::string text;
};

struct RuleSpec {
  std::string name;
  std::vector<AlternativeSpec> alternatives;
};

class Grammar {
 public:
  // Texts start with the last rule.
  Grammar(std::span<const TableSpec> tables, std::span<const RuleSpec> rules);

  struct Text {
    std::string text;
    double nats = 0;  // -ln p
  };

  // `uniform` gives the next random number of [0, 1).
  Text generate(const std::function<double()>& uniform) const;

  // -ln p of a text, empty if the grammar cannot generate it. CHECKs that there is no second derivation.
  std::optional<double> parse_nats(std::string_view text) const;

  double entropy_nats() const;    // of one text, exact
  double expected_bytes() const;  // of one text, exact

  // Every text of a small grammar.
  void enumerate(const std::function<void(const Text&)>& visit) const;
  // For each table and rule, the sum of its probabilities as they are used.
  std::vector<double> probability_sums() const;

 private:
  enum class NodeKind { kLiteral, kPrint, kSum, kChoose, kRule };
  struct Node {
    NodeKind kind = NodeKind::kLiteral;
    std::string literal;
    int table = -1, slot = -1, other = -1, form = 0, rule = -1;
    bool capital = false;
    bool operator==(const Node&) const = default;
  };
  struct Table {
    std::string name;
    std::vector<std::string> forms;              // column names
    std::vector<std::vector<std::string>> rows;  // [row][form]
    std::vector<double> p;                       // [rank]
  };
  struct Slot {
    std::string name;
    int table = -1, other = -1;
  };
  struct Alternative {
    double p = 0;
    std::vector<Node> nodes;
  };
  struct Rule {
    std::string name;
    std::vector<Alternative> alternatives;
  };
  struct Choice {
    std::string_view slot;
    int table = -1, other = -1;
  };
  using Slots = std::vector<int>;  // [slot] row, -1 unset
  using Chooser = std::function<size_t(const std::vector<double>& p)>;
  struct Frame {
    const std::vector<Node>* nodes;
    size_t next;
  };
  struct ParseState;

  void add_table(const TableSpec& spec);
  void add_rule(const RuleSpec& spec);
  std::vector<Node> compile(std::string_view text);
  Node compile_mark(std::string_view mark, bool is_choice);
  void set_form(Node& node, std::string_view form) const;
  int find_slot(std::string_view name) const;
  Choice parse_choice(std::string_view mark) const;
  void bind_slots(const RuleSpec& spec);
  void check_choices(const std::vector<Node>& nodes, const std::string& where) const;
  void check_alternatives(const Rule& rule) const;

  size_t row_at_rank(const Node& choice, size_t rank, const Slots& slots) const;
  std::string print(const Node& node, const Slots& slots) const;
  void expand(Text& out, Slots& slots, const Rule& rule, const Chooser& choose) const;
  Text derive(const Chooser& choose) const;
  void parse_from(ParseState& state, size_t position, std::vector<Frame> stack, Slots slots, double nats) const;
  std::vector<double> slot_distribution(int slot) const;
  double expected_node_bytes(const Node& node, std::span<const double> rule_bytes) const;

  std::vector<Table> tables_;
  std::vector<Rule> rules_;
  std::vector<Slot> slots_;
};

}  // namespace lapilli
