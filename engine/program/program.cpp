#include "engine/program/program.h"

#include "engine/base/log.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace lapilli {

namespace {

// Work is split into submissions of at most kSegmentSeconds; watchdogs kill after 2 s or more.
constexpr uint32_t kMostSpans = 65535;
constexpr double kSegmentSeconds = 0.25;

// Conservative throughput of a device for any kernel. Not too low: the device may idle between submissions.
struct Rates {
  double flops_per_s, bytes_per_s;
};
Rates conservative_throughput(const Device& device) {
  Rates rates{.flops_per_s = 100e9, .bytes_per_s = 5e9};
  if (device.caps().type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU) rates = {.flops_per_s = 1e12, .bytes_per_s = 20e9};
  if (device.caps().type == VK_PHYSICAL_DEVICE_TYPE_CPU) rates.flops_per_s = 10e9;
  // A tenth of the measured FLOP/s, and one byte for each 400 of those FLOPs: today's GPUs move four or more.
  const double measured = device.measured_peak_flops_per_s();
  return {.flops_per_s = std::max(rates.flops_per_s, measured / 10), .bytes_per_s = std::max(rates.bytes_per_s, measured / 400)};
}

bool any_overlap(const std::vector<Slice>& some, const std::vector<Slice>& others) {
  return std::ranges::any_of(some, [&](const Slice& a) { return std::ranges::any_of(others, [&](const Slice& b) { return a.overlaps(b); }); });
}

// Exits without destructors, which would wait for the device. A crash marker stays on disk, as after a crash.
[[noreturn]] void end_process(const std::string& program, const std::string& device, double seconds) {
  log_message(LogLevel::critical,
              "{} has not ended on {} after {:.0f} s: the device hangs, and so this process ends. A kernel that was being measured will not be "
              "tried again; else update the driver, or choose another device",
              program, device, seconds);
  std::fflush(nullptr);
  std::_Exit(EXIT_FAILURE);
}

}  // namespace

