#include "model/run/step_log.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/run/spike_detector.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<uint64_t>(seconds);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60) : fmt::format("{}:{:02}", s / 60, s % 60);
}

void StepLog::log(const StepResult& result, const StepFacts& facts, TrainingState& state) {
  const double tokens_per_s = result.sums.rows / facts.seconds;
  const double mfu = facts.ceiling_flops_per_s > 0 ? facts.flops / facts.seconds / facts.ceiling_flops_per_s : 0;
  Json event{{"event", "step"},
             {"step", state.step},
             {"loss", result.sums.rows > 0 ? finite_or_null(result.loss()) : Json(nullptr)},
             {"lr", facts.lr},
             {"grad_norm", finite_or_null(result.grad_norm)},
             {"valid_tokens", static_cast<uint64_t>(result.sums.rows)},
             {"tokens_per_s", tokens_per_s},
             {"mfu", mfu > 0 ? Json(mfu) : Json(nullptr)},
             {"ms", facts.seconds * 1e3},
             {"host_ms", facts.host_ms}};
  if (facts.loss_scale) event["loss_scale"] = *facts.loss_scale;
  std::string teacher;
  if (config_.teacher_dim > 0 && result.sums.weight > 0) {
    const LossSums& sums = result.sums;
    event.update({{"teacher_entropy", sums.teacher_entropy / sums.weight},
                  {"teacher_cross_entropy", sums.teacher_cross_entropy / sums.weight},
                  {"teacher_kl", sums.teacher_kl / sums.weight}});
    teacher = fmt::format("  kl {:.4f}", sums.teacher_kl / sums.weight);
  }
  const bool first = seconds_per_step_ == 0;
  std::string since_start;
  if (first) {
    const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    event["since_start_s"] = waited;
    since_start = fmt::format("  {:.1f} s after the start", waited);
  }
  log_.event(event);
  log_skipped(result, facts, state);
  log_spikes(result, state);
  seconds_per_step_ = first ? facts.seconds : 0.95 * seconds_per_step_ + 0.05 * facts.seconds;
  const double eta = seconds_per_step_ * static_cast<double>(config_.train.steps - state.step);
  const std::string text = fmt::format("step {:>6}/{}  loss {:.4f}{}  lr {:.2e}  |g| {:.3f}  {:>7.0f} tok/s{}  eta {}{}", state.step,
                                       config_.train.steps, result.loss(), teacher, facts.lr, result.grad_norm, tokens_per_s,
                                       mfu > 0 ? fmt::format("  mfu {:.1f}%", 100 * mfu) : "", duration_text(eta), since_start);
  const uint64_t every = std::max<uint64_t>(config_.train.steps / 40, 1);
  if (state.step % every == 0 || first) {
    log_.line(text);
  } else {
    log_.progress(text);
  }
}

void StepLog::log_skipped(const StepResult& result, const StepFacts& facts, const TrainingState& state) {
  std::string why;
  switch (result.skipped) {
    case Skipped::no:
      if (!result.not_finite.empty())
        log_.warn(fmt::format("step {}: {} is not finite, though the gradient is; the parameters were updated", state.step, result.not_finite));
      return;
    case Skipped::no_targets: why = "no targets in this batch"; break;
    case Skipped::overflow: why = fmt::format("gradients overflowed f16; the loss scale is now {:g}", facts.loss_scale.value_or(1)); break;
    case Skipped::not_finite: why = fmt::format("{} is not finite", result.not_finite); break;
  }
  const std::string message = fmt::format("step {} was skipped: {}; parameters and optimizer are unchanged", state.step, why);
  log_.line("WARNING: " + message);
  log_.event({{"event", "skipped"}, {"step", state.step}, {"reason", kSkippedNames[static_cast<size_t>(result.skipped)]}, {"message", message}});
}

void StepLog::log_spikes(const StepResult& result, TrainingState& state) {
  if (result.sums.rows == 0) return;
  const double loss_mean = state.loss_trend.mean, norm_mean = std::exp(state.norm_trend.mean);
  const std::optional<double> loss_z = z_score(state.loss_trend, result.loss());
  const std::optional<double> norm_z = z_score(state.norm_trend, std::log(result.grad_norm));
  const bool loss_spike = loss_z && *loss_z >= kSpikeZ, norm_spike = norm_z && *norm_z >= kSpikeZ;
  if (!loss_spike && !norm_spike) return;
  log_.event({{"event", "spike"},
              {"step", state.step},
              {"loss", finite_or_null(result.loss())},
              {"loss_z", loss_z ? Json(*loss_z) : Json(nullptr)},
              {"grad_norm", finite_or_null(result.grad_norm)},
              {"grad_norm_z", norm_z ? Json(*norm_z) : Json(nullptr)}});
  std::string text;
  if (loss_spike) text += fmt::format("loss {:.4f} is {:.1f} standard deviations above its recent {:.4f}", result.loss(), *loss_z, loss_mean);
  if (norm_spike)
    text += fmt::format("{}gradient norm {:.3g} is {:.1f} standard deviations above its recent {:.3g}", text.empty() ? "" : "; ", result.grad_norm,
                        *norm_z, norm_mean);
  log_.line(fmt::format("spike       step {}: {}", state.step, text));
}

}  // namespace lapilli
