#include "engine/program/profile.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace lapilli {

void ProfileSpan::add_work(const ProfileSpan& other) {
  dispatches += other.dispatches;
  flops += other.flops;
  bytes += other.bytes;
  matrix_flops += other.matrix_flops;
  ns += other.ns;
}

void ProfileSpan::divide_work(uint64_t count) {
  const auto parts = static_cast<double>(count);
  dispatches /= count;
  flops /= parts;
  bytes /= parts;
  matrix_flops /= parts;
  ns /= parts;
}

CeilingShare share_of_ceiling(const ProfileSpan& span, const Ceilings& ceilings) {
  if (span.ns <= 0) return {};
  const double seconds = span.ns * 1e-9;
  const auto at_least = [](double work, double rate) { return rate > 0 ? work / rate : 0; };
  const double compute =
      (at_least(span.flops - span.matrix_flops, ceilings.flops_per_s) + at_least(span.matrix_flops, ceilings.matmul_flops_per_s())) / seconds;
  const double memory = ceilings.bytes_per_s > 0 ? span.bytes / ceilings.bytes_per_s / seconds : 0;
  return memory > compute ? CeilingShare{memory, true} : CeilingShare{compute, false};
}

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
    const auto [at, is_new] = sums.try_emplace(name(span.scope));
    ProfileSpan& sum = at->second;
    if (is_new) sum.scope = at->first, sum.begin_ns = span.begin_ns;
    sum.add_work(span);
  }
  std::vector<ProfileSpan> rows;
  for (auto& [scope, sum] : sums) rows.push_back(std::move(sum));
  std::ranges::stable_sort(rows, std::greater{}, &ProfileSpan::ns);
  return rows;
}

}  // namespace

std::vector<ProfileSpan> Profile::by_scope() const {
  return sum_by(spans, [](const std::string& scope) { return scope; });
}

std::vector<ProfileSpan> Profile::by_part() const {
  return sum_by(spans, [](const std::string& scope) { return scope.substr(0, scope.find('/')); });
}

int64_t steady_now_ns() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace lapilli