Program::Program(Device& device, std::string name, bool profiled)
    : device_(device), name_(std::move(name)), pool_(device), profiled_(profiled && device.caps().timestamp_period_ns > 0 && !device.record_only()) {
  const VkSemaphoreTypeCreateInfo type{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
  const VkSemaphoreCreateInfo info{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
  if (!device_.record_only()) vk_check(vkCreateSemaphore(device_.handle(), &info, nullptr, &timeline_), "vkCreateSemaphore");
  if (profiled_) {
    const VkQueryPoolCreateInfo queries{
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = kMostSpans + 1};
    vk_check(vkCreateQueryPool(device_.handle(), &queries, nullptr, &queries_), "vkCreateQueryPool");
  }
  begin_segment();
  // Waits for, and makes visible, everything before this replay, of this and other programs.
  record_barrier(DeviceWork::kernels_and_transfers);
}

Program::~Program() {
  if (in_flight_) vkQueueWaitIdle(device_.queue());
  vkDestroySemaphore(device_.handle(), timeline_, nullptr);
  vkDestroyQueryPool(device_.handle(), queries_, nullptr);
}

Program::Scope::Scope(Program& program, const std::string& name) : program_(program), parent_length_(program.scope_.size()) {
  program_.scope_ += (program_.scope_.empty() ? "" : "/") + name;
}

Program::Scope::~Scope() { program_.scope_.resize(parent_length_); }

void Program::PushBytes::append_raw(const void* value, uint32_t value_bytes) {
  CHECK(size % value_bytes == 0, "put the pointers first: a field of {} bytes lies at {}", value_bytes, size);
  CHECK(size + value_bytes <= kMaxPushBytes, "push constants of more than {} bytes", kMaxPushBytes);
  std::memcpy(bytes + size, value, value_bytes);
  size += value_bytes;
}

void Program::begin_segment() {
  segments_.emplace_back();
  segment_seconds_ = 0;
  bound_ = nullptr;
}

// A record-only device has no commands; dispatches, barriers and submissions are still counted.
void Program::record(Command command) {
  if (!device_.record_only()) segments_.back().commands.push_back(std::move(command));
}

void Program::record_barrier(DeviceWork done) {
  record([done](VkCommandBuffer commands) { memory_barrier(commands, done); });
}

void Program::record_timestamp() {
  record([queries = queries_, index = static_cast<uint32_t>(spans_.size())](VkCommandBuffer commands) {
    vkCmdWriteTimestamp2(commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, queries, index);
  });
}

void Program::add_cost(Cost cost) {
  const Rates rates = conservative_throughput(device_);
  const double seconds = cost.flops / rates.flops_per_s + cost.bytes / rates.bytes_per_s;
  seconds_ += seconds;
  if (segment_seconds_ > 0 && segment_seconds_ + seconds > kSegmentSeconds) begin_segment();
  segment_seconds_ += seconds;
  mark_scope();
  if (!spans_.empty()) {
    spans_.back().dispatches += 1;
    spans_.back().flops += cost.flops;
    if (cost.matrices) spans_.back().matrix_flops += cost.flops;
    spans_.back().bytes += cost.bytes;
  }
}

void Program::mark_scope() {
  if (!profiled_ || (!spans_.empty() && spans_.back().scope == scope_)) return;
  if (spans_.size() == kMostSpans)
    throw Error("{} has more than {} parts to profile: train with a smaller data.accumulate, or without --profile", name_, kMostSpans);
  record_timestamp();
  spans_.push_back({.scope = scope_});
}

void Program::barrier_on_hazards(const std::vector<Slice>& reads, const std::vector<Slice>& writes, DeviceWork work) {
  const bool hazard = any_overlap(reads, pending_writes_) || any_overlap(writes, pending_writes_) || any_overlap(writes, pending_reads_);
  if (hazard) {
    record_barrier(pending_work_);
    ++barrier_count_;
    pending_reads_.clear();
    pending_writes_.clear();
    pending_work_ = DeviceWork::kernels;
  }
  if (work == DeviceWork::kernels_and_transfers) pending_work_ = work;
  pending_reads_.insert(pending_reads_.end(), reads.begin(), reads.end());
  pending_writes_.insert(pending_writes_.end(), writes.begin(), writes.end());
  declared_writes_.insert(declared_writes_.end(), writes.begin(), writes.end());
}

void Program::dispatch_packed(const Kernel& kernel, const PushBytes& push, uint64_t groups, Cost cost) {
  CHECK(!finished_, "{} is finished", name_);
  if (groups == 0) return;
  add_cost(cost);
  barrier_on_hazards(push.reads, push.writes, DeviceWork::kernels);
  ++dispatch_count_;
  if (bound_ != &kernel) {
    kernels_.insert(&kernel);
    record([&kernel](VkCommandBuffer commands) { kernel.bind(commands); });
    bound_ = &kernel;
  }
  const uint64_t limit = std::min<uint64_t>(device_.caps().max_groups_x, 65535);
  const uint64_t y = (groups + limit - 1) / limit, x = (groups + y - 1) / y;  // fewer than y workgroups beyond
  CHECK(y <= 65535, "{} workgroups of {} are more than a dispatch can hold", groups, kernel.name());
  record([layout = kernel.layout(), bytes = std::vector(push.bytes, push.bytes + push.size), x, y](VkCommandBuffer commands) {
    vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, static_cast<uint32_t>(bytes.size()), bytes.data());
    vkCmdDispatch(commands, static_cast<uint32_t>(x), static_cast<uint32_t>(y), 1);
  });
}

void Program::copy(const Slice& destination, const Slice& source) {
  CHECK_EQ(destination.size_bytes(), source.size_bytes());
  if (source.size_bytes() == 0) return;
  add_cost({.bytes = 2.0 * static_cast<double>(source.size_bytes())});
  barrier_on_hazards({source}, {destination}, DeviceWork::kernels_and_transfers);
  record([destination, source](VkCommandBuffer commands) {
    const VkBufferCopy region{.srcOffset = source.buffer_offset_bytes(), .dstOffset = destination.buffer_offset_bytes(), .size = source.size_bytes()};
    vkCmdCopyBuffer(commands, source.buffer().handle(), destination.buffer().handle(), 1, &region);
  });
}

void Program::fill(const Slice& destination, uint32_t word) {
  CHECK(destination.size_bytes() % sizeof word == 0 && destination.buffer_offset_bytes() % sizeof word == 0, "{} bytes at {} are not whole words",
        destination.size_bytes(), destination.buffer_offset_bytes());
  if (destination.size_bytes() == 0) return;
  add_cost({.bytes = static_cast<double>(destination.size_bytes())});
  barrier_on_hazards({}, {destination}, DeviceWork::kernels_and_transfers);
  record([destination, word](VkCommandBuffer commands) {
    vkCmdFillBuffer(commands, destination.buffer().handle(), destination.buffer_offset_bytes(), destination.size_bytes(), word);
  });
}

void Program::finish() {
  CHECK(!finished_, "{} is finished twice", name_);
  if (profiled_) record_timestamp();
  record(host_read_barrier);
  finished_ = true;
}

bool Program::is_compiled() const {
  return std::ranges::all_of(kernels_, [](const Kernel* kernel) { return kernel->is_ready(); });
}

void Program::prepare() {
  CHECK(finished_, "{} is prepared before it is ready", name_);
  if (prepared_) return;
  for (Segment& segment : segments_) {
    segment.buffer = pool_.begin();
    for (const Command& command : segment.commands) command(segment.buffer);
    CommandPool::end(segment.buffer);
  }
  for (Segment& segment : segments_) segment.commands = {};
  prepared_ = true;
}

void Program::submit() {
  CHECK(finished_ && !in_flight_, "{} is submitted before it is ready", name_);
  CHECK(!device_.record_only(), "{} is submitted to a device that only records", name_);
  prepare();
  if (profiled_) vkResetQueryPool(device_.handle(), queries_, 0, static_cast<uint32_t>(spans_.size()) + 1);
  ++timeline_value_;
  submitted_ns_ = steady_now_ns();
  const VkSemaphoreSubmitInfo signal{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                     .semaphore = timeline_,
                                     .value = timeline_value_,
                                     .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
  std::vector<VkCommandBufferSubmitInfo> buffers;
  for (const Segment& segment : segments_)
    buffers.push_back({.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = segment.buffer});
  // One vkQueueSubmit each: a watchdog times the work of one call.
  for (size_t i = 0; i < buffers.size(); ++i) {
    const bool last = i + 1 == buffers.size();
    const VkSubmitInfo2 info{.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                             .commandBufferInfoCount = 1,
                             .pCommandBufferInfos = &buffers[i],
                             .signalSemaphoreInfoCount = last ? 1U : 0U,
                             .pSignalSemaphoreInfos = &signal};
    vk_check(vkQueueSubmit2(device_.queue(), 1, &info, VK_NULL_HANDLE), "vkQueueSubmit2");
  }
  in_flight_ = true;
}

// A driver without a display may wait forever for a kernel that does not end. The timeout is far longer than any work
// takes, even on a GPU shared with other programs. CPU drivers have no timeout: they may be slow, and can be inspected.
double Program::hang_timeout_seconds() const {
  if (device_.caps().type == VK_PHYSICAL_DEVICE_TYPE_CPU) return std::numeric_limits<double>::infinity();
  return 60 + 20 * seconds_;
}

void Program::wait(std::optional<double> most_seconds) {
  CHECK(in_flight_, "{} is not running", name_);
  const VkSemaphoreWaitInfo info{
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1, .pSemaphores = &timeline_, .pValues = &timeline_value_};
  const double seconds = most_seconds.value_or(hang_timeout_seconds());
  const VkResult result = vkWaitSemaphores(device_.handle(), &info, std::isinf(seconds) ? UINT64_MAX : static_cast<uint64_t>(seconds * 1e9));
  vk_check(result, "vkWaitSemaphores");
  if (result == VK_TIMEOUT) end_process(name_, device_.caps().name, seconds);
  in_flight_ = false;
}

Profile Program::take_profile() const {
  CHECK(!in_flight_, "{} is still running", name_);
  CHECK(timeline_value_ > 0, "{} has no profile before it has run", name_);
  Profile profile;
  if (!profiled_ || spans_.empty()) return profile;
  std::vector<uint64_t> ticks(spans_.size() + 1);
  // No VK_QUERY_RESULT_WAIT_BIT: the program has finished, and a timestamp that is missing now never comes.
  const VkResult result = vkGetQueryPoolResults(device_.handle(), queries_, 0, static_cast<uint32_t>(ticks.size()), ticks.size() * sizeof(uint64_t),
                                                ticks.data(), sizeof(uint64_t), VK_QUERY_RESULT_64_BIT);
  vk_check(result, "vkGetQueryPoolResults");
  if (result != VK_SUCCESS) throw Error("{} has run on {}, but its timestamps are missing ({})", name_, device_.caps().name, vk_result_name(result));
  profile.spans = spans_;
  const double period_ns = device_.caps().timestamp_period_ns;
  const uint32_t bits = device_.caps().timestamp_bits;
  // Counters of fewer than 64 bits wrap around.
  const auto since = [&](uint64_t later, uint64_t earlier) {
    return static_cast<double>((later - earlier) & (bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1)) * period_ns;
  };
  for (size_t i = 0; i < spans_.size(); ++i) {
    profile.spans[i].begin_ns = since(ticks[i], ticks[0]);
    profile.spans[i].ns = since(ticks[i + 1], ticks[i]);
  }
  profile.begin_host_ns = submitted_ns_;
  if (const auto now = device_.read_clocks()) {
    profile.begin_host_ns = now->host_ns - static_cast<int64_t>(since(now->ticks, ticks[0]));
    profile.deviation_ns = now->deviation_ns;
  }
  return profile;
}

}  // namespace lapilli
