#pragma once
// A recorded list of dispatches and copies, replayed every step.
//
// Barriers are derived here and nowhere else. The types of a dispatch's argument struct (In, Out, InOut) say which
// bytes it reads and writes. A barrier precedes a dispatch that touches bytes written, or writes bytes read, since the
// last barrier.
//
// Work is split into submissions of bounded time, so that no watchdog kills it.
//
// Recording does not wait for kernels. The recorded work becomes command buffers before the first submission, when all
// kernels have been requested and compiled in parallel.

#include <boost/pfr/core.hpp>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/kernel/kernel.h"
#include "engine/memory/access.h"
#include "engine/memory/command_buffer.h"
#include "engine/program/profile.h"

namespace lapilli {

// The work of a dispatch by its formula, for the profile and for splitting submissions.
struct Cost {
  double flops = 0;
  double bytes = 0;
  bool matrices = false;  // the flops are multiply-adds of cooperative matrices, 16-bit operands
};

class Program {
 public:
  // `profiled` records timestamps where the scope changes (see take_profile).
  Program(Device& device, std::string name, bool profiled = false);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Runs `groups` workgroups of a kernel; more than the device's limit in x continue in y (shaders use linear_group()
  // and skip workgroups beyond their range). REQUIRES: Args is the struct of an args.h under shaders/ that the kernel
  // declares, pointers first.
  template <typename Args>
  void dispatch(const Kernel& kernel, const Args& args, uint64_t groups, Cost cost = {}) {
    PushBytes push;
    boost::pfr::for_each_field(args, [&](const auto& field) { push.append(field); });
    dispatch_packed(kernel, push, groups, cost);
  }
  void copy(const Slice& destination, const Slice& source);  // sizes must match
  void fill(const Slice& destination, uint32_t word);        // REQUIRES: size a multiple of 4

  // Names the work recorded during its lifetime; nested scopes give "outer/inner".
  class Scope {
   public:
    Scope(Program& program, const std::string& name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Program& program_;
    size_t parent_length_;
  };

  void finish();  // ends recording; submit() may then be called any number of times
  // Whether prepare() returns without waiting for a kernel.
  bool is_compiled() const;
  // Blocks until the kernels are compiled and records the command buffers; otherwise the first submit() does. Throws
  // Error when a kernel cannot be compiled.
  void prepare();
  void submit();  // REQUIRES: the previous submission has been waited for
  // On GPUs, times out after 60 s + 20x the estimate for a slow GPU, or after `most_seconds`; the process exits with 1.
  void wait(std::optional<double> most_seconds = {});
  void run() { submit(), wait(); }

  // Time per scope of the last run. REQUIRES: profiled, run at least once, waited for.
  Profile take_profile() const;

  // The memory that the recorded work declares to write: all else is unchanged after a run, if kernels keep to it.
  const std::vector<Slice>& declared_writes() const { return declared_writes_; }

  uint64_t dispatch_count() const { return dispatch_count_; }
  uint64_t barrier_count() const { return barrier_count_; }
  uint64_t submission_count() const { return segments_.size(); }

 private:
  // The push constants of one dispatch and the memory they name.
  struct PushBytes {
    std::byte bytes[kMaxPushBytes];
    uint32_t size = 0;
    std::vector<Slice> reads, writes;

    template <typename T>
    void append(const In<T>& field) {
      append_address(field.slice);
      if (field.slice) reads.push_back(field.slice);
    }
    template <typename T>
    void append(const Out<T>& field) {
      append_address(field.slice);
      if (field.slice) writes.push_back(field.slice);
    }
    template <typename T>
    void append(const InOut<T>& field) {
      append_address(field.slice);
      if (!field.slice) return;
      reads.push_back(field.slice);
      writes.push_back(field.slice);
    }
    template <typename T>
      requires std::is_arithmetic_v<T>
    void append(T value) {
      append_raw(&value, sizeof value);
    }
    void append_address(const Slice& slice) {
      const VkDeviceAddress address = slice ? slice.address() : 0;
      append_raw(&address, sizeof address);
    }
    void append_raw(const void* value, uint32_t value_bytes);
  };

  using Command = std::function<void(VkCommandBuffer)>;
  struct Segment {  // one submission
    std::vector<Command> commands;  // until prepare()
    VkCommandBuffer buffer = VK_NULL_HANDLE;
  };

  void dispatch_packed(const Kernel& kernel, const PushBytes& push, uint64_t groups, Cost cost);
  void barrier_on_hazards(const std::vector<Slice>& reads, const std::vector<Slice>& writes, DeviceWork work);
  void begin_segment();
  void record(Command command);
  void record_barrier(DeviceWork done);
  void record_timestamp();  // with index spans_.size()
  void add_cost(Cost cost);
  double hang_timeout_seconds() const;
  void mark_scope();

  Device& device_;
  std::string name_;
  CommandPool pool_;
  std::vector<Segment> segments_;
  const Kernel* bound_ = nullptr;
  std::set<const Kernel*> kernels_;  // all dispatched kernels
  double segment_seconds_ = 0, seconds_ = 0;  // at conservative throughput: of the last submission, of all
  bool finished_ = false, prepared_ = false, in_flight_ = false;

  std::vector<Slice> declared_writes_;
  std::vector<Slice> pending_reads_, pending_writes_;  // since the last barrier
  DeviceWork pending_work_ = DeviceWork::kernels;      // what did these accesses
  uint64_t dispatch_count_ = 0, barrier_count_ = 0;

  VkSemaphore timeline_ = VK_NULL_HANDLE;
  uint64_t timeline_value_ = 0;
  int64_t submitted_ns_ = 0;  // on the host's steady clock

  bool profiled_;
  std::string scope_;
  std::vector<ProfileSpan> spans_;  // in recorded order; span i lies between timestamps i and i+1
  VkQueryPool queries_ = VK_NULL_HANDLE;
};

}  // namespace lapilli
