#include "tools/common/command_line.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <sstream>

#include "engine/base/utf8.h"
#include "tools/common/console.h"

namespace lapilli {

Check::Check(std::function<std::string(std::string&)> test) : Check(CLI::Validator(std::move(test), "", "")) {}

Check::Check(CLI::Validator validator) : validator_(std::make_shared<const CLI::Validator>(std::move(validator))) {}

namespace {

Check make_check(CLI::Validator validator, InHelp in_help) {
  return Check(in_help == InHelp::shown ? std::move(validator) : validator.description(""));
}

Check number_that(const char* what, bool (*good)(double)) {
  return Check([=](std::string& text) {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && good(value)) return std::string();
    return "'" + text + "' is not a number " + what;
  });
}

}  // namespace

Check one_of(const std::vector<std::string>& names, InHelp in_help) { return make_check(CLI::IsMember(names), in_help); }

Check between(double least, double most, InHelp in_help) { return make_check(CLI::Range(least, most), in_help); }

Check between(uint32_t least, uint32_t most, InHelp in_help) { return make_check(CLI::Range(least, most), in_help); }

Check positive() {
  return number_that("above 0", [](double value) { return value > 0 && std::isfinite(value); });
}

Check not_negative() {
  return number_that("of at least 0", [](double value) { return value >= 0 && std::isfinite(value); });
}

Check as_size() {
  return Check([](std::string& text) {
    uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, number);
    const std::string suffix(rest, end);
    uint64_t factor = 0;
    if (suffix.empty()) factor = 1;
    if (suffix == "k" || suffix == "K") factor = 1000;
    if (suffix == "m" || suffix == "M") factor = 1000 * 1000;
    if (suffix == "g" || suffix == "G") factor = 1000 * 1000 * 1000;
    if (failure != std::errc() || factor == 0 || number == 0 || number > UINT64_MAX / factor)
      return "'" + text + "' is not a size such as 500000, 500k, 20M or 1G";
    text = std::to_string(number * factor);
    return std::string();
  });
}

Option* Option::required() { return option_->required(), this; }
Option* Option::type_name(const std::string& name) { return option_->type_name(name), this; }
Option* Option::check(const Check& check) { return option_->check(check.validator()), this; }
Option* Option::transform(const Check& check) { return option_->transform(check.validator()), this; }
Option* Option::default_str(const std::string& text) { return option_->default_str(text), this; }
Option* Option::capture_default_str() { return option_->capture_default_str(), this; }
Option* Option::delimiter(char between) { return option_->delimiter(between), this; }
Option* Option::one_value_each() { return option_->allow_extra_args(false), this; }
Option* Option::needs(Option* other) { return option_->needs(other->option_), this; }
Option* Option::excludes(Option* other) { return option_->excludes(other->option_), this; }

Command::Command(const std::string& description, const std::string& name) : root_(std::make_unique<CLI::App>(description, name)), app_(root_.get()) {}

Command::Command(CLI::App* app) : app_(app) {}

Command::~Command() = default;

Command* Command::add_subcommand(const std::string& name, const std::string& description) {
  subcommands_.push_back(std::unique_ptr<Command>(new Command(app_->add_subcommand(name, description))));
  return subcommands_.back().get();
}

template <class T>
Option* Command::add_option(const std::string& names, T& variable, const std::string& help) {
  return options_.emplace_back(std::make_unique<Option>(app_->add_option(names, variable, help))).get();
}
template Option* Command::add_option(const std::string&, std::string&, const std::string&);
template Option* Command::add_option(const std::string&, std::optional<std::string>&, const std::string&);
template Option* Command::add_option(const std::string&, double&, const std::string&);
template Option* Command::add_option(const std::string&, float&, const std::string&);
template Option* Command::add_option(const std::string&, uint32_t&, const std::string&);
template Option* Command::add_option(const std::string&, uint64_t&, const std::string&);
template Option* Command::add_option(const std::string&, std::vector<std::string>&, const std::string&);
template Option* Command::add_option(const std::string&, std::vector<double>&, const std::string&);
template Option* Command::add_option(const std::string&, std::vector<uint32_t>&, const std::string&);
template Option* Command::add_option(const std::string&, std::vector<uint64_t>&, const std::string&);

Option* Command::add_option_function(const std::string& names, const std::function<void(const std::string&)>& take, const std::string& help) {
  return options_.emplace_back(std::make_unique<Option>(app_->add_option_function<std::string>(names, take, help))).get();
}

Option* Command::add_flag(const std::string& names, bool& variable, const std::string& help) {
  return options_.emplace_back(std::make_unique<Option>(app_->add_flag(names, variable, help))).get();
}

void Command::add_version_flag(const std::string& names, const std::string& version) { app_->set_version_flag(names, version); }

Option* Command::get_option(const std::string& name) { return options_.emplace_back(std::make_unique<Option>(app_->get_option(name))).get(); }

void Command::footer(const std::string& text) { app_->footer(text); }

void Command::option_column_width(size_t columns) { app_->get_formatter()->column_width(columns); }

void Command::callback(const std::function<void()>& run) {
  app_->callback([run] {
    try {
      run();
    } catch (const UsageError& error) {
      throw CLI::ValidationError(error.what());
    }
  });
}

std::string Command::name() const { return app_->get_name(); }

bool Command::has_chosen_subcommand() const { return !app_->get_subcommands().empty(); }

size_t Command::count(const std::string& option) const { return app_->count(option); }

std::vector<Command::Given> Command::given() const {
  std::vector<Given> all;
  for (const CLI::Option* option : static_cast<const CLI::App*>(app_)->get_options()) {
    if (option->count() == 0) continue;
    Given& given = all.emplace_back();
    if (!option->get_positional()) given.name = option->get_name();
    if (option->get_items_expected_max() != 0) given.values = option->results();
    given.is_list = option->get_delimiter() != '\0';
  }
  return all;
}

int Command::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too.
    std::ostringstream out, err;
    const int code = app_->exit(error, out, err);
    print(out.str());
    fmt::print(stderr, "{}", printable(err.str()));
    return code == 0 ? 0 : 2;
  }
}

void throw_missing_command() { throw UsageError("", "A command is required"); }

void require_command(Command& parent) {
  parent.callback([&parent] {
    if (!parent.has_chosen_subcommand()) throw_missing_command();
  });
}

}  // namespace lapilli
