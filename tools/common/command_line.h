#pragma once
// Commands and their options. A narrow front to CLI11, whose headers cost a compiler five seconds a file and are included in
// command_line.cpp alone; names and behaviour are CLI11's where nothing else is said.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace lapilli {

// Wrong usage, thrown by a command's callback: "OPTION: message" on stderr with a hint at --help, and exit code 2.
class UsageError : public std::runtime_error {
 public:
  UsageError(const std::string& option, const std::string& message) : std::runtime_error(option.empty() ? message : option + ": " + message) {}
};

// What the text of a value must be; may also rewrite it.
class Check {
 public:
  // The function returns what is wrong with the text, or nothing; it may change the text.
  explicit Check(std::function<std::string(std::string&)> test);
  explicit Check(CLI::Validator validator);
  const CLI::Validator& validator() const { return *validator_; }

 private:
  std::shared_ptr<const CLI::Validator> validator_;
};
enum class InHelp { shown, hidden };
Check one_of(const std::vector<std::string>& names, InHelp in_help = InHelp::shown);
// Both ends included.
Check between(double least, double most, InHelp in_help = InHelp::shown);
Check between(uint32_t least, uint32_t most, InHelp in_help = InHelp::shown);
// A number above 0, or at least 0. (CLI11's own checks print the largest double as the limit, and its unsigned numbers accept -1 as
// 2^64 - 1.)
Check positive();
Check not_negative();
// "500k" -> 500000: k, M, G are powers of 1000. Above 0.
Check as_size();

// Owned by its command. Every function returns the option itself.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option* required();
  Option* type_name(const std::string& name);  // what --help calls the value
  Option* check(const Check& check);           // one after the other, in this order
  Option* transform(const Check& check);       // the same, before all checks, for one that rewrites the text
  Option* default_str(const std::string& text);
  Option* capture_default_str();  // --help shows the variable's value as the default
  Option* delimiter(char between);
  Option* one_value_each();  // each use of the option takes one value, not all that follow
  Option* needs(Option* other);
  Option* excludes(Option* other);

 private:
  CLI::Option* option_;
};

// A command with its options and commands below it, which it owns. `variable`s are borrowed until parse() has returned.
class Command {
 public:
  Command(const std::string& description, const std::string& name);
  ~Command();
  Command(const Command&) = delete;

  Command* add_subcommand(const std::string& name, const std::string& description);
  // T: std::string, double, float, uint32_t, uint64_t, or a vector of one of them.
  template <class T>
  Option* add_option(const std::string& names, T& variable, const std::string& help);
  Option* add_option_function(const std::string& names, const std::function<void(const std::string&)>& take, const std::string& help);
  Option* add_flag(const std::string& names, bool& variable, const std::string& help);
  void add_version_flag(const std::string& names, const std::string& version);
  Option* get_option(const std::string& name);

  void footer(const std::string& text);
  void option_column_width(size_t columns);  // of --help
  // Called once the command line is read, if it names the command; throws UsageError or Error.
  void callback(const std::function<void()>& run);

  // After parsing.
  std::string name() const;
  bool has_chosen_subcommand() const;
  size_t count(const std::string& option) const;  // how often it was given
  struct Given {
    std::string name;  // empty: by position
    std::vector<std::string> values;
    bool is_list = false;  // values were separated by the option's delimiter
  };
  std::vector<Given> given() const;  // in the order of the options; a flag has no values

  // Reads the command line and calls what it asks for. Returns the exit code: 0, or 2 for wrong usage, which it has explained.
  int parse(int argc, char** argv);

 private:
  explicit Command(CLI::App* app);

  std::unique_ptr<CLI::App> root_;  // of the program; none in its subcommands
  CLI::App* app_;
  std::vector<std::unique_ptr<Command>> subcommands_;
  std::vector<std::unique_ptr<Option>> options_;
};

// Wrong usage without a subcommand. (CLI11's own check reports an unknown subcommand as "is required".)
void require_command(Command& parent);
[[noreturn]] void throw_missing_command();

}  // namespace lapilli
