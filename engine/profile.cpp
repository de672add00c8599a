#include "engine/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace lapilli {

double Profile::total_ns() const {
  double sum = 0;
  for (const ProfileSpan& span : spans) sum += span.ns;
  return sum;
}

namespace {

// Spans of equal name summed, the longest first.
template <typename Name>
std::vector<ProfileSpan> sum_by(const std::vector<ProfileSpan>& spans, const Name& name) {
  std::map<std::string, ProfileSpan> sums;
  for (const ProfileSpan& span : spans) {
    ProfileSpan& sum = sums[name(span.scope)];
    sum.scope = name(span.scope);
    sum.dispatches += span.dispatches;
    sum.flops += span.flops;
    sum.bytes += span.bytes;
    sum.ns += span.ns;
  }
  std::vector<ProfileSpan> rows;
  for (auto& [scope, sum] : sums) rows.push_back(std::move(sum));
  std::ranges::stable_sort(rows, std::greater{}, &ProfileSpan::ns);
  return rows;
}

std::string row_text(const ProfileSpan& row, double total_ns) {
  return fmt::format("{:<32} {:>10} {:>10.3f} {:>6.1f}% {:>10.2f} {:>8.2f}\n", row.scope, row.dispatches, row.ns * 1e-6, 100 * row.ns / total_ns,
                     row.ns > 0 ? row.flops / row.ns : 0, row.ns > 0 ? row.bytes / row.ns : 0);
}

}  // namespace

std::vector<ProfileSpan> Profile::by_scope() const {
  return sum_by(spans, [](const std::string& scope) { return scope; });
}

std::vector<ProfileSpan> Profile::by_part() const {
  return sum_by(spans, [](const std::string& scope) { return scope.substr(0, scope.find('/')); });
}

std::string Profile::table() const {
  std::string text = fmt::format("{:<32} {:>10} {:>10} {:>7} {:>10} {:>8}\n", "scope", "dispatches", "ms", "share", "GFLOP/s", "GB/s");
  const double total = std::max(total_ns(), 1.0);
  for (const ProfileSpan& row : by_scope()) text += row_text(row, total);
  text += "\n";
  for (const ProfileSpan& row : by_part()) text += row_text(row, total);
  return text + fmt::format("{:<32} {:>10} {:>10.3f}\n", "total", "", total * 1e-6);
}

}  // namespace lapilli
